//! Which key was most likely meant by one that is none.

use super::{kafka, nearest};

/// What people write who know other programs, and what it is called here.
const OTHER_NAMES: &[(&str, &[&str], &str)] = &[
    (
        "kafka",
        &["url", "urls", "host", "hosts", "broker", "server", "servers", "bootstrap"],
        "brokers",
    ),
    ("kafka", &["bootstrap_servers", "bootstrap.servers", "broker_list"], "brokers"),
    ("kafka", &["offset_reset", "auto_offset_reset", "auto.offset.reset", "from"], "start"),
    ("postgres", &["host", "hosts", "port", "uri", "dsn", "address", "server"], "url"),
    ("postgres", &["db", "dbname", "db_name", "name"], "database"),
    ("postgres", &["role", "username", "login"], "user"),
    ("postgres", &["pass", "passwd", "secret"], "password"),
    ("http", &["port", "host", "bind", "address", "addr"], "listen"),
    ("window", &["length", "duration", "width"], "size"),
    ("window", &["step", "hop", "every"], "slide"),
    ("watermark", &["lateness", "allowed_lateness", "lag"], "delay"),
];

/// Names that several sections have, or may well have: elsewhere they mean something else.
const ANYWHERE: &[&str] = &["url", "user", "key", "size", "interval", "timeout", "delay", "level"];

/// Finds it: in its own section first, then elsewhere.
pub(super) fn meant<'a>(key: &str, known: &[&'a str]) -> Option<String> {
    let in_section = known.iter().filter_map(|known| Some((section_of(key, known)?, *known)));
    // The innermost section that is one.
    let section = in_section.max_by_key(|(section, _)| section.len()).map(|(section, _)| section);
    let Some((section, name)) =
        section.and_then(|section| Some((section, key.strip_prefix(section)?.strip_prefix('.')?)))
    else {
        return in_no_section(key, known);
    };
    if let Some((.., right)) =
        OTHER_NAMES.iter().find(|(of, names, _)| *of == section && names.contains(&name))
    {
        return Some(format!("{section}.{right}"));
    }
    let within: Vec<&'a str> = names_in(section, known).collect();
    if let Some(near) = nearest(name, within.iter().copied()).or_else(|| sharing(name, &within)) {
        return Some(format!("{section}.{near}"));
    }
    if section == "kafka" && kafka::is_usual(&name.replace('_', ".")) {
        return Some(format!("kafka.properties.{}", name.replace('_', ".")));
    }
    if ANYWHERE.contains(&name) { None } else { elsewhere(name, known) }
}

/// Finds the section that was most likely meant by one that is none; a key whose section was left out means none.
pub(super) fn section(name: &str, known: &[&str]) -> Option<String> {
    let parts: Vec<(&str, &str)> = known.iter().filter_map(|key| key.split_once('.')).collect();
    if name.contains('.') || parts.iter().any(|(_, key)| *key == name) {
        return None;
    }
    nearest(name, parts.iter().map(|(section, _)| *section)).map(str::to_owned)
}

/// Lists the keys of the section that a key stands in, if it is one.
pub(super) fn names_beside(key: &str, known: &[&str]) -> Option<(String, Vec<String>)> {
    let (section, _) = key.rsplit_once('.')?;
    let names: Vec<String> = names_in(section, known).map(str::to_owned).collect();
    (!names.is_empty()).then(|| (section.to_owned(), names))
}

/// The longest part of `key` that is a section of `known`.
fn section_of<'k>(key: &'k str, known: &str) -> Option<&'k str> {
    let (of_known, _) = known.rsplit_once('.')?;
    let mut section = key;
    while let Some((outer, _)) = section.rsplit_once('.') {
        let is_same = of_known
            .strip_prefix(outer)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        if is_same {
            return Some(outer);
        }
        section = outer;
    }
    None
}

fn names_in<'a>(section: &str, known: &[&'a str]) -> impl Iterator<Item = &'a str> {
    known.iter().filter_map(move |known| known.strip_prefix(section)?.strip_prefix('.'))
}

/// The only one that has a word in common.
fn sharing<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let words: Vec<&str> = name.split(['_', '.']).collect();
    let shares = |known: &&&str| known.split(['_', '.']).any(|word| words.contains(&word));
    let mut found = known.iter().filter(shares);
    found.next().copied().filter(|_| found.next().is_none())
}

/// The section is misspelt, or left out.
fn in_no_section(key: &str, known: &[&str]) -> Option<String> {
    let name = key.rsplit('.').next().unwrap_or_default();
    let same = known.iter().filter(|known| known.rsplit('.').next() == Some(name));
    let near = nearest(key, same.copied()).map(str::to_owned);
    near.or_else(|| elsewhere(name, known))
        .or_else(|| nearest(key, known.iter().copied()).map(str::to_owned))
}

/// The only one of this name.
fn elsewhere(name: &str, known: &[&str]) -> Option<String> {
    let mut same = known.iter().filter(|known| known.rsplit('.').next() == Some(name));
    same.next().filter(|_| same.next().is_none()).map(|key| (*key).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &[
        "enrich.database",
        "enrich.deadline",
        "enrich.ip2location.base_url",
        "enrich.ip2location.key",
        "enrich.ip2location.timeout",
        "flush.catch_up_interval",
        "flush.interval",
        "flush.max_bytes",
        "flush.max_keys",
        "http.listen",
        "kafka.brokers",
        "kafka.group",
        "kafka.start",
        "kafka.topic",
        "postgres.database",
        "postgres.password",
        "postgres.schema",
        "postgres.url",
        "postgres.user",
        "shutdown.timeout",
        "watermark.delay",
        "watermark.idle_timeout",
        "window.size",
        "window.slide",
    ];

    #[test]
    fn section_is_looked_for_by_its_name_alone() {
        for (name, found) in [
            ("windw", Some("window")),
            ("postgre", Some("postgres")),
            ("slide", None),
            ("windw.size", None),
            ("zzz", None),
        ] {
            assert_eq!(section(name, KNOWN).as_deref(), found, "{name}");
        }
    }

    #[test]
    fn key_is_looked_for_in_its_own_section_first() {
        for (key, found) in [
            ("kafka.url", Some("kafka.brokers")),
            ("kafka.bootstrap", Some("kafka.brokers")),
            ("kafka.bootstrap.servers", Some("kafka.brokers")),
            ("kafka.group_id", Some("kafka.group")),
            ("kafka.sasl_password", Some("kafka.properties.sasl.password")),
            ("kafka.session.timeout.ms", Some("kafka.properties.session.timeout.ms")),
            ("postgres.host", Some("postgres.url")),
            ("postgres.db", Some("postgres.database")),
            ("postgres.shcema", Some("postgres.schema")),
            ("watermark.timeout", Some("watermark.idle_timeout")),
            ("watermark.idle", Some("watermark.idle_timeout")),
            ("window.interval", None),
            ("flush.size", None),
            ("flush.max_size", None),
            ("flush.slide", Some("window.slide")),
            ("enrich.ip2location_key", Some("enrich.ip2location.key")),
            ("enrich.ip2location.kye", Some("enrich.ip2location.key")),
            ("windwo.size", Some("window.size")),
            ("slide", Some("window.slide")),
            ("http.port", Some("http.listen")),
            ("zzz.timeout", None),
            ("zzz.qqq", None),
        ] {
            assert_eq!(meant(key, KNOWN).as_deref(), found, "{key}");
        }
    }
}
