//! Variables as layers of settings: which key each sets, and which set nothing.

use std::collections::{BTreeMap, BTreeSet};

use config::Value;

use super::error::Problem;
use super::layer::{Layer, PROPERTIES};
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

/// Makes two layers of a set of variables: the former job's names, then `HITSTREAM_…`, which are more exact.
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
        let value = Value::new(Some(&origin), text.as_str());
        if let Some((_, key)) = FORMER_NAMES.iter().find(|(former, _)| former == name) {
            former.0.insert((*key).to_owned(), value);
            continue;
        }
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        match rest.split_once("__") {
            Some(_) => drop(exact.0.insert(key_of_variable(rest), value)),
            None => {
                let stray = stray::problem(name, text, defaults);
                problems.extend(stray.map(|reason| Problem::of(origin, reason)));
            }
        }
    }
    [former, exact]
}

/// Finds the variables that are meant for us and set to nothing: with where they stand, and the key they would set.
pub(super) fn empty_variables(
    variables: &[(String, String)],
    place: &str,
) -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    for (name, _) in variables.iter().filter(|(_, text)| text.is_empty()) {
        let former = FORMER_NAMES.iter().find(|(former, _)| former == name);
        let exact = name.strip_prefix(PREFIX).filter(|rest| rest.contains("__"));
        let key = former.map(|(_, key)| (*key).to_owned()).or_else(|| exact.map(key_of_variable));
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
