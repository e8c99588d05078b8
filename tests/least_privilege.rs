//! Roles and users that may do what docs/SECURE.md lists and no more: the pipeline runs; without one of them it says what is missing.

use postgres::Client;

use crate::support::Bench;
use crate::support::acls::{On, Operation, allow};
use crate::support::hit::Hit;
use crate::support::process::Finished;
use crate::support::secure_kafka::{PASSWORD, SecureKafka};

const DOCS: &str = include_str!("../docs/SECURE.md");

/// The SQL of a block of the documentation.
fn documented(name: &str) -> &'static str {
    let (_, rest) = DOCS.split_once(&format!("<!-- tested: {name} -->\n```sql\n")).unwrap();
    rest.split_once("\n```").unwrap().0
}

/// A bench with the roles that the documentation has, under names of its own.
struct Roles {
    // First, for nobody else may end the superuser's session.
    sql: Client,
    bench: Bench,
    owner: String,
    runner: String,
}

impl Roles {
    fn new(name: &str) -> Option<Self> {
        let mut bench = Bench::new(name)?;
        bench.create_topic(1);
        bench.set("HITSTREAM_POSTGRES__SCHEMA", "hits");
        let admin = std::env::var("HITSTREAM_POSTGRES_ADMIN_URL").unwrap();
        let (server, _) = admin.rsplit_once('/').unwrap();
        let url = format!("{server}/{}", bench.database);
        let sql = Client::connect(&url, postgres::NoTls).unwrap();
        let (owner, runner) =
            (format!("{}_owner", bench.database), format!("{}_run", bench.database));
        let mut roles = Self { sql, bench, owner, runner };
        roles.execute(documented("roles"));
        for role in [&roles.owner, &roles.runner] {
            let password = format!("ALTER ROLE {role} PASSWORD '{PASSWORD}'");
            roles.sql.batch_execute(&password).unwrap();
        }
        Some(roles)
    }

    /// Executes SQL of the documentation with the names of these roles.
    fn execute(&mut self, sql: &str) {
        let sql =
            sql.replace("hitstream_owner", &self.owner).replace("hitstream_run", &self.runner);
        self.sql.batch_execute(&sql).unwrap();
    }

    /// Executes it as the owner, who is nobody special.
    fn execute_as_owner(&mut self, sql: &str) {
        let owner = self.owner.clone();
        self.execute(&format!("SET ROLE {owner}; {sql}; RESET ROLE"));
    }

    /// Lets commands come as this role.
    fn come_as(&mut self, role: &str) {
        let (place, database) = (self.bench.postgres_address(), &self.bench.database);
        let url = format!("postgres://{role}:{PASSWORD}@{place}/{database}");
        self.bench.set("POSTGRES_URL", url);
    }

    fn migrate(&mut self) {
        self.come_as(&self.owner.clone());
        self.bench.done(&["migrate"]);
        self.come_as(&self.runner.clone());
    }

    fn count(&mut self, query: &str) -> i64 {
        self.sql.query_one(query, &[]).unwrap().get(0)
    }
}

impl Drop for Roles {
    fn drop(&mut self) {
        for role in [&self.runner, &self.owner] {
            let gone = format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role}");
            if let Err(error) = self.sql.batch_execute(&gone) {
                eprintln!("role {role} stays behind: {error}");
            }
        }
    }
}

fn hits() -> Vec<(Option<Vec<u8>>, Option<i64>)> {
    (0..100).map(|i| Hit::at(i * 10).host("h").record()).collect()
}

