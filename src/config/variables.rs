//! Variables as layers of settings: which key each sets, and which set nothing.

use std::collections::{BTreeMap, BTreeSet};

use config::Value;

use super::error::Problem;
use super::layer::{Layer, PROPERTIES};
use super::secret_files::{self, SUFFIX};
use super::stray;
use super::tree::Tree;

/// The names that the former job used, and the keys they set.
pub(super) const FORMER_NAMES: &[(&str, &str)] = &[
    ("KAFKA_URL", "kafka.brokers"),
    ("KAFKA_TOPIC", "kafka.topic"),
    ("KAFKA_GROUP", "kafka.group"),
    ("POSTGRES_URL", "postgres.url"),
    ("POSTGRES_USER", "postgres.user"),
    ("POSTGRES_PASSWORD", "postgres.password"),
    ("POSTGRES_DB", "postgres.database"),
    ("IP_CODING_KEY", "enrich.ip2location.key"),
];

/// What the names of all others begin with.
pub(super) const PREFIX: &str = "HITSTREAM_";

/// Variables that are read before the settings are.
pub(super) const FILE_NAMES: &[&str] = &["HITSTREAM_CONFIG", "HITSTREAM_ENV_FILE"];

/// Makes two layers of a set of variables: the former job's names, then `HITSTREAM_…`, which are more exact. Secrets may lie in
/// files that variables with `_FILE` at their end name.
pub(super) fn from_variables(
    variables: &[(String, String)],
    place: &str,
    defaults: &Layer,
    problems: &mut Vec<Problem>,
) -> [Layer; 2] {
    let mut former = Layer(BTreeMap::new());
    let mut exact = Layer(BTreeMap::new());
    for (name, text) in variables.iter().filter(|(_, text)| !text.is_empty()) {
        let origin = format!("variable {name}{place}");
        let Some(Named { key, is_former, is_file }) = variable_of_ours(name) else {
            if name.starts_with(PREFIX) {
                let stray = stray::problem(name, text, defaults);
                problems.extend(stray.map(|reason| Problem::of(origin, reason)));
            }
            continue;
        };
        let value = if is_file {
            let plain = name.strip_suffix(SUFFIX).unwrap_or(name);
            if variables.iter().any(|(name, text)| name == plain && !text.is_empty()) {
                let reason = format!("{plain} is set as well; leave one of the two out");
                problems.push(Problem { key, ..Problem::of(origin, reason) });
                continue;
            }
            match secret_files::read(&key, text, &origin) {
                Ok(secret) => Value::new(Some(&format!("{origin}, file {text}")), secret),
                Err(problem) => {
                    problems.push(problem);
                    continue;
                }
            }
        } else {
            Value::new(Some(&origin), text.as_str())
        };
        let layer = if is_former { &mut former } else { &mut exact };
        layer.0.insert(key, value);
    }
    [former, exact]
}

/// What a variable sets.
struct Named {
    key: String,
    /// Whether it is a name of the former job.
    is_former: bool,
    /// Whether it names a file with the value.
    is_file: bool,
}

/// Tells what a variable sets; `None` where that is nothing.
fn variable_of_ours(name: &str) -> Option<Named> {
    let plain = |name: &str| {
        let former = FORMER_NAMES.iter().find(|(former, _)| *former == name);
        let exact = name.strip_prefix(PREFIX).filter(|rest| rest.contains("__"));
        former
            .map(|(_, key)| ((*key).to_owned(), true))
            .or_else(|| exact.map(|rest| (key_of_variable(rest), false)))
    };
    let of_file = name.strip_suffix(SUFFIX).and_then(plain);
    let of_file = of_file.filter(|(key, _)| secret_files::is_secret(key));
    let is_file = of_file.is_some();
    let (key, is_former) = of_file.or_else(|| plain(name))?;
    Some(Named { key, is_former, is_file })
}

/// Finds the variables that are meant for us and set to nothing: with where they stand, and the key they would set.
pub(super) fn empty_variables(
    variables: &[(String, String)],
    place: &str,
) -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    for (name, _) in variables.iter().filter(|(_, text)| text.is_empty()) {
        let key = variable_of_ours(name).map(|named| named.key);
        if key.is_some() || FILE_NAMES.contains(&name.as_str()) {
            found.push((format!("{name}{place}"), key));
        }
    }
    found
}

/// Says of each that it has no effect, once, unless what applies is nothing anyway, such as no password.
pub(super) fn remarks_on_empty(
    variables: &[(String, Option<String>)],
    tree: &Tree,
) -> BTreeSet<String> {
    let is_empty =
        |key: &String| tree.0.get(key).is_some_and(|leaf| leaf.value.to_string().is_empty());
    variables
        .iter()
        .filter(|(_, key)| !key.as_ref().is_some_and(is_empty))
        .map(|(name, _)| format!("variable {name} is set but empty; it counts as not set"))
        .collect()
}

/// `KAFKA__PROPERTIES__SESSION_TIMEOUT_MS` is `kafka.properties.session.timeout.ms`.
fn key_of_variable(rest: &str) -> String {
    let key = rest.to_lowercase().replace("__", ".");
    match key.strip_prefix(PROPERTIES) {
        Some(property) => format!("{PROPERTIES}{}", property.replace('_', ".")),
        None => key,
    }
}

/// The variable that sets a key.
pub(super) fn variable_of_key(key: &str) -> String {
    match key.strip_prefix(PROPERTIES) {
        Some(property) => {
            format!("{PREFIX}KAFKA__PROPERTIES__{}", property.replace('.', "_").to_uppercase())
        }
        None => format!("{PREFIX}{}", key.replace('.', "__").to_uppercase()),
    }
}
