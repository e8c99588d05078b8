//! Brings the layers together and remembers where each value came from.

use std::collections::{BTreeMap, BTreeSet};

use config::{FileFormat, Format, Map, Value, ValueKind};

use super::error::{ConfigError, Problem};
use super::postgres::OfUrl;
use super::secret::{MASK, masked_url};
use super::sections::Config;
use super::{DEFAULTS, env_file, kafka, meant, postgres, validate};

/// The names that the former job used, and the keys they set.
const FORMER_NAMES: &[(&str, &str)] = &[
    ("KAFKA_URL", "kafka.brokers"),
    ("KAFKA_TOPIC", "kafka.topic"),
    ("KAFKA_GROUP", "kafka.group"),
    ("POSTGRES_URL", "postgres.url"),
    ("POSTGRES_USER", "postgres.user"),
    ("POSTGRES_PASSWORD", "postgres.password"),
    ("POSTGRES_DB", "postgres.database"),
    ("IP_CODING_KEY", "enrich.ip2location.key"),
];

const PREFIX: &str = "HITSTREAM_";
const PROPERTIES: &str = "kafka.properties.";

/// What the settings are made of, each with its name; nothing here reads a file or the environment.
#[derive(Debug, Default, Clone)]
pub struct Layers {
    /// Name and text of `--config`.
    pub file: Option<(String, String)>,
    /// Name and text of `--env-file`.
    pub env_file: Option<(String, String)>,
    /// The environment.
    pub env: Vec<(String, String)>,
    /// Flag, key and value of settings on the command line.
    pub flags: Vec<(&'static str, &'static str, String)>,
}

/// Checked settings, and what a person should hear about them.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// Remarks for the log, such as JDBC options that have no meaning here.
    pub remarks: Vec<String>,
    tree: Tree,
}

impl Loaded {
    /// Prints every setting as TOML, with its origin where that is not the default; secrets are masked.
    pub fn describe(&self) -> String {
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
        let mut leaves: Vec<_> = self.tree.0.iter().collect();
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

impl Layers {
    /// Layers and checks the settings.
    ///
    /// # Errors
    /// Everything that is wrong with them, as far as it can be told at once.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        let defaults = parse_toml(DEFAULT_ORIGIN, "hitstream.toml", DEFAULTS)?;
        let mut layers = vec![defaults.clone()];
        if let Some((name, text)) = &self.file {
            layers.push(parse_toml(&format!("file {name}"), name, text)?);
        }
        let mut problems = Vec::new();
        let mut empty = empty_variables(&self.env, "");
        if let Some((name, text)) = &self.env_file {
            let variables = env_file::parse(text).map_err(|(line, reason)| {
                ConfigError::file(name, format!("line {line} {reason}"))
            })?;
            let place = format!(" in {name}");
            empty.extend(empty_variables(&variables, &place));
            layers.extend(from_variables(&variables, &place, &defaults, &mut problems));
        }
        layers.extend(from_variables(&self.env, "", &defaults, &mut problems));
        layers.push(from_flags(&self.flags));

        // What is wrong is left out, so that the rest is judged all the same.
        for layer in layers.iter_mut().skip(1) {
            layer.0.retain(|key, value| {
                let problem = problem_of(key, value, &defaults);
                let is_right = problem.is_none();
                problems.extend(problem);
                is_right
            });
        }
        let mut tree = Tree::of(&layers);
        let mut config = deserialize(&tree, &defaults, &mut problems)?;
        let url = config.postgres.resolve();
        let of_url =
            url.map_err(|reason| problems.push(tree.secret_problem("postgres.url", reason)));
        validate::check(&config, &tree, &mut problems);
        if !problems.is_empty() {
            return Err(ConfigError(problems));
        }
        let OfUrl { passed_over, overrides } = of_url.unwrap_or_default();
        tree.take_from_url(overrides);
        let mut remarks: Vec<String> = passed_over
            .iter()
            .map(|option| format!("postgres.url: option {option} has no meaning here; passed over"))
            .collect();
        remarks.extend(remarks_on_empty(&empty, &tree));
        Ok(Loaded { config, remarks, tree })
    }
}

/// Variables that are read before the settings are.
const FILE_NAMES: &[&str] = &["HITSTREAM_CONFIG", "HITSTREAM_ENV_FILE"];
const DEFAULT_ORIGIN: &str = "built-in default";

/// One layer, as dotted keys; properties of librdkafka keep their own dots.
#[derive(Debug, Clone)]
struct Layer(BTreeMap<String, Value>);

/// The layers brought together: which value holds for a key, and where it came from.
#[derive(Debug, Clone)]
pub(super) struct Tree(BTreeMap<String, Leaf>);

#[derive(Debug, Clone)]
struct Leaf {
    value: Value,
    origin: String,
}

impl Leaf {
    fn problem(&self, key: &str, reason: String) -> Problem {
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
        "postgres.password" | "enrich.ip2location.key" => MASK.to_owned(),
        "postgres.url" => postgres::shown(text),
        "enrich.ip2location.base_url" | "kafka.brokers" => masked_url(text),
        _ if text.contains("://") => masked_url(text),
        _ => text.to_owned(),
    }
}

impl Tree {
    fn of(layers: &[Layer]) -> Self {
        let mut tree = BTreeMap::new();
        for (key, value) in layers.iter().flat_map(|layer| &layer.0) {
            let origin = value.origin().unwrap_or(DEFAULT_ORIGIN).to_owned();
            tree.insert(key.clone(), Leaf { value: value.clone(), origin });
        }
        Self(tree)
    }

