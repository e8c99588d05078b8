//! Settings that do not fit what is there: said before anything is read, with the way out.

use hitstream_actors::writer::postgres::tables_version;

use crate::support::hit::{Hit, millis};
use crate::support::process::{Finished, Hitstream, wait_until};
use crate::support::scratch::Folder;
use crate::support::{Bench, kafka};

/// A bench with one window final and one open in its tables.
fn counted(name: &str) -> Option<Bench> {
    let bench = Bench::new(name)?;
    bench.create_topic(2);
    for partition in 0..2 {
        bench.send(partition, &[Hit::at(0).host("h").record(), Hit::at(600).host("h").record()]);
    }
    bench.run_until_end();
    Some(bench)
}

/// Asserts that a command refuses to work, and what it says.
fn assert_refused(finished: &Finished, code: i32, words: &[&str]) {
    assert_eq!(finished.code, Some(code), "{finished}");
    for word in words {
        assert!(finished.stderr.contains(word), "no {word:?} in {finished}");
    }
}

fn run(bench: &Bench) -> Finished {
    bench.hitstream(&["run", "--until-end"]).finish()
}

#[test]
fn changed_time_settings_are_refused_until_open_windows_are_closed() {
    let changes = [
        ("HITSTREAM_WINDOW__SIZE", "10m", "window.size is 600 s here and 300 s there"),
        ("HITSTREAM_WINDOW__SLIDE", "1m", "window.slide is 60 s here and 300 s there"),
        ("HITSTREAM_WATERMARK__DELAY", "2m", "watermark.delay is 120 s here and 60 s there"),
    ];
    for (name, value, word) in changes {
        let Some(mut bench) = counted("changed") else { return };
        bench.set(name, value);
        assert_refused(&run(&bench), 64, &[word, "hitstream migrate --close-open"]);
        let endless = bench.hitstream(&["run"]).finish();
        assert_refused(&endless, 64, &[word]);
        bench.clean_audit();

        let closed = bench.done(&["migrate", "--close-open"]);
        assert!(closed.stdout.contains("1 open window made final"), "{closed}");
        assert_eq!(bench.count("SELECT count(*) FROM open_web_traffic"), 0);
        assert_eq!(bench.count("SELECT count(*) FROM live_web_traffic WHERE NOT is_final"), 0);
        assert_eq!(bench.count("SELECT sum(num_hits)::bigint FROM aggregated_web_traffic"), 4);
        let closed = "SELECT count(*) FROM frontier WHERE f = '2024-05-17T12:15:00Z' AND note LIKE '%closed by hand%'";
        assert_eq!(bench.count(closed), 1);
        bench.clean_audit();

        // A hit of the window that was closed is late now, though its partition would still take it.
        bench.send(0, &[Hit::at(700).host("h").record(), Hit::at(1_300).host("h").record()]);
        let audit = bench.run_until_end();
        assert_eq!(audit["accepted"], 6);
        assert!(audit["late"].as_i64() >= Some(1), "{audit}");
        assert_eq!(bench.count("SELECT sum(num_hits)::bigint FROM aggregated_web_traffic"), 4);
    }
}

