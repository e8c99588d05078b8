//! Secrets from files, as containers and service managers hand them over: a variable with `_FILE` at its end names the file.

use std::path::Path;

use super::error::Problem;
use super::kafka;
use super::layer::PROPERTIES;

/// What the names of such variables end with.
pub(super) const SUFFIX: &str = "_FILE";

/// Whether nobody may see this key's value.
pub(super) fn is_secret(key: &str) -> bool {
    match key.strip_prefix(PROPERTIES) {
        Some(property) => kafka::is_secret(property),
        None => ["postgres.password", "postgres.url", "enrich.ip2location.key", "http.token"]
            .contains(&key),
    }
}

/// Reads the secret for `key` from a file; a newline at its end is none of it. `origin` is the variable that names it.
pub(super) fn read(key: &str, path: &str, origin: &str) -> Result<String, Problem> {
    let refused = |reason: String| Problem {
        key: key.to_owned(),
        advice: Some(format!(
            "put the secret, and nothing else, into a text file that this user may read, or leave {} out",
            origin.strip_prefix("variable ").unwrap_or(origin)
        )),
        ..Problem::of(origin.to_owned(), reason)
    };
    // What is no path may be the secret itself, in the wrong variable.
    let shown = match path.starts_with(['/', '.']) {
        true => format!("file {path}"),
        false => "the file that it names".to_owned(),
    };
    let text = std::fs::read_to_string(Path::new(path))
        .map_err(|error| refused(format!("{shown} cannot be read: {error}")))?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        return Err(refused(format!("{shown} is empty")));
    }
    Ok(secret.to_owned())
}
