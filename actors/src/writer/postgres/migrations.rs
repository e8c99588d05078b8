//! Versioned migrations, under a lock, and what must be true of the server before.

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tracing::warn;

use super::locks::migration_lock;
use super::rights::{self, named};
use super::session::{PostgresSettings, describe, quoted};
use crate::store::StoreError;

mod embedded {
    refinery::embed_migrations!("../config/migrations");
}

/// The oldest PostgreSQL that the commit protocol and its DDL are tested with.
const OLDEST_SERVER: i32 = 150_000;

/// Whom the tables in a schema belong to or, while there are none, the schema itself, where that is another role, which this
/// one is a member of. `public` is nobody's own.
const OTHER_OWNER: &str = "SELECT r.rolname::text \
     FROM pg_namespace n LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = 'hitstream_migrations' \
     JOIN pg_roles r ON r.oid = coalesce(c.relowner, CASE WHEN n.nspname <> 'public' THEN n.nspowner END) \
     WHERE n.nspname = $1 AND r.rolname <> current_user AND pg_has_role(r.oid, 'MEMBER')";

/// What a run of the migrations did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationReport {
    /// The migrations applied now, as `V1__name`.
    pub applied: Vec<String>,
    /// The schema's version after that.
    pub version: i32,
}

/// Brings the schema up to this version's migrations. Instances that start together wait for each other.
///
/// # Errors
/// `Mismatch` where server or schema cannot be used, `Unavailable` otherwise.
pub(super) async fn migrate(
    client: &mut Client,
    settings: &PostgresSettings,
) -> Result<MigrationReport, StoreError> {
    check_server(client).await?;
    let lock = migration_lock(&settings.schema);
    let unavailable = |error: &tokio_postgres::Error| StoreError::Unavailable(describe(error));
    client.execute("SELECT pg_advisory_lock($1)", &[&lock]).await.map_err(|e| unavailable(&e))?;
    let outcome = migrate_as_owner(client, settings).await;
    client.execute("SELECT pg_advisory_unlock($1)", &[&lock]).await.map_err(|e| unavailable(&e))?;
    outcome
}

/// Tables belong to one role, that of those that are there, or of a schema of their own, whichever of its members migrates:
/// the next migration is the owner's to make.
async fn migrate_as_owner(
    client: &mut Client,
    settings: &PostgresSettings,
) -> Result<MigrationReport, StoreError> {
    let unavailable = |error: tokio_postgres::Error| StoreError::Unavailable(describe(&error));
    let owner = client.query_opt(OTHER_OWNER, &[&settings.schema]).await.map_err(unavailable)?;
    let Some(owner) = owner.map(|row| row.get::<_, String>(0)) else {
        return migrate_locked(client, settings, rights::role(settings)).await;
    };
    let become_owner = format!("SET ROLE {}", quoted(&owner));
    let schema = settings.schema.as_str();
    client.batch_execute(&become_owner).await.map_err(|e| refused(&e, schema, &owner))?;
    let outcome = migrate_locked(client, settings, &owner).await;
    client.batch_execute("RESET ROLE").await.map_err(unavailable)?;
    outcome
}

async fn migrate_locked(
    client: &mut Client,
    settings: &PostgresSettings,
    role: &str,
) -> Result<MigrationReport, StoreError> {
    let schema = settings.schema.as_str();
    let exists = "SELECT 1 FROM pg_namespace WHERE nspname = $1";
    let found = client.query_opt(exists, &[&schema]).await;
    if found.map_err(|e| StoreError::Unavailable(describe(&e)))?.is_none() {
        let create = format!("CREATE SCHEMA {}", quoted(schema));
        client.batch_execute(&create).await.map_err(|e| schema_refused(&e, schema, role))?;
    }
    let version = tables_version();
    if let Some(there) = version_there(client).await.filter(|there| *there > version) {
        return newer(client, schema, there).await;
    }
    let mut runner =
        embedded::migrations::runner().set_abort_divergent(true).set_abort_missing(true);
    runner.set_migration_table_name("hitstream_migrations");
    let error = match runner.run_async(client).await {
        Ok(report) => {
            let applied = report.applied_migrations().iter().map(ToString::to_string).collect();
            return Ok(MigrationReport { applied, version });
        }
        Err(error) => error,
    };
    // Wrapped more or less deeply, by what was being done.
    let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |e| e.source());
    let Some(cause) = causes.into_iter().find_map(|e| e.downcast_ref::<tokio_postgres::Error>())
    else {
        return Err(StoreError::Mismatch(format!(
            "schema {schema:?} cannot be migrated: {error}. A newer hitstream may have been here: use that, or set \
             postgres.schema to another schema"
        )));
    };
    // A role that may not create tables need not where another has: even looking is refused to it by refinery's way.
    let may_not_create = cause.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE);
    let there = if may_not_create { version_there(client).await } else { None };
    if there == Some(version) {
        return Ok(MigrationReport { applied: Vec::new(), version });
    }
    if let Some(there) = there {
        let (text, role) = (describe(cause), named(role));
        let what_to_do = if there < version {
            "run `hitstream migrate` as their owner, then this again"
        } else {
            "use the newer hitstream that has been here"
        };
        return Err(StoreError::Mismatch(format!(
            "the tables in schema {schema:?} are at version {there}, this hitstream is for {version}, and role {role} may not \
             change them ({text}): {what_to_do}"
        )));
    }
    // To a role that may not use a schema, it is not there.
    let may_not_use = cause.code() == Some(&SqlState::INVALID_SCHEMA_NAME);
    // Tables that are there and cannot be read need other rights than tables that are to be made.
    let is_refused = may_not_create || may_not_use;
    if is_refused && rights::has_tables(client, schema).await.unwrap_or(false) {
        return Err(rights::lacking(cause, settings));
    }
    Err(refused(cause, schema, role))
}