#[test]
fn role_with_the_documented_grants_runs_on_tables_of_another() {
    let Some(mut roles) = Roles::new("grants") else { return };
    roles.migrate();
    roles.execute_as_owner(documented("grants"));
    roles.bench.set("HITSTREAM_EVENTS__STORE", "false");
    roles.bench.send(0, &hits());
    let checked = roles.bench.done(&["check", "--json"]).json();
    assert_eq!(checked["ok"], true, "{checked}");
    roles.bench.run_until_end();
    let counted = "SELECT sum(num_hits)::bigint FROM hits.live_web_traffic";
    assert_eq!(roles.count(counted), 100);
    for command in [&["status"][..], &["frontier"]] {
        roles.bench.done(command);
    }
    // The strictest of privacy empties tables.
    roles.bench.set("HITSTREAM_PRIVACY__IP", "hash");
    roles.bench.send(0, &hits());
    roles.bench.run_until_end();
    roles.bench.set("HITSTREAM_PRIVACY__IP", "drop");
    roles.bench.run_until_end();
    assert_eq!(roles.count("SELECT count(*) FROM hits.ip_hash_keys"), 0);
}

#[test]
fn days_that_a_member_of_the_owner_attaches_are_the_owners() {
    let Some(mut roles) = Roles::new("days") else { return };
    roles.migrate();
    roles.execute_as_owner(documented("grants"));
    // Without the right to attach days, their events go elsewhere, and nothing is lost.
    roles.bench.send(0, &hits());
    let checked = roles.bench.hitstream(&["check"]).finish();
    assert!(checked.stdout.contains("may not add days to processed_events"), "{checked}");
    roles.bench.run_until_end();
    assert_eq!(roles.count("SELECT count(*) FROM hits.processed_events_overflow"), 100);

    roles.execute(documented("days"));
    let a_day_later: Vec<_> = (0..50).map(|i| Hit::at(86_400 + i).host("h").record()).collect();
    roles.bench.send(0, &a_day_later);
    roles.bench.done(&["check"]);
    roles.bench.run_until_end();
    assert_eq!(roles.count("SELECT count(*) FROM hits.processed_events"), 50);
    // So the next migration can change them.
    roles.execute_as_owner("ALTER TABLE hits.processed_events ADD COLUMN of_a_later_version text");
}

#[test]
fn tables_are_the_owners_whichever_of_its_members_migrates() {
    let Some(mut roles) = Roles::new("member") else { return };
    // Nobody has migrated, and one that runs comes first; later, tables of a former version.
    roles.execute(documented("days"));
    roles.come_as(&roles.runner.clone());
    for before in [
        "",
        "DROP TABLE hits.compatibility; DELETE FROM hits.hitstream_migrations WHERE version >= 7",
    ] {
        roles.execute_as_owner(before);
        roles.bench.send(0, &hits());
        roles.bench.run_until_end();
        let others = format!(
            "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
             WHERE nspname = 'hits' AND relowner <> '{}'::regrole",
            roles.owner
        );
        assert_eq!(roles.count(&others), 0);
        roles.execute_as_owner(documented("grants"));
    }
    assert_eq!(roles.count("SELECT count(*) FROM hits.processed_events"), 200);
    roles.migrate();
}

#[test]
fn tables_of_a_role_that_the_owner_is_no_member_of_are_told_of() {
    let Some(mut roles) = Roles::new("foreign") else { return };
    roles.execute("GRANT USAGE, CREATE ON SCHEMA hits TO hitstream_run");
    roles.come_as(&roles.runner.clone());
    roles.bench.done(&["migrate"]);
    roles.come_as(&roles.owner.clone());
    let says = ["lacks rights in schema \"hits\"", "As the owner of its tables: GRANT USAGE"];
    refused(&roles.bench.hitstream(&["migrate"]).finish(), 64, &says);
}

fn refused(finished: &Finished, code: i32, says: &[&str]) {
    assert_eq!(finished.code, Some(code), "{finished}");
    let said = format!("{}{}", finished.stdout, finished.stderr);
    for word in says {
        assert!(said.contains(word), "no {word:?} in {finished}");
    }
    assert!(!said.contains(PASSWORD), "{finished}");
}

