//! What a role may not do, and what has to be granted to it.

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error};

use super::session::{PostgresSettings, describe, quoted};
use crate::store::StoreError;

/// Gives the statements that let a role read and write all tables of a schema, and empty those that privacy may forbid.
pub fn grants(schema: &str, role: &str) -> String {
    let (schema, role) = (named(schema), named(role));
    format!(
        "GRANT USAGE ON SCHEMA {schema} TO {role}; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} \
         TO {role}; GRANT TRUNCATE ON {schema}.ip_hash_keys, {schema}.ip_locations TO {role}"
    )
}

/// Tells whether there are tables of some version of hitstream in the schema, whether or not this role may use it.
///
/// # Errors
/// What the server or the connection says.
pub async fn has_tables(client: &Client, schema: &str) -> Result<bool, Error> {
    let query = "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE nspname = $1 AND relname = 'hitstream_migrations')";
    Ok(client.query_one(query, &[&schema]).await?.get(0))
}

/// The role that these settings name.
pub(super) fn role(settings: &PostgresSettings) -> &str {
    settings.config.get_user().unwrap_or("…")
}

/// What a failure for lack of rights to tables that are there means, and what to grant; `None` where it is another one.
pub fn missing_rights(error: &Error, settings: &PostgresSettings) -> Option<StoreError> {
    let is_lack = error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE);
    is_lack.then(|| lacking(error, settings))
}

/// What such a failure means.
pub(super) fn lacking(error: &Error, settings: &PostgresSettings) -> StoreError {
    let (schema, role) = (&settings.schema, role(settings));
    StoreError::Mismatch(format!(
        "role {role} lacks rights in schema {schema:?}: {}. As the owner of its tables: {}",
        describe(error),
        grants(schema, role)
    ))
}

/// An identifier as SQL takes it, in quotes where it needs them.
pub(super) fn named(identifier: &str) -> String {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let begins_well = identifier.starts_with(|c: char| !c.is_ascii_digit());
    if begins_well && identifier.chars().all(is_plain) {
        identifier.to_owned()
    } else {
        quoted(identifier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_where_they_need_it() {
        assert_eq!(named("web_1"), "web_1");
        for (name, quoted) in [("a-b", "\"a-b\""), ("1a", "\"1a\""), ("A\"", "\"A\"\"\"")] {
            assert_eq!(named(name), quoted);
        }
    }
}
