//! From values to settings: what cannot be read is reported, all of it at once.

use super::error::{ConfigError, Problem};
use super::layer::{DEFAULT_ORIGIN, Layer};
use super::sections::Config;
use super::tree::{Leaf, Tree};

/// Reads the settings. The library stops at the first value that it cannot read: that one is reported and gets its
/// default, until no other is left.
pub(super) fn deserialize(
    tree: &Tree,
    defaults: &Layer,
    problems: &mut Vec<Problem>,
) -> Result<Config, ConfigError> {
    let mut readable = tree.clone();
    loop {
        let (key, reason) = match readable.nested().try_deserialize() {
            Ok(config) => return Ok(config),
            Err(error) => explain(error),
        };
        problems.push(tree.problem(&key, reason));
        let leaf = readable.0.get_mut(&key).filter(|leaf| leaf.origin != DEFAULT_ORIGIN);
        let (Some(leaf), Some(default)) = (leaf, defaults.0.get(&key)) else {
            return Err(ConfigError(std::mem::take(problems)));
        };
        *leaf = Leaf { value: default.clone(), origin: DEFAULT_ORIGIN.to_owned() };
    }
}

/// Takes key and reason out of the library's error.
fn explain(error: config::ConfigError) -> (String, String) {
    use config::ConfigError as E;
    match error {
        E::At { error, key, .. } => {
            let (inner, reason) = explain(*error);
            (key.unwrap_or(inner), reason)
        }
        E::Type { expected, key, .. } => (key.unwrap_or_default(), reword(expected)),
        E::NotFound(key) => (key, "is missing".to_owned()),
        E::Message(text) => (String::new(), reword(&text)),
        other => (String::new(), other.to_string()),
    }
}

/// Turns serde's words into what would do.
fn reword(text: &str) -> String {
    if text.contains("nonzero") {
        "must be 1 or more".to_owned()
    } else if text.contains("integer") {
        "must be a whole number, not negative, of 18 digits at most".to_owned()
    } else if text.contains("boolean") {
        "must be true or false".to_owned()
    } else if text.starts_with("is ") || text.starts_with("must ") {
        text.to_owned()
    } else {
        format!("cannot be used: {text}")
    }
}
