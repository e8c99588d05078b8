//! What the role may do in the schema.

use hitstream_actors::writer::postgres::grants;
use tokio_postgres::{Client, Row};

use super::report::Finding;
use super::tables::{State, TABLES, VERSIONS};
use crate::cli::CliError;
use crate::config::{Config, KeptIp};
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
const EVENTS: &str = "SELECT pg_has_role(relowner, 'USAGE'), quote_ident(rolname), rolsuper, quote_ident(current_user) FROM pg_class c \
     JOIN pg_namespace n ON n.oid = relnamespace JOIN pg_roles r ON r.oid = relowner \
     WHERE nspname = $1 AND relname = 'processed_events'";

/// Other settings of `privacy.ip` empty them.
const NOT_TRUNCATED: &str = "SELECT relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
     WHERE nspname = $1 AND relname IN ('ip_hash_keys', 'ip_locations') AND NOT has_table_privilege(c.oid, 'TRUNCATE') ORDER BY 1";

/// Asks for those that a run needs.
pub(super) async fn check(
    config: &Config,
    client: &Client,
    state: &State,
) -> Result<Finding, CliError> {
    let schema = &config.postgres.schema;
    let failed = |error: tokio_postgres::Error| database::query_failure(config, &error);
    let row = client.query_one(SCHEMA, &[schema]).await.map_err(failed)?;
    if !matches!(state, State::Current | State::Next(_)) {
        return Ok(may_create(schema, &row));
    }
    let (role, may_use, may_create): (String, bool, bool) = (row.get(0), row.get(4), row.get(5));
    let refused = refused(config, client).await?;
    let events = client.query_opt(EVENTS, &[schema]).await.map_err(failed)?;
    let owns = events.as_ref().is_some_and(|events| events.get(0));
    let may_add_days = !config.events.store || (may_create && owns);
    let reads_and_writes = may_use && refused.is_empty();
    if !reads_and_writes || !may_add_days {
        let what = match (reads_and_writes, may_use) {
            (true, _) => "add days to processed_events".to_owned(),
            (false, true) => format!("read and write {}", refused.join(", ")),
            (false, false) => "read and write anything".to_owned(),
        };
        let detail = format!("role {role} may not {what} in schema {schema}");
        return Ok(Finding::fail(
            "rights",
            detail,
            all_grants(config, &role, events.filter(|_| !may_add_days).as_ref()),
        ));
    }
    let kept = client.query(NOT_TRUNCATED, &[schema]).await.map_err(failed)?;
    let kept: Vec<String> = kept.iter().map(|row| row.get(0)).collect();
    if config.privacy.ip != KeptIp::Full && !kept.is_empty() {
        return Ok(Finding::warn(
            "rights",
            format!("role {role} may not empty {}, as privacy.ip may ask for", kept.join(" and ")),
            &format!("as the owner: {}", grants(schema, &role)),
        ));
    }
    let all = if config.events.store { " and add days to processed_events" } else { "" };
    Ok(Finding::ok("rights", format!("role {role} may read and write all tables{all}")))
}

/// Refuses a role that may not read and write all tables: it would find out one by one, and try for ever.
///
/// # Errors
/// What it may not, and what to grant.
pub(crate) async fn must_be_granted(config: &Config, client: &Client) -> Result<(), CliError> {
    let schema = &config.postgres.schema;
    let refused = refused(config, client).await?;
    if refused.is_empty() {
        return Ok(());
    }
    let role = role(config, client).await?;
    Err(CliError::Mismatch(format!(
        "role {role} may not read and write {} in schema {schema}. As the owner: {}",
        refused.join(", "),
        grants(schema, &role)
    )))
}

/// The tables that this role may not read and write.
async fn refused(config: &Config, client: &Client) -> Result<Vec<String>, CliError> {
    let rows = client.query(REFUSED, &[&config.postgres.schema, &TABLES]).await;
    let rows = rows.map_err(|error| database::query_failure(config, &error))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

async fn role(config: &Config, client: &Client) -> Result<String, CliError> {
    let row = client.query_one("SELECT current_user::text", &[]).await;
    Ok(row.map_err(|error| database::query_failure(config, &error))?.get(0))
}

/// Says that this role may not even read which tables these are.
pub(super) async fn denied(config: &Config, client: &Client) -> Result<Finding, CliError> {
    let schema = &config.postgres.schema;
    let failed = |error: tokio_postgres::Error| database::query_failure(config, &error);
    let role = role(config, client).await?;
    let events = client.query_opt(EVENTS, &[schema]).await.map_err(failed)?;
    let grants = all_grants(config, &role, events.filter(|_| config.events.store).as_ref());
    let detail = format!("role {role} may not read table {VERSIONS} of schema {schema}");
    Ok(Finding::fail("tables", detail, grants))
}

/// All that a role needs that runs and does not migrate, for one go.
fn all_grants(config: &Config, role: &str, events: Option<&Row>) -> String {
    let schema = &config.postgres.schema;
    let grants = grants(schema, role);
    let Some(events) = events else { return format!("as the owner: {grants}") };
    let (owner, is_super, role): (String, bool, String) =
        (events.get(1), events.get(2), events.get(3));
    // To be a member of a superuser is to be one.
    let own = if is_super {
        format!("ALTER TABLE {schema}.processed_events OWNER TO {role}")
    } else {
        format!("GRANT {owner} TO {role}")
    };
    format!(
        "as the owner: {grants}; GRANT CREATE ON SCHEMA {schema} TO {role}; {own}. The last two are for days of \
         processed_events: events.store = false does without"
    )
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