#[test]
fn late_hits_of_windows_of_two_sizes_that_start_together_stay_apart() {
    let Some(mut bench) = Bench::new("two_sizes") else { return };
    bench.create_topic(1);
    let late = |seconds| Hit::at(seconds).host("h").record();
    bench.send(0, &[Hit::at(900).host("h").record(), late(10), late(20)]);
    bench.run_until_end();
    bench.set("HITSTREAM_WINDOW__SIZE", "10m");
    bench.set("HITSTREAM_WINDOW__SLIDE", "10m");
    bench.done(&["migrate", "--close-open"]);
    bench.send(0, &[late(30)]);
    bench.run_until_end();
    let rows = "SELECT extract(epoch FROM window_end - window_start)::bigint, num_hits FROM late_web_traffic ORDER BY 1";
    let rows = bench.sql().query(rows, &[]).unwrap();
    let rows: Vec<(i64, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(rows, [(300, 2), (600, 1)]);
    bench.clean_audit();
}

#[test]
fn windows_are_not_closed_under_a_running_instance() {
    let Some(mut bench) = counted("close_running") else { return };
    let mut running = bench.hitstream(&["run"]).start();
    wait_until("it runs", || running.stderr().contains("pipeline started"));
    wait_until("it has connected", || {
        let query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
             AND application_name LIKE 'hitstream/%'";
        bench.count(query) > 0
    });
    bench.set("HITSTREAM_WINDOW__SIZE", "10m");
    let refused = bench.hitstream(&["migrate", "--close-open"]).finish();
    assert_refused(
        &refused,
        64,
        &["an instance of this pipeline is connected", "Stop all instances"],
    );
    assert!(running.is_running());
    running.signal("TERM");
    assert_eq!(running.finish().code, Some(0));
    bench.done(&["migrate", "--close-open"]);
}

#[test]
fn schema_of_another_pipeline_is_refused() {
    let Some(mut bench) = counted("other_pipeline") else { return };
    bench.set("KAFKA_GROUP", "another_group");
    let words = ["this schema belongs to another pipeline", "postgres.schema"];
    assert_refused(&run(&bench), 64, &[&words[..], &["kafka.group", "another_group"]].concat());
    bench.set("KAFKA_GROUP", bench.topic.clone());
    let other = format!("{}_other", bench.topic);
    kafka::create(&bench.kafka_url, &other, 1);
    bench.set("KAFKA_TOPIC", &other);
    let refused = run(&bench);
    // In a schema of its own it is welcome.
    bench.set("HITSTREAM_POSTGRES__SCHEMA", "other");
    let welcome = run(&bench);
    kafka::delete(&bench.kafka_url, &other);
    assert_refused(&refused, 64, &[&words[..], &["kafka.topic", &other]].concat());
    assert_eq!(welcome.code, Some(0), "{welcome}");
}

#[test]
fn row_that_was_deleted_by_hand_is_missed_at_once() {
    for table in ["frontier", "pipeline"] {
        let Some(bench) = counted("row_gone") else { return };
        bench.sql().batch_execute(&format!("DELETE FROM {table}")).unwrap();
        bench.send(0, &[Hit::at(700).record()]);
        let words = ["the row of table frontier or pipeline is gone"];
        assert_refused(&run(&bench), 64, &words);
        assert_refused(&bench.hitstream(&["audit"]).finish(), 64, &words);
    }
}

#[test]
fn role_without_create_runs_on_tables_that_another_made() {
    let Some(mut bench) = counted("dml_only") else { return };
    let role = format!("{}_role", bench.database);
    let mut sql = bench.sql();
    let grants = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'hunter2'; GRANT {role} TO CURRENT_USER; \
         REVOKE CREATE ON SCHEMA public FROM PUBLIC; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}"
    );
    sql.batch_execute(&grants).unwrap();
    let url = format!("postgres://{role}:hunter2@{}/{}", bench.postgres_address(), bench.database);
    bench.set("POSTGRES_URL", url);
    bench.set("HITSTREAM_EVENTS__STORE", "false");
    bench.send(0, &[Hit::at(700).record()]);
    let ran = run(&bench);
    let audited = bench.hitstream(&["audit"]).finish();
    sql.batch_execute(&format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role}")).unwrap();
    assert_eq!((ran.code, audited.code), (Some(0), Some(0)), "{ran}{audited}");
}

#[test]
fn environment_of_the_former_job_works_from_end_to_end() {
    let Some(bench) = Bench::new("jdbc") else { return };
    bench.create_topic(1);
    let url = bench.database_url();
    let (login, place) = url.split_once("//").unwrap().1.split_once('@').unwrap();
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let services = format!(
        "KAFKA_URL={}\nKAFKA_TOPIC={topic}\nKAFKA_GROUP={topic}\nIP_CODING_KEY=\n",
        bench.kafka_url,
        topic = bench.topic
    );
    let apart = format!(
        "POSTGRES_URL=jdbc:postgresql://{place}\nPOSTGRES_USER={user}\nPOSTGRES_PASSWORD={password}\n"
    );
    let within = format!(
        "POSTGRES_URL='jdbc:postgresql://{place}?user={user}&password={password}&reWriteBatchedInserts=true'\n"
    );
    let folder = Folder::new();
    for (round, postgres) in (1..).zip([apart, within]) {
        let file = folder.path("stream.env");
        std::fs::write(&file, format!("{services}{postgres}")).unwrap();
        bench.send(0, &[Hit::at(0).host("h").record()]);
        for command in [&["check"][..], &["run", "--until-end"], &["audit"]] {
            let arguments = [&["--env-file", file.to_str().unwrap()], command].concat();
            let finished = Hitstream::new(&arguments).finish();
            assert_eq!(finished.code, Some(0), "{finished}");
        }
        let hits = "SELECT sum(num_hits)::bigint FROM live_web_traffic WHERE host = 'h'";
        assert_eq!(bench.count(hits), round);
    }
}

