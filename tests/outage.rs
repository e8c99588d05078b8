//! Services that go away and come back: everything goes on by itself, and nothing is lost or doubled.

use std::time::{Duration, Instant};

use crate::support::Bench;
use crate::support::process::{Running, wait_until};
use crate::support::random::Random;
use crate::support::server::Server;
use crate::support::traffic::{Traffic, committed, owners};

/// Resident memory of a process, in MiB.
fn resident_mib(running: &Running) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[test]
fn postgresql_that_stops_at_once_and_comes_back() {
    let Some(postgres) = Server::start("postgres") else { return };
    let Some(bench) = Bench::on("pg_restart", None, Some(&postgres)) else { return };
    let bench = bench.with("HITSTREAM_FLUSH__INTERVAL", "50ms");
    bench.create_topic(4);
    let mut traffic = Traffic::start(&bench, &["--rate", "3000"]);
    traffic.wait_for_records();
    let mut running = bench.hitstream(&["run"]).start();
    for _ in 0..3 {
        let before = committed(&bench);
        wait_until("commits", || committed(&bench) > before);
        postgres.kill("QUIT");
        running.run_for(Duration::from_millis(700));
        postgres.start_again();
    }
    traffic.finish_counted(&bench);
    let ended = running.stop();
    assert_eq!(ended.logged("pipeline ended", "generations"), 1, "no restart: {ended}");
    assert!(ended.stderr.contains("not ready") && ended.stderr.contains("\"ready\""), "{ended}");
    traffic.settle(&bench);
}

#[test]
fn membership_is_kept_and_memory_bounded_while_postgresql_is_away() {
    let Some(postgres) = Server::start("postgres") else { return };
    let Some(bench) = Bench::on("pg_away", None, Some(&postgres)) else { return };
    // Both shorter than PostgreSQL is away.
    let bench = bench
        .with("HITSTREAM_FLUSH__MAX_BYTES", "4MiB")
        .with("HITSTREAM_KAFKA__PROPERTIES__MAX_POLL_INTERVAL_MS", "15000")
        .with("HITSTREAM_KAFKA__PROPERTIES__SESSION_TIMEOUT_MS", "15000");
    bench.create_topic(4);
    let mut traffic = Traffic::start(&bench, &["--rate", "5000"]);
    traffic.wait_for_records();
    let mut running = bench.hitstream(&["run"]).start();
    wait_until("commits", || committed(&bench) > 0);
    postgres.kill("QUIT");
    running.run_for(Duration::from_secs(10));
    let amid = resident_mib(&running);
    running.run_for(Duration::from_secs(10));
    let after = resident_mib(&running);
    eprintln!("{amid} MiB after 10 s without PostgreSQL, {after} MiB after 20 s");
    // Some 25 MB of hits came meanwhile; two epochs of 4 MiB may be held, and what the client fetched.
    assert!(after < amid + 16, "{amid} MiB, then {after} MiB");
    postgres.start_again();
    traffic.finish_counted(&bench);
    let ended = running.stop();
    assert_eq!(ended.stderr.matches("the group assigns partitions").count(), 1, "{ended}");
    assert_eq!(ended.stderr.matches("the group revokes partitions").count(), 0, "{ended}");
    assert_eq!(ended.logged("pipeline ended", "generations"), 1, "{ended}");
    traffic.settle(&bench);
}

#[test]
fn writer_whose_session_is_ended_again_and_again() {
    let Some(bench) = Bench::new("terminated") else { return };
    let bench = bench.with("HITSTREAM_FLUSH__INTERVAL", "20ms");
    bench.create_topic(4);
    let mut traffic = Traffic::start(&bench, &["--rate", "3000"]);
    traffic.wait_for_records();
    let mut running = bench.hitstream(&["run"]).start();
    let mut random = Random::new(5);
    let mut sql = bench.sql();
    let mut ended = 0;
    let terminate = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
         WHERE datname = current_database() AND application_name LIKE 'hitstream/%' AND xact_start IS NOT NULL";
    wait_until("commits", || committed(&bench) > 0);
    for _ in 0..4 {
        let (before, enough) = (committed(&bench), ended + 3);
        wait_until("sessions are ended within transactions", || {
            ended += sql.query_one(terminate, &[]).unwrap().get::<_, i64>(0);
            running.run_for(Duration::from_millis(random.below(50..500)));
            ended >= enough
        });
        wait_until("it commits all the same", || committed(&bench) > before);
    }
    traffic.finish_counted(&bench);
    eprintln!("{ended} sessions were ended within a transaction");
    running.stop();
    traffic.settle(&bench);
}

#[test]
fn kafka_that_is_killed_and_comes_back() {
    let Some(kafka) = Server::start("kafka") else { return };
    let Some(bench) = Bench::on("kafka_restart", Some(&kafka), None) else { return };
    let bench = bench.with("HITSTREAM_FLUSH__INTERVAL", "50ms");
    bench.create_topic(4);
    let mut traffic = Traffic::start(&bench, &["--rate", "2000"]);
    traffic.wait_for_records();
    let mut running = bench.hitstream(&["run"]).start();
    for _ in 0..2 {
        let before = committed(&bench);
        wait_until("commits", || committed(&bench) > before);
        kafka.kill("KILL");
        running.run_for(Duration::from_secs(2));
        kafka.start_again();
    }
    traffic.finish_counted(&bench);
    let ended = running.stop();
    assert!(ended.logged("pipeline ended", "generations").as_u64() < Some(4), "{ended}");
    traffic.settle(&bench);
}

