//! The settings that apply: which value holds for a key, where it comes from, and how it is shown.

use std::collections::BTreeMap;

use config::{Map, Value, ValueKind};

use super::error::Problem;
use super::layer::{DEFAULT_ORIGIN, Layer, PROPERTIES};
use super::secret::{MASK, masked_url};
use super::secret_files::is_secret;
use super::{kafka, postgres};

/// The layers brought together: which value holds for a key, and where it came from.
#[derive(Debug, Clone)]
pub(super) struct Tree(pub(super) BTreeMap<String, Leaf>);

/// A value that holds.
#[derive(Debug, Clone)]
pub(super) struct Leaf {
    pub(super) value: Value,
    pub(super) origin: String,
}

impl Tree {
    /// Lays them over each other; later ones win.
    pub(super) fn of(layers: &[Layer]) -> Self {
        let mut tree = BTreeMap::new();
        for (key, value) in layers.iter().flat_map(|layer| &layer.0) {
            let origin = value.origin().unwrap_or(DEFAULT_ORIGIN).to_owned();
            tree.insert(key.clone(), Leaf { value: value.clone(), origin });
        }
        Self(tree)
    }

    /// Whether somebody has set this key, if only to its default.
    pub(super) fn is_set(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(|leaf| leaf.origin != DEFAULT_ORIGIN)
    }

    /// Tells a key's value and where it comes from.
    pub(super) fn told(&self, key: &str) -> String {
        self.0.get(key).map_or_else(
            || key.to_owned(),
            |leaf| format!("{key} = {} ({})", leaf.shown(key), leaf.origin),
        )
    }

    /// Shows what the URL names as what applies.
    pub(super) fn take_from_url(&mut self, overrides: Vec<(&'static str, String)>) {
        let url = self.0.get("postgres.url").map_or(DEFAULT_ORIGIN, |leaf| &leaf.origin);
        let origin = format!("in postgres.url ({url})");
        for (key, value) in overrides {
            let leaf = Leaf { value: value.into(), origin: origin.clone() };
            self.0.insert(key.to_owned(), leaf);
        }
    }

    /// Rebuilds the tables that the settings are read from.
    pub(super) fn nested(&self) -> Value {
        let mut root = Map::<String, Value>::new();
        // Without any property it is a table all the same.
        let properties = PROPERTIES.trim_end_matches('.');
        insert(&mut root, properties, Map::<String, Value>::new().into());
        for (key, leaf) in &self.0 {
            insert(&mut root, key, leaf.value.clone());
        }
        Value::from(root)
    }

    /// Reports a key whose value may be a secret in the wrong shape, which nothing could mask, with where it came from.
    pub(super) fn secret_problem(&self, key: &str, reason: impl Into<String>) -> Problem {
        Problem { value: String::new(), ..self.problem(key, reason) }
    }

    /// Reports a key's value, with where it came from.
    pub(super) fn problem(&self, key: &str, reason: impl Into<String>) -> Problem {
        match self.0.get(key) {
            Some(leaf) => leaf.problem(key, reason.into()),
            None => {
                Problem { key: key.to_owned(), ..Problem::of(DEFAULT_ORIGIN.to_owned(), reason) }
            }
        }
    }

    /// Prints every setting as TOML, with its origin where that is not the default; secrets are masked.
    pub(super) fn describe(&self) -> String {
        let mut out =
            "# What has no remark is the built-in default; a remark says where the value comes from.\n\n"
                .to_owned();
        let mut section = String::new();
        // Sections stay together: those of kafka's properties come after its own keys.
        let in_order = |(key, _): &(&String, &Leaf)| {
            let section = if key.starts_with(PROPERTIES) {
                PROPERTIES
            } else {
                key.rsplit_once('.').map_or(key.as_str(), |(section, _)| section)
            };
            (section.to_owned(), key.to_string())
        };
        let mut leaves: Vec<_> = self.0.iter().collect();
        leaves.sort_by_key(in_order);
        for (key, leaf) in leaves {
            let (parent, name) = match key.strip_prefix(PROPERTIES) {
                Some(property) => ("kafka.properties", format!("{property:?}")),
                None => key.rsplit_once('.').map_or(("", key.clone()), |(p, n)| (p, n.to_owned())),
            };
            if parent != section {
                out.push_str(if section.is_empty() { "" } else { "\n" });
                out.push_str(&format!("[{parent}]\n"));
                parent.clone_into(&mut section);
            }
            let origin = if leaf.origin == DEFAULT_ORIGIN {
                String::new()
            } else {
                format!("  # {}", leaf.origin)
            };
            out.push_str(&format!("{name} = {}{origin}\n", leaf.shown(key)));
        }
        out
    }
}

impl Leaf {
    /// Reports it.
    pub(super) fn problem(&self, key: &str, reason: String) -> Problem {
        Problem {
            key: key.to_owned(),
            value: self.shown(key),
            ..Problem::of(self.origin.clone(), reason)
        }
    }

    /// Shows the value as TOML, masked where it is a secret.
    fn shown(&self, key: &str) -> String {
        match &self.value.kind {
            ValueKind::String(s) if s.is_empty() => "\"\"".into(),
            ValueKind::String(s) => format!("{:?}", shown_text(key, s)),
            ValueKind::Array(words) => {
                let word = |word: &Value| format!("{:?}", shown_text(key, &word.to_string()));
                format!("[{}]", words.iter().map(word).collect::<Vec<String>>().join(", "))
            }
            _ => {
                let text = self.value.to_string();
                let shown = shown_text(key, &text);
                if shown == text { text } else { format!("{shown:?}") }
            }
        }
    }
}

/// Gives a setting's text fit to be shown; credentials in a URL are secret wherever it stands.
fn shown_text(key: &str, text: &str) -> String {
    // Its name says more than its value: a password may look like a URL.
    if let Some(property) = key.strip_prefix(PROPERTIES) {
        return kafka::shown(property, text);
    }
    match key {
        "postgres.url" => postgres::shown(text),
        _ if is_secret(key) => MASK.to_owned(),
        "enrich.ip2location.base_url" | "kafka.brokers" => masked_url(text),
        _ if text.contains("://") => masked_url(text),
        _ => text.to_owned(),
    }
}

/// Puts a value where its dotted key says; a property of librdkafka keeps its own dots.
fn insert(table: &mut Map<String, Value>, key: &str, value: Value) {
    let is_property = key.starts_with(PROPERTIES);
    let mut parts = key.splitn(if is_property { 3 } else { usize::MAX }, '.').peekable();
    let mut table = table;
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            table.insert(part.to_owned(), value);
            return;
        }
        let inner =
            table.entry(part.to_owned()).or_insert_with(|| Map::<String, Value>::new().into());
        let ValueKind::Table(inner) = &mut inner.kind else { return };
        table = inner;
    }
}
