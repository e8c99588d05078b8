//! What the role may do in the schema.

use hitstream_actors::writer::postgres::grants;
use tokio_postgres::{Client, Row};

use super::report::Finding;
use super::tables::{State, TABLES};
use crate::cli::CliError;
use crate::config::Config;
use crate::database;

const SCHEMA: &str = "SELECT current_user::text, current_database()::text, has_database_privilege(current_database(), 'CREATE'), \
     n.oid IS NOT NULL, coalesce(has_schema_privilege(n.oid, 'USAGE'), false), \
     coalesce(has_schema_privilege(n.oid, 'CREATE'), false) \
     FROM (SELECT) AS one LEFT JOIN pg_namespace n ON nspname = $1";

/// Views are only read.
const REFUSED: &str = "SELECT relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
     WHERE nspname = $1 AND relname = ANY($2) AND NOT (has_table_privilege(c.oid, 'SELECT') \
       AND (relkind = 'v' OR (has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'UPDATE') \
         AND has_table_privilege(c.oid, 'DELETE')))) ORDER BY 1";

/// Only an owner may attach a day to it.
const OWNS_EVENTS: &str = "SELECT pg_has_role(relowner, 'USAGE') FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
     WHERE nspname = $1 AND relname = 'processed_events'";

/// Asks for those that a run needs.
pub(super) async fn check(
    config: &Config,
    client: &Client,
    state: &State,
) -> Result<Finding, CliError> {
    let schema = &config.postgres.schema;
    let failed = |error: tokio_postgres::Error| database::query_failure(config, &error);
    let row = client.query_one(SCHEMA, &[schema]).await.map_err(failed)?;
    if *state != State::Current {
        return Ok(may_create(schema, &row));
    }
    let (role, may_use, may_create): (String, bool, bool) = (row.get(0), row.get(4), row.get(5));
    let refused = client.query(REFUSED, &[schema, &TABLES]).await.map_err(failed)?;
    let refused: Vec<String> = refused.iter().map(|row| row.get(0)).collect();
    if !may_use || !refused.is_empty() {
        let what = if may_use { refused.join(", ") } else { "anything".to_owned() };
        return Ok(Finding::fail(
            "rights",
            format!("role {role} may not read and write {what} in schema {schema}"),
            grants(schema, &role),
        ));
    }
    if !config.events.store {
        return Ok(Finding::ok("rights", format!("role {role} may read and write all tables")));
    }
    let owns = client.query_one(OWNS_EVENTS, &[schema]).await.map_err(failed)?;
    if may_create && owns.get(0) {
        let all = "may read and write all tables and add days to processed_events";
        return Ok(Finding::ok("rights", format!("role {role} {all}")));
    }
    Ok(Finding::fail(
        "rights",
        format!("role {role} may not add days to processed_events in schema {schema}"),
        format!(
            "GRANT CREATE ON SCHEMA {schema} TO {role}, and the role that owns processed_events; or set events.store = false"
        ),
    ))
}

/// Where tables have to be made first.
fn may_create(schema: &str, row: &Row) -> Finding {
    let (role, database): (String, String) = (row.get(0), row.get(1));
    let (in_database, exists): (bool, bool) = (row.get(2), row.get(3));
    let in_schema = row.get::<_, bool>(4) && row.get::<_, bool>(5);
    match (exists, in_schema, in_database) {
        (true, true, _) => {
            Finding::ok("rights", format!("role {role} may create tables in schema {schema}"))
        }
        (true, false, _) => Finding::fail(
            "rights",
            format!("role {role} may not create tables in schema {schema}"),
            format!(
                "run `hitstream migrate` as the owner, or: GRANT CREATE, USAGE ON SCHEMA {schema} TO {role}"
            ),
        ),
        (false, _, true) => {
            Finding::ok("rights", format!("role {role} may create schema {schema}"))
        }
        (false, _, false) => Finding::fail(
            "rights",
            format!("there is no schema {schema}, and role {role} may not create it"),
            format!(
                "CREATE SCHEMA {schema} AUTHORIZATION {role}, or: GRANT CREATE ON DATABASE {database} TO {role}"
            ),
        ),
    }
}