#[test]
fn password_that_is_changed_while_running_is_retried_with_the_reason() {
    let Some(postgres) = Server::start("postgres") else { return };
    let Some(mut bench) = Bench::on("rotated", None, Some(&postgres)) else { return };
    bench.create_topic(2);
    let role = format!("{}_role", bench.database);
    let mut sql = bench.sql();
    let set_up = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'first'; GRANT {role} TO CURRENT_USER; GRANT ALL ON DATABASE {0} TO {role}; \
         ALTER DATABASE {0} OWNER TO {role}; GRANT ALL ON SCHEMA public TO {role}",
        bench.database
    );
    sql.batch_execute(&set_up).unwrap();
    let (owner_url, place) = (bench.database_url(), bench.postgres_address());
    bench.set("POSTGRES_URL", format!("postgres://{role}:first@{place}/{}", bench.database));
    let mut traffic = Traffic::start(&bench, &["--rate", "2000"]);
    traffic.wait_for_records();
    let mut running = bench.hitstream(&["run"]).start();
    wait_until("commits", || committed(&bench) > 0);
    let rotate = |password: &str| format!("ALTER ROLE {role} PASSWORD '{password}'");
    sql.batch_execute(&rotate("second")).unwrap();
    let terminate =
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'");
    sql.batch_execute(&terminate).unwrap();
    wait_until("the reason", || {
        let said = running.stderr();
        said.contains("not ready") && said.contains("password authentication failed")
    });
    assert!(running.is_running());
    assert!(!running.stderr().contains("second") && !running.stderr().contains("first@"));
    sql.batch_execute(&rotate("first")).unwrap();
    traffic.finish_counted(&bench);
    running.stop();
    bench.set("POSTGRES_URL", owner_url);
    traffic.settle(&bench);
}

#[test]
fn second_signal_ends_at_once_what_cannot_be_committed() {
    let Some(postgres) = Server::start("postgres") else { return };
    let Some(bench) = Bench::on("twice_told", None, Some(&postgres)) else { return };
    bench.create_topic(2);
    let mut traffic = Traffic::start(&bench, &["--rate", "2000"]);
    traffic.wait_for_records();
    let mut running = bench.hitstream(&["run"]).start();
    wait_until("commits", || committed(&bench) > 0);
    postgres.kill("QUIT");
    wait_until("there is more to commit", || running.stderr().contains("does not commit"));
    traffic.finish();
    running.signal("TERM");
    wait_until("it stops", || running.stderr().contains("a second signal stops at once"));
    assert!(running.is_running(), "it tries to commit");
    let told = Instant::now();
    running.signal("TERM");
    let ended = running.finish();
    assert_eq!(ended.code, Some(0), "{ended}");
    assert!(ended.stderr.contains("stopped at once"), "{ended}");
    eprintln!("ended {:?} after the second signal", told.elapsed());
    postgres.start_again();
    traffic.settle(&bench);
}

#[test]
fn partitions_of_an_instance_that_dies_while_postgresql_is_away_are_taken_up_when_it_is_back() {
    let Some(postgres) = Server::start("postgres") else { return };
    let Some(bench) = Bench::on("dies_away", None, Some(&postgres)) else { return };
    let bench = bench
        .with("HITSTREAM_FLUSH__INTERVAL", "100ms")
        .with("HITSTREAM_KAFKA__PROPERTIES__HEARTBEAT_INTERVAL_MS", "500");
    bench.create_topic(4);
    let mut traffic = Traffic::start(&bench, &["--rate", "2000"]);
    traffic.wait_for_records();
    let (mut stays, dies) = (bench.hitstream(&["run"]).start(), bench.hitstream(&["run"]).start());
    wait_until("both commit", || owners(&bench) == 2);
    let assigned =
        |running: &mut Running| running.stderr().matches("the group assigns partitions").count();
    let before = assigned(&mut stays);
    postgres.kill("QUIT");
    dies.kill();
    wait_until("the group gives them", || assigned(&mut stays) > before);
    stays.run_for(Duration::from_secs(3));
    postgres.start_again();
    traffic.finish_counted(&bench);
    stays.stop();
    traffic.settle(&bench);
}

#[test]
fn idle_pipeline_is_not_ready_as_long_as_postgresql_is_away() {
    let Some(postgres) = Server::start("postgres") else { return };
    let Some(bench) = Bench::on("idle_away", None, Some(&postgres)) else { return };
    let bench = bench.with("HITSTREAM_FLUSH__INTERVAL", "50ms");
    bench.create_topic(2);
    let mut running = bench.hitstream(&["run"]).start();
    let ready = |running: &mut Running| running.stderr().matches("\"ready\"").count();
    wait_until("it is ready", || ready(&mut running) == 1);
    postgres.kill("QUIT");
    wait_until("it notices", || running.stderr().contains("not ready"));
    running.run_for(Duration::from_secs(3));
    assert_eq!(ready(&mut running), 1, "it did not answer since: {}", running.stderr());
    postgres.start_again();
    wait_until("it is ready again", || ready(&mut running) == 2);
    running.stop();
}
