//! Variables of hitstream's name that set nothing: which others may set, and what was most likely meant by the rest.

use super::layer::{Layer, PROPERTIES};
use super::meant;
use super::nearest;
use super::variables::{FILE_NAMES, FORMER_NAMES, PREFIX, variable_of_key};

/// What the demo, scripts and tests of this repository read and write, without the prefix.
const OWN_NAMES: &[&str] = &[
    "BUILT",
    "JAVA",
    "KAFKA_CLASSPATH",
    "KAFKA_CONFIG",
    "KAFKA_PORT",
    "PG_BIN",
    "POSTGRES_ADMIN_URL",
    "POSTGRES_PORT",
    "REVISION",
    "SERVICES",
    "SERVICES_DIR",
    "SERVICES_KIND",
    "SERVICES_STATE",
    "SHARED_DATA",
    "SPARK_JARS",
];

/// Says what is wrong with a variable that begins as hitstream's do and is none; `None` where that is right.
pub(super) fn problem(name: &str, value: &str, defaults: &Layer) -> Option<String> {
    let rest = name.strip_prefix(PREFIX)?;
    if FILE_NAMES.contains(&name) || OWN_NAMES.contains(&rest) || is_of_a_service(rest, value) {
        return None;
    }
    let key = rest.to_lowercase();
    if let Some(same) = defaults.0.keys().find(|known| known.replace('.', "_") == key) {
        let right = variable_of_key(same);
        return Some(format!("has one underscore after its section; write {right}"));
    }
    Some(match near(rest, &key, defaults) {
        Some(right) => format!("is no variable of hitstream's; did you mean {right}?"),
        None => "is no variable of hitstream's; `hitstream --print-config` lists every key, each of which is a variable \
                 HITSTREAM_SECTION__KEY"
            .to_owned(),
    })
}

/// Kubernetes tells every container where the services beside it are; one of them may be called hitstream.
fn is_of_a_service(rest: &str, value: &str) -> bool {
    let rest = format!("_{rest}");
    let is_address = || value.contains("://");
    let is_protocol = |part: &str| ["TCP", "UDP", "SCTP"].contains(&part);
    rest.ends_with("_SERVICE_HOST")
        || rest.contains("_SERVICE_PORT")
        || (rest.ends_with("_PORT") && is_address())
        || (rest.contains("_PORT_") && rest.split('_').any(is_protocol))
}

/// Finds the variable that was most likely meant.
fn near(rest: &str, key: &str, defaults: &Layer) -> Option<String> {
    if let Some((former, _)) = FORMER_NAMES.iter().find(|(former, _)| *former == rest) {
        return Some((*former).to_owned());
    }
    let properties = PROPERTIES.replace('.', "_");
    if let Some(property) = key.strip_prefix(&properties) {
        return Some(variable_of_key(&format!("{PROPERTIES}{}", property.replace('_', "."))));
    }
    let files = FILE_NAMES.iter().filter_map(|name| name.strip_prefix(PREFIX));
    if let Some(file) = nearest(rest, files) {
        return Some(format!("{PREFIX}{file}"));
    }
    let known: Vec<&str> = defaults.0.keys().map(String::as_str).collect();
    let sections = known.iter().filter_map(|known| known.rsplit_once('.'));
    let named = sections.filter_map(|(section, _)| {
        let name = key.strip_prefix(&section.replace('.', "_"))?.strip_prefix('_')?;
        Some((section, name))
    });
    // The innermost section that is one.
    let dotted = match named.max_by_key(|(section, _)| section.len()) {
        Some((section, name)) => format!("{section}.{name}"),
        None => key.to_owned(),
    };
    meant::meant(&dotted, &known).map(|right| variable_of_key(&right))
}

#[cfg(test)]
mod tests {
    use super::super::DEFAULTS;
    use super::super::layer::parse_toml;
    use super::*;

    fn reason(name: &str, value: &str) -> Option<String> {
        problem(name, value, &parse_toml("", "", DEFAULTS).unwrap())
    }

    #[test]
    fn misspelt_variable_leads_to_the_right_one() {
        for (name, right) in [
            ("KAFKA_URL", "KAFKA_URL"),
            ("POSTGRES_PASSWORD", "HITSTREAM_POSTGRES__PASSWORD"),
            ("POSTGRES_DB", "POSTGRES_DB"),
            ("TOPIC", "HITSTREAM_KAFKA__TOPIC"),
            ("LOGLEVEL", "HITSTREAM_LOG__LEVEL"),
            ("LOG_LEVEL", "HITSTREAM_LOG__LEVEL"),
            ("LOG_LEVLE", "HITSTREAM_LOG__LEVEL"),
            ("FLUSH_MAX_KYES", "HITSTREAM_FLUSH__MAX_KEYS"),
            ("ENRICH_IP2LOCATION_KYE", "HITSTREAM_ENRICH__IP2LOCATION__KEY"),
            ("HTTP_PORT", "HITSTREAM_HTTP__LISTEN"),
            (
                "KAFKA_PROPERTIES_SESSION_TIMEOUT_MS",
                "HITSTREAM_KAFKA__PROPERTIES__SESSION_TIMEOUT_MS",
            ),
            ("KAFKA_SESSION_TIMEOUT_MS", "HITSTREAM_KAFKA__PROPERTIES__SESSION_TIMEOUT_MS"),
            ("CONF", "HITSTREAM_CONFIG"),
            ("ENVFILE", "HITSTREAM_ENV_FILE"),
            ("FOO", "HITSTREAM_SECTION__KEY"),
        ] {
            let reason = reason(&format!("{PREFIX}{name}"), "x").unwrap();
            assert!(
                reason.trim_end_matches('?').ends_with(&format!(" {right}")),
                "{name}: {reason}"
            );
        }
    }

    #[test]
    fn what_scripts_and_kubernetes_set_is_none_of_our_business() {
        for (name, value) in [
            ("HITSTREAM_CONFIG", "f"),
            ("HITSTREAM_BUILT", "target"),
            ("HITSTREAM_POSTGRES_ADMIN_URL", "postgres://h/x"),
            ("HITSTREAM_SERVICE_HOST", "10.0.0.1"),
            ("HITSTREAM_PAGE_SERVICE_PORT_HTTP", "80"),
            ("HITSTREAM_PORT", "tcp://10.0.0.1:8080"),
            ("HITSTREAM_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
            ("HITSTREAM_PORT_8080_TCP_ADDR", "10.0.0.1"),
            ("HITSTREAMING", "x"),
            ("PATH", "x"),
        ] {
            assert_eq!(reason(name, value), None, "{name}");
        }
    }
}