#[test]
fn role_without_one_of_the_grants_is_told_which() {
    let Some(mut roles) = Roles::new("no_grant") else { return };
    roles.bench.set("HITSTREAM_EVENTS__STORE", "false");
    roles.come_as(&roles.runner.clone());
    // Nobody has migrated yet.
    refused(
        &roles.bench.hitstream(&["run"]).finish(),
        64,
        &["Run `hitstream migrate` as the owner"],
    );
    roles.migrate();
    for privilege in ["SELECT", "INSERT", "UPDATE", "DELETE"] {
        roles.execute_as_owner(documented("grants"));
        roles.execute_as_owner(&format!(
            "REVOKE {privilege} ON ALL TABLES IN SCHEMA hits FROM hitstream_run"
        ));
        let grant = format!(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA hits TO {}",
            roles.runner
        );
        for command in [&["check"][..], &["run"], &["run", "--until-end"]] {
            refused(&roles.bench.hitstream(command).finish(), 64, &[&grant]);
        }
    }
    roles.execute_as_owner(documented("grants"));
    roles.execute_as_owner("REVOKE USAGE ON SCHEMA hits FROM hitstream_run");
    let grant = format!("GRANT USAGE ON SCHEMA hits TO {}", roles.runner);
    for command in [&["check"][..], &["run"]] {
        refused(&roles.bench.hitstream(command).finish(), 64, &[&grant]);
    }

    // Tables of a former version.
    roles.execute_as_owner(documented("grants"));
    roles.execute("DELETE FROM hits.hitstream_migrations WHERE version = (SELECT max(version) FROM hits.hitstream_migrations)");
    let says =
        ["this hitstream is for", "may not change them", "run `hitstream migrate` as their owner"];
    refused(&roles.bench.hitstream(&["run"]).finish(), 64, &says);
}

#[test]
fn user_with_the_documented_acls_runs_and_without_one_is_told() {
    let Some(kafka) = SecureKafka::shared() else { return };
    let Some(mut bench) = kafka.bench("acls") else { return };
    bench.create_topic(1);
    bench.send(0, &hits());
    let brokers = kafka.inner();
    kafka.log_in(&mut bench, "PLAIN", "runner", PASSWORD);
    let says = ["does not let this user do that", "docs/SECURE.md"];
    let runs = [&["check"][..], &["run", "--until-end"], &["run"]];
    for command in runs {
        let finished = bench.hitstream(command).finish();
        // Whichever of the two is asked for first.
        refused(&finished, 69, &[&says[..], &["authorization failed"]].concat());
    }
    allow(&brokers, "runner", Operation::Read, On::Topic(&bench.topic));
    for command in runs {
        let finished = bench.hitstream(command).finish();
        refused(&finished, 69, &[&says[..], &["roup authorization failed"]].concat());
    }
    allow(&brokers, "runner", Operation::Read, On::Group(&bench.topic));
    let checked = bench.done(&["check", "--json"]).json();
    assert_eq!(checked["ok"], true, "{checked}");
    bench.run_until_end();
    bench.assert_equals(&bench.model(300, 300));
    bench.done(&["status"]);

    // Whoever reads may not write.
    let sends = ["generate", "--count", "10"];
    refused(&bench.hitstream(&sends).finish(), 69, &["authorization failed"]);
    kafka.log_in(&mut bench, "PLAIN", "writer", PASSWORD);
    allow(&brokers, "writer", Operation::Write, On::Topic(&bench.topic));
    bench.done(&sends);
}

#[test]
fn topic_is_created_by_who_may_create_it() {
    let Some(kafka) = SecureKafka::shared() else { return };
    let Some(mut bench) = kafka.bench("acl_create") else { return };
    kafka.log_in(&mut bench, "PLAIN", "creator", PASSWORD);
    let sends = ["generate", "--create-topic", "--partitions", "2", "--count", "10"];
    let refusal = bench.hitstream(&sends).finish();
    refused(&refusal, 69, &["could not be created", "authorization failed"]);
    for operation in [Operation::Create, Operation::Write] {
        allow(&kafka.inner(), "creator", operation, On::Topic(&bench.topic));
    }
    bench.done(&sends);
}
