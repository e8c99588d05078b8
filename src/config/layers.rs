//! Brings the layers together of settings together, and checks what comes of them.

use config::{Value, ValueKind};

use super::error::{ConfigError, Problem};
use super::keys::{is_section, problem_of};
use super::layer::{DEFAULT_ORIGIN, from_flags, parse_toml};
use super::postgres::OfUrl;
use super::read::deserialize;
use super::sections::Config;
use super::tree::Tree;
use super::variables::{empty_variables, from_variables, remarks_on_empty};
use super::{DEFAULTS, env_file, validate};

/// What the settings are made of, each with its name; nothing here reads the environment, nor any file but those that variables
/// name for secrets.
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
    /// Whether somebody has set this key, if only to its default.
    pub fn is_set(&self, key: &str) -> bool {
        self.tree.is_set(key)
    }

    /// Reports a key's value, with where it came from.
    pub(super) fn problem(&self, key: &str, reason: impl Into<String>) -> Problem {
        self.tree.problem(key, reason)
    }

    /// Prints every setting as TOML, with its origin where that is not the default; secrets are masked.
    pub fn describe(&self) -> String {
        self.tree.describe()
    }
}

impl Layers {
    /// Layers and checks the settings.
    ///
    /// # Errors
    /// Everything that is wrong with them, as far as it can be told at once.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        let mut defaults = parse_toml(DEFAULT_ORIGIN, "hitstream.toml", DEFAULTS)?;
        defaults.0.retain(|_, value| !is_empty_section(value));
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
                if is_empty_section(value) && is_section(key, &defaults) {
                    return false;
                }
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
        if let Ok(OfUrl { schema: Some(schema), .. }) = &of_url {
            problems.extend(take_schema(schema, &mut config, &mut tree));
        }
        let OfUrl { passed_over, overrides, .. } = of_url.unwrap_or_default();
        tree.take_from_url(overrides);
        validate::check(&config, &tree, &mut problems);
        if !problems.is_empty() {
            return Err(ConfigError(problems));
        }
        let mut remarks: Vec<String> = passed_over
            .iter()
            .map(|option| format!("postgres.url: option {option} has no meaning here; passed over"))
            .collect();
        remarks.extend(remarks_on_empty(&empty, &tree));
        Ok(Loaded { config, remarks, tree })
    }
}

/// Takes the schema that the URL names where nothing else does. Two that differ would be a guess.
fn take_schema(schema: &str, config: &mut Config, tree: &mut Tree) -> Option<Problem> {
    const KEY: &str = "postgres.schema";
    if !tree.is_set(KEY) {
        tree.take_from_url(vec![(KEY, schema.to_owned())]);
        schema.clone_into(&mut config.postgres.schema);
        return None;
    }
    let reason =
        || format!("is not what postgres.url names, currentSchema={schema}; leave one out");
    (config.postgres.schema != schema).then(|| tree.problem(KEY, reason()))
}

/// A section whose keys are all commented out says nothing.
fn is_empty_section(value: &Value) -> bool {
    matches!(value.kind, ValueKind::Table(_))
}