    /// Shows what the URL names as what applies.
    fn take_from_url(&mut self, overrides: Vec<(&'static str, String)>) {
        let url = self.0.get("postgres.url").map_or(DEFAULT_ORIGIN, |leaf| &leaf.origin);
        let origin = format!("in postgres.url ({url})");
        for (key, value) in overrides {
            let leaf = Leaf { value: value.into(), origin: origin.clone() };
            self.0.insert(key.to_owned(), leaf);
        }
    }

    /// Rebuilds the tables that the settings are read from.
    fn nested(&self) -> Value {
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

fn parse_toml(origin: &str, name: &str, text: &str) -> Result<Layer, ConfigError> {
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
        ValueKind::Table(table) => {
            for (name, value) in table {
                flatten(format!("{key}.{name}"), value, into);
            }
        }
        _ => {
            into.insert(key, value);
        }
    }
}

/// Makes two layers of a set of variables: the former job's names, then `HITSTREAM_…`, which are more exact.
fn from_variables(
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
            // Kubernetes and others set HITSTREAM_… of their own; only a key in all but the second `_` is meant for us.
            None => {
                let meant = rest.to_lowercase();
                if let Some(key) = defaults.0.keys().find(|key| key.replace('.', "_") == meant) {
                    let reason = format!(
                        "has one underscore after its section; write {}",
                        variable_of_key(key)
                    );
                    problems.push(Problem::of(origin, reason));
                }
            }
        }
    }
    [former, exact]
}

/// Finds the variables that are meant for us and set to nothing: with where they stand, and the key they would set.
fn empty_variables(variables: &[(String, String)], place: &str) -> Vec<(String, Option<String>)> {
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
fn remarks_on_empty(variables: &[(String, Option<String>)], tree: &Tree) -> BTreeSet<String> {
    let is_empty =
        |key: &String| tree.0.get(key).is_some_and(|leaf| leaf.value.to_string().is_empty());
    variables
        .iter()
        .filter(|(_, key)| !key.as_ref().is_some_and(is_empty))
        .map(|(name, _)| format!("variable {name} is set but empty; it counts as not set"))
        .collect()
}

fn from_flags(flags: &[(&'static str, &'static str, String)]) -> Layer {
    let value = |flag: &str, text: &String| Value::new(Some(&flag.to_owned()), text.as_str());
    Layer(flags.iter().map(|(flag, key, text)| ((*key).to_owned(), value(flag, text))).collect())
}

/// `KAFKA__PROPERTIES__SESSION_TIMEOUT_MS` is `kafka.properties.session.timeout.ms`.
fn key_of_variable(rest: &str) -> String {
    let key = rest.to_lowercase().replace("__", ".");
    match key.strip_prefix(PROPERTIES) {
        Some(property) => format!("{PROPERTIES}{}", property.replace('_', ".")),
        None => key,
    }
}

fn variable_of_key(key: &str) -> String {
    match key.strip_prefix(PROPERTIES) {
        Some(property) => {
            format!("{PREFIX}KAFKA__PROPERTIES__{}", property.replace('.', "_").to_uppercase())
        }
        None => format!("{PREFIX}{}", key.replace('.', "__").to_uppercase()),
    }
}

/// Says what is wrong with a key, or with the kind of its value.
fn problem_of(key: &str, value: &Value, defaults: &Layer) -> Option<Problem> {
    let origin = value.origin().unwrap_or_default().to_owned();
    let default = defaults.0.get(key).map(|value| &value.kind);
    if key.starts_with(PROPERTIES) || default.is_some() {
        let wanted = check_kind(&value.kind, default).err()?;
        let leaf = Leaf { value: value.clone(), origin };
        let problem = leaf.problem(key, format!("must be {wanted}"));
        // Whether it is a property, and not a password under another name, nobody has said yet.
        let may_be_secret = key.starts_with(PROPERTIES) || key == "postgres.url";
        return Some(if may_be_secret {
            Problem { value: String::new(), ..problem }
        } else {
            problem
        });
    }
    let from_variable = origin.starts_with("variable ");
    let spell = |key: &str| if from_variable { variable_of_key(key) } else { key.to_owned() };
    let is_in = |known: &String| known.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'));
    let reason = if defaults.0.keys().any(is_in) {
        format!("is a section; write [{key}] and its keys below")
    } else {
        let known: Vec<&str> = defaults.0.keys().map(String::as_str).collect();
        const ALL: &str = "`hitstream --print-config` lists them all";
        match (meant::meant(key, &known), meant::names_beside(key, &known)) {
            (Some(near), _) => format!("no such key; did you mean {}?", spell(&near)),
            (None, Some((section, names))) => {
                format!("no such key; [{section}] has {}; {ALL}", names.join(", "))
            }
            (None, None) => format!("no such key; {ALL}"),
        }
    };
    Some(Problem { key: key.to_owned(), ..Problem::of(origin, reason) })
}

/// The library turns numbers, texts and truths into each other, which would hide a slip such as `1.5` for a
/// count. A text may stand for anything, as variables have nothing else.
fn check_kind(kind: &ValueKind, default: Option<&ValueKind>) -> Result<(), &'static str> {
    use ValueKind as K;
    match (default, kind) {
        (_, K::String(_)) => Ok(()),
        (Some(K::Boolean(_)), K::Boolean(_)) => Ok(()),
        (Some(K::Boolean(_)), _) => Err("true or false"),
        (Some(K::I64(_)) | None, K::I64(_)) | (None, K::Boolean(_) | K::Float(_)) => Ok(()),
        (Some(K::I64(_)), _) => Err("a whole number"),
        (Some(K::Array(_)), K::Array(_)) => Ok(()),
        (Some(K::Array(_)), _) => Err("a list of texts in quotes"),
        // A size may be a bare number of bytes; a duration without a unit gets its own word later.
        (Some(_), K::I64(_)) => Ok(()),
        _ => Err("a text in quotes"),
    }
}

/// Reads the settings. The library stops at the first value that it cannot read: that one is reported and gets its
/// default, until no other is left.
fn deserialize(
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
        "must be a whole number, not negative".to_owned()
    } else if text.contains("boolean") {
        "must be true or false".to_owned()
    } else if text.starts_with("is ") || text.starts_with("must ") {
        text.to_owned()
    } else {
        format!("cannot be used: {text}")
    }
}
