//! What is wrong with a key, or with the kind of its value, before it is read.

use config::{Value, ValueKind};

use super::error::Problem;
use super::layer::{Layer, PROPERTIES};
use super::meant;
use super::tree::Leaf;
use super::variables::variable_of_key;

/// Says what is wrong with a key, or with the kind of its value.
pub(super) fn problem_of(key: &str, value: &Value, defaults: &Layer) -> Option<Problem> {
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
    let reason = if is_section(key, defaults) {
        format!("is a section; write [{key}] and its keys below")
    } else {
        let known: Vec<&str> = defaults.0.keys().map(String::as_str).collect();
        const ALL: &str = "`hitstream --print-config` lists them all";
        let what = if matches!(value.kind, ValueKind::Table(_)) { "section" } else { "key" };
        if let Some(section) = meant::section(key, &known) {
            let reason = format!("no such {what}; did you mean [{section}]?");
            return Some(Problem { key: key.to_owned(), ..Problem::of(origin, reason) });
        }
        match (meant::meant(key, &known), meant::names_beside(key, &known)) {
            (Some(near), _) => format!("no such {what}; did you mean {}?", spell(&near)),
            (None, Some((section, names))) => {
                format!("no such {what}; [{section}] has {}; {ALL}", names.join(", "))
            }
            (None, None) => format!("no such {what}; {ALL}"),
        }
    };
    Some(Problem { key: key.to_owned(), ..Problem::of(origin, reason) })
}

/// Whether it is a section that there is.
pub(super) fn is_section(key: &str, defaults: &Layer) -> bool {
    let is_in = |known: &String| known.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'));
    key == PROPERTIES.trim_end_matches('.') || defaults.0.keys().any(is_in)
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