/// Lets the bench's commands run as a role that may do nothing; gives it, and a connection with all rights.
fn as_role_without_rights(bench: &mut Bench) -> (String, postgres::Client) {
    let role = format!("{}_role", bench.database);
    let mut sql = bench.sql();
    let create = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'hunter2'; GRANT {role} TO CURRENT_USER; REVOKE CREATE ON SCHEMA public FROM PUBLIC"
    );
    sql.batch_execute(&create).unwrap();
    let url = format!("postgres://{role}:hunter2@{}/{}", bench.postgres_address(), bench.database);
    bench.set("POSTGRES_URL", url);
    (role, sql)
}

#[test]
fn role_without_rights_is_told_what_to_grant_whatever_it_asks() {
    let Some(mut bench) = counted("no_rights") else { return };
    let (role, mut sql) = as_role_without_rights(&mut bench);
    let commands = [&["status"][..], &["frontier"], &["audit"], &["migrate"], &["run"]];
    let refused = commands.map(|command| bench.hitstream(command).finish());
    sql.batch_execute(&format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role}")).unwrap();
    let grant =
        format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}");
    for refused in refused {
        assert_refused(&refused, 64, &["permission denied", &grant]);
        assert!(!refused.to_string().contains("may not create"), "{refused}");
    }
}

#[test]
fn table_in_the_way_is_named() {
    let Some(bench) = Bench::new("in_the_way") else { return };
    bench.create_topic(1);
    bench
        .sql()
        .batch_execute(
            "CREATE TABLE processed_events (mine int); INSERT INTO processed_events VALUES (1)",
        )
        .unwrap();
    for command in [&["migrate"][..], &["run", "--until-end"]] {
        let refused = bench.hitstream(command).finish();
        assert_refused(&refused, 64, &["processed_events", "postgres.schema"]);
    }
    assert_eq!(bench.count("SELECT count(*) FROM processed_events"), 1, "left alone");
}

#[test]
fn role_that_may_not_create_is_told_what_to_grant() {
    let Some(mut bench) = Bench::new("no_create") else { return };
    let (role, mut sql) = as_role_without_rights(&mut bench);
    let in_public = bench.hitstream(&["migrate"]).finish();
    bench.set("HITSTREAM_POSTGRES__SCHEMA", "absent");
    let in_absent = bench.hitstream(&["migrate"]).finish();
    sql.batch_execute(&format!("GRANT CREATE ON DATABASE {} TO {role}", bench.database)).unwrap();
    let granted = bench.hitstream(&["migrate"]).finish();
    sql.batch_execute(&format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role}")).unwrap();
    assert_refused(
        &in_public,
        64,
        &[&format!("GRANT CREATE, USAGE ON SCHEMA \"public\" TO {role}")],
    );
    assert_refused(&in_absent, 64, &["GRANT CREATE ON DATABASE"]);
    assert_eq!(granted.code, Some(0), "{granted}");
    for finished in [in_public, in_absent, granted] {
        assert!(!finished.to_string().contains("hunter2"), "{finished}");
    }
}

#[test]
fn migrations_run_once_however_often_and_at_once_they_are_asked_for() {
    let Some(bench) = Bench::new("migrate") else { return };
    let bench = bench.with("HITSTREAM_POSTGRES__SCHEMA", "at_once");
    let at_once: Vec<_> = (0..4).map(|_| bench.hitstream(&["migrate"]).start()).collect();
    let finished: Vec<Finished> = at_once.into_iter().map(|running| running.finish()).collect();
    for finished in &finished {
        assert_eq!(finished.code, Some(0), "{finished}");
    }
    let applied =
        finished.iter().filter(|finished| finished.stdout.contains("applied V1__pipeline"));
    assert_eq!(applied.count(), 1);
    let again = bench.done(&["migrate"]);
    let already = format!("at version {} already", tables_version());
    assert!(again.stdout.contains(&already), "{again}");
    let json = bench.done(&["migrate", "--json"]).json();
    assert_eq!((&json["schema"], &json["version"]), (&"at_once".into(), &tables_version().into()));
    assert_eq!((&json["applied"], &json["closed"]), (&Vec::<i32>::new().into(), &().into()));
}

