//! One layer of settings: what a file or the command line says, as dotted keys.

use std::collections::BTreeMap;

use config::{FileFormat, Format, Value, ValueKind};

use super::error::ConfigError;

/// Where a value comes from that nothing has set.
pub(super) const DEFAULT_ORIGIN: &str = "built-in default";
/// What keys of librdkafka's properties begin with.
pub(super) const PROPERTIES: &str = "kafka.properties.";

/// One layer, as dotted keys; properties of librdkafka keep their own dots.
#[derive(Debug, Clone)]
pub(super) struct Layer(pub(super) BTreeMap<String, Value>);

/// Reads TOML.
pub(super) fn parse_toml(origin: &str, name: &str, text: &str) -> Result<Layer, ConfigError> {
    let root = FileFormat::Toml.parse(Some(&origin.to_owned()), text).map_err(|e| {
        // The parser's snippet in between may show a secret; its first and last lines say where and what.
        let text = e.to_string();
        let mut lines = text.lines().filter(|line| !line.trim().is_empty());
        let first = lines.next().unwrap_or("no valid TOML").to_owned();
        let last = lines.next_back().map(|line| format!(": {line}")).unwrap_or_default();
        ConfigError::file(name, format!("{first}{last}"))
    })?;
    let mut layer = Layer(BTreeMap::new());
    for (key, value) in root {
        flatten(key, value, &mut layer.0);
    }
    Ok(layer)
}

/// Turns tables into dotted keys, so that properties may be written with quoted keys or without.
fn flatten(key: String, value: Value, into: &mut BTreeMap<String, Value>) {
    match value.kind {
        // An empty one stays, so that its name is looked at.
        ValueKind::Table(table) if !table.is_empty() => {
            for (name, value) in table {
                flatten(format!("{key}.{name}"), value, into);
            }
        }
        _ => {
            into.insert(key, value);
        }
    }
}

/// Makes a layer of what flags set.
pub(super) fn from_flags(flags: &[(&'static str, &'static str, String)]) -> Layer {
    let value = |flag: &str, text: &String| Value::new(Some(&flag.to_owned()), text.as_str());
    Layer(flags.iter().map(|(flag, key, text)| ((*key).to_owned(), value(flag, text))).collect())
}
