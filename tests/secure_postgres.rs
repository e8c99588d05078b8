//! PostgreSQL over TLS: what each `sslmode` lets in and refuses, and certificates of clients.

use crate::support::Bench;
use crate::support::hit::Hit;
use crate::support::process::Finished;
use crate::support::secure_postgres::{NAMED, PASSWORD, SHOWN, SecurePostgres};

/// Runs to the end of a topic and compares every row; every command comes in this way.
fn counts_every_row(bench: &Bench, way: &str) {
    bench.create_topic(2);
    for partition in 0..2 {
        let hits: Vec<_> =
            (0..200).map(|i| Hit::at(i * 7).host(&format!("h{}", i % 5)).record()).collect();
        bench.send(partition, &hits);
    }
    let checked = bench.done(&["check", "--json"]).json();
    assert_eq!(checked["ok"], true, "{way}: {checked}");
    bench.done(&["migrate"]);
    bench.run_until_end();
    bench.assert_equals(&bench.model(300, 300));
    for command in [&["status"][..], &["frontier"]] {
        bench.done(command);
    }
}

#[test]
fn every_mode_counts_every_row_of_a_server_that_takes_tls_only() {
    let Some(postgres) = SecurePostgres::start() else { return };
    let named = &format!("{NAMED}:{PASSWORD}");
    let trusted = "sslmode=verify-full&sslrootcert={folder}/ca.pem";
    let ways = [
        (named, "localhost", trusted.to_owned()),
        // SCRAM is bound to the certificate, or the driver would refuse.
        (named, "localhost", format!("{trusted}&channel_binding=require")),
        (named, "127.0.0.1", "sslmode=verify-ca&sslrootcert={folder}/ca.pem".to_owned()),
        (named, "127.0.0.1", "sslmode=require".to_owned()),
        (named, "127.0.0.1", "sslmode=prefer".to_owned()),
        (named, "127.0.0.1", String::new()),
        (
            &SHOWN.to_owned(),
            "localhost",
            format!("{trusted}&sslcert={{folder}}/client.pem&sslkey={{folder}}/client.key"),
        ),
    ];
    for (role, host, options) in ways {
        let bench = postgres.bench("tls", role, host, &options);
        counts_every_row(&bench, &options);
    }

    let mut bench = postgres.bench("tls_jdbc", NAMED, "localhost", "");
    let (port, database, ca) = (postgres.port(), &bench.database, postgres.file("ca.pem"));
    bench.set(
        "POSTGRES_URL",
        format!("jdbc:postgresql://localhost:{port}/{database}?user={NAMED}&password={PASSWORD}&ssl=true&sslrootcert={ca}"),
    );
    counts_every_row(&bench, "JDBC");
    let printed = bench.done(&["--print-config"]).stdout;
    assert!(printed.contains("sslmode = \"verify-full\"  # in postgres.url"), "{printed}");

    let mut bench = postgres.bench("tls_keys", named, "localhost", "");
    bench.set("HITSTREAM_POSTGRES__SSLMODE", "verify-full");
    bench.set("HITSTREAM_POSTGRES__SSLROOTCERT", postgres.file("ca.pem"));
    counts_every_row(&bench, "keys");
}

/// Asserts that commands end at once, with this code and one line that says all this.
fn all_refused(bench: &Bench, name: &str, code: i32, says: &[&str]) {
    for arguments in [&["check"][..], &["run"], &["run", "--until-end"], &["migrate"], &["audit"]] {
        let finished = bench.hitstream(arguments).finish();
        refused(&finished, arguments, name, code, says);
    }
}

fn refused(finished: &Finished, arguments: &[&str], name: &str, code: i32, says: &[&str]) {
    assert_eq!(finished.code, Some(code), "{name}, {arguments:?}: {finished}");
    let is_check = arguments == ["check"];
    let said = if is_check { &finished.stdout } else { &finished.stderr };
    let lines: Vec<&str> = said.lines().filter(|line| !line.starts_with('{')).collect();
    assert!(is_check || lines.len() == 1, "{name}, {arguments:?}: {finished}");
    for word in says {
        assert!(
            lines.join("\n").contains(word),
            "{name}, {arguments:?}: no {word:?} in {finished}"
        );
    }
    for secret in [PASSWORD, "s3cr3t-of-nobody"] {
        assert!(!finished.to_string().contains(secret), "{name}: {finished}");
    }
}

#[test]
fn what_is_not_secure_or_not_known_is_refused_at_once_and_told_why() {
    let Some(postgres) = SecurePostgres::start() else { return };
    let named = &format!("{NAMED}:{PASSWORD}");
    let attempt = |name: &str, role: &str, host: &str, options: &str, says: &[&str]| {
        let bench = postgres.bench("tls_attempt", role, host, options);
        bench.create_topic(1);
        all_refused(&bench, name, 69, says);
    };
    let full = "sslmode=verify-full&sslrootcert={folder}/ca.pem";
    attempt(
        "plaintext",
        named,
        "localhost",
        "sslmode=disable",
        &["refuses this role or database without TLS", "postgres.sslmode"],
    );
    attempt(
        "another authority",
        named,
        "localhost",
        "sslmode=verify-full&sslrootcert={folder}/other-ca.pem",
        &["would not be secure", "no authority in sslrootcert has signed its certificate"],
    );
    attempt(
        "require with another authority",
        named,
        "localhost",
        "sslmode=require&sslrootcert={folder}/other-ca.pem",
        &["no authority in sslrootcert has signed its certificate"],
    );
    attempt(
        "another host",
        named,
        "127.0.0.1",
        full,
        &["its certificate is not for 127.0.0.1, but for", "localhost"],
    );
    attempt(
        "wrong password",
        &format!("{NAMED}:s3cr3t-of-nobody"),
        "localhost",
        full,
        &["refuses this role or database", "password authentication failed"],
    );
    attempt("no certificate", SHOWN, "localhost", full, &["client certificate"]);
    attempt(
        "certificate of a stranger",
        SHOWN,
        "localhost",
        &format!("{full}&sslcert={{folder}}/stranger.pem&sslkey={{folder}}/stranger.key"),
        &["it does not take this client's certificate"],
    );
    attempt(
        "certificate of another role",
        named,
        "localhost",
        &format!("{full}&sslcert={{folder}}/stranger.pem&sslkey={{folder}}/stranger.key"),
        &["it does not take this client's certificate"],
    );
    postgres.expire();
    attempt("expired certificate", named, "localhost", full, &["its certificate has expired"]);
}

#[test]
fn server_without_tls_is_not_spoken_to_where_tls_is_asked_for() {
    let Some(mut bench) = Bench::new("no_tls") else { return };
    bench.create_topic(1);
    let url = bench.database_url();
    bench.set("POSTGRES_URL", format!("{url}?sslmode=require"));
    all_refused(
        &bench,
        "TLS to a server without",
        69,
        &["it takes no TLS, which sslmode asks for"],
    );
}