/// The version of the tables that this version of hitstream works with.
pub fn tables_version() -> i32 {
    let runner = embedded::migrations::runner();
    runner.get_migrations().iter().map(refinery::Migration::version).max().unwrap_or_default()
}

/// The version of the tables, if there are any that this role may read.
async fn version_there(client: &Client) -> Option<i32> {
    let version = "SELECT max(version) FROM hitstream_migrations";
    client.query_one(version, &[]).await.ok()?.try_get(0).ok()?
}

/// The oldest version of hitstream's tables whose program these ones suit, which they say themselves; `None` where they do
/// not, as those of foreigners.
pub async fn oldest_suited_version(client: &Client) -> Option<i32> {
    client.query_one("SELECT oldest_version FROM compatibility", &[]).await.ok()?.try_get(0).ok()
}

/// Tables of a version to come: in a rolling upgrade, instances of the version before start as well.
async fn newer(client: &Client, schema: &str, there: i32) -> Result<MigrationReport, StoreError> {
    let version = tables_version();
    let oldest = oldest_suited_version(client).await.unwrap_or(there);
    if oldest <= version {
        warn!(
            tables = there,
            made_for = version,
            "a newer hitstream has been here; its tables suit this one, too"
        );
        return Ok(MigrationReport { applied: Vec::new(), version: there });
    }
    Err(StoreError::Mismatch(format!(
        "the tables in schema {schema:?} are at version {there}, for a hitstream that is made for version {oldest} or newer; this \
         one is made for {version}: use the newer hitstream that has been here, or set postgres.schema to another schema"
    )))
}

/// Makes sure that the server is new enough; gives its version's name.
///
/// # Errors
/// `Mismatch` where it is older, `Unavailable` where it does not say.
pub async fn check_server(client: &Client) -> Result<String, StoreError> {
    let row = client
        .query_one(
            "SELECT current_setting('server_version_num')::int, current_setting('server_version')",
            &[],
        )
        .await
        .map_err(|e| StoreError::Unavailable(describe(&e)))?;
    let (number, name): (i32, String) = (row.get(0), row.get(1));
    if number >= OLDEST_SERVER {
        return Ok(name);
    }
    Err(StoreError::Mismatch(format!(
        "PostgreSQL {name} is too old: hitstream needs 15 or newer. Upgrade the server, or point POSTGRES_URL to \
         another"
    )))
}

/// A schema that is not there and could not be created.
fn schema_refused(error: &tokio_postgres::Error, schema: &str, role: &str) -> StoreError {
    if error.code() != Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
        return refused(error, schema, role);
    }
    StoreError::Mismatch(format!(
        "schema {schema:?} does not exist and the role may not create it: {}. Create it for that role (CREATE SCHEMA {} \
         AUTHORIZATION {role}), or: GRANT CREATE ON DATABASE … TO {role}",
        describe(error),
        quoted(schema),
        role = named(role)
    ))
}

/// A migration that the server did not take: its rights or its tables are in the way, or it was just not there.
fn refused(error: &tokio_postgres::Error, schema: &str, role: &str) -> StoreError {
    let text = describe(error);
    match error.code().map(SqlState::code) {
        // To a role that may not use a schema, it is not there.
        Some("42501" | "3F000") => StoreError::Mismatch(format!(
            "the role may not create tables in schema {schema:?}: {text}. Run `hitstream migrate` as the owner, or: \
             GRANT CREATE, USAGE ON SCHEMA {} TO {}",
            quoted(schema),
            named(role)
        )),
        Some("42P07") => StoreError::Mismatch(format!(
            "schema {schema:?} already has a table of this name: {text}. Rename that table, or set postgres.schema \
             to a schema of hitstream's own"
        )),
        Some("25006") => StoreError::Mismatch(format!(
            "schema {schema:?} takes no writes: {text}. Point POSTGRES_URL to the primary, or turn \
             default_transaction_read_only off for this role and database"
        )),
        Some(code)
            if !code.starts_with("08") && !code.starts_with("57") && !code.starts_with("53") =>
        {
            StoreError::Mismatch(format!("a migration of schema {schema:?} failed: {text}"))
        }
        _ => StoreError::Unavailable(text),
    }
}