#[test]
fn topic_that_does_not_exist_is_a_mistake_where_an_end_is_awaited() {
    let Some(bench) = Bench::new("no_topic") else { return };
    assert_refused(&run(&bench), 64, &["does not exist", "--create-topic", "KAFKA_TOPIC"]);
}

#[test]
fn recreated_topic_is_refused_unless_loss_is_accepted() {
    let Some(mut bench) = counted("recreated") else { return };
    kafka::delete(&bench.kafka_url, &bench.topic);
    wait_until("deleted", || !kafka::exists(&bench.kafka_url, &bench.topic));
    bench.create_topic(2);
    for partition in 0..2 {
        bench.send(
            partition,
            &[Hit::at(1_200).host("h").record(), Hit::at(1_800).host("h").record()],
        );
    }
    assert_refused(&run(&bench), 64, &["was deleted and created again", "kafka.on_data_loss"]);
    let audit = bench.hitstream(&["audit"]).finish();
    assert_eq!(audit.code, Some(1), "{audit}");
    assert!(audit.stdout.contains("created since"), "{audit}");

    bench.set("HITSTREAM_KAFKA__ON_DATA_LOSS", "continue");
    let audit = bench.run_until_end();
    assert_eq!((&audit["records"], &audit["skipped"]), (&8.into(), &0.into()));
    assert_eq!(audit["partitions"].as_array().unwrap().len(), 4);
    assert_eq!(bench.count("SELECT max(incarnation)::bigint FROM partition_progress"), 1);
    let twice = "SELECT count(*) FROM processed_events WHERE \"offset\" = 0 AND partition = 0";
    assert_eq!(bench.count(twice), 2);
    assert_eq!(bench.count("SELECT sum(num_hits)::bigint FROM live_web_traffic"), 8);
}

#[test]
fn records_deleted_before_they_were_read_are_a_loss_to_be_accepted() {
    let Some(mut bench) = counted("deleted") else { return };
    let more: Vec<_> = (0..10).map(|second| Hit::at(610 + second).host("h").record()).collect();
    bench.send(0, &more);
    kafka::delete_records(&bench.kafka_url, &bench.topic, 0, 7);
    assert_refused(&run(&bench), 64, &["offsets 2 to 6 of partition 0", "kafka.on_data_loss"]);
    let audit = bench.hitstream(&["audit", "--json"]).finish();
    assert_eq!((audit.code, &audit.json()["lost"]), (Some(1), &5.into()), "{audit}");

    bench.set("HITSTREAM_KAFKA__ON_DATA_LOSS", "continue");
    let audit = bench.run_until_end();
    assert_eq!((&audit["skipped"], &audit["records"]), (&5.into(), &9.into()));
    assert!(audit["notes"].to_string().contains("5 offsets were gone"), "{audit}");

    // All of it gone, and nothing after it.
    bench.send(1, &more);
    kafka::delete_records(&bench.kafka_url, &bench.topic, 1, 12);
    let summary = bench.done(&["run", "--until-end", "--json"]).json();
    assert_eq!((&summary["skipped"], &summary["records"]), (&10.into(), &0.into()));
    assert_eq!(bench.clean_audit()["skipped"], 15);
}

#[test]
fn records_deleted_before_the_first_run_are_not_missed() {
    let Some(bench) = Bench::new("deleted_before") else { return };
    bench.create_topic(1);
    let value = Some(Hit::at(0).json());
    bench.send(0, &vec![(value, Some(millis(0))); 10]);
    kafka::delete_records(&bench.kafka_url, &bench.topic, 0, 4);
    let audit = bench.run_until_end();
    assert_eq!((&audit["records"], &audit["skipped"]), (&6.into(), &0.into()));
    assert_eq!(audit["partitions"][0]["start_offset"], 4);
}
