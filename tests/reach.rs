//! Services that are out of reach, too old, or do not want us: said within the limit, without a secret.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::support::Bench;
use crate::support::process::{Finished, wait_within};
use crate::support::scratch::Folder;

const PASSWORD: &str = "hunter2";

/// An address where nobody answers.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// Runs a command that must fail with 69 within a limit, and returns what it said.
fn unreachable(bench: &Bench, arguments: &[&str], limit_secs: u64) -> Finished {
    let begin = Instant::now();
    let finished = bench.hitstream(arguments).finish();
    assert_eq!(finished.code, Some(69), "{arguments:?}: {finished}");
    let elapsed = begin.elapsed();
    assert!(
        elapsed < Duration::from_secs(limit_secs),
        "{arguments:?} after {elapsed:?}: {finished}"
    );
    assert!(!finished.to_string().contains(PASSWORD), "{arguments:?}: {finished}");
    finished
}

/// Runs each command on a thread of its own, for they all wait.
fn all_unreachable(bench: &Bench, commands: &[&[&str]], words: &[&str]) {
    std::thread::scope(|scope| {
        for arguments in commands {
            scope.spawn(move || {
                let finished = unreachable(bench, arguments, 40);
                for word in words {
                    assert!(
                        finished.stderr.contains(word),
                        "no {word:?} in {arguments:?}: {finished}"
                    );
                }
            });
        }
    });
}

#[test]
fn kafka_out_of_reach_ends_what_must_end() {
    let Some(bench) = Bench::new("no_kafka") else { return };
    bench.done(&["migrate"]);
    let folder = Folder::new();
    let log = folder.path("hits.jsonl");
    std::fs::write(&log, "{}\n").unwrap();
    let (brokers, log) = (nobody(), log.to_str().unwrap().to_owned());
    let bench = bench.with("KAFKA_URL", &brokers);
    let commands: [&[&str]; 6] = [
        &["run", "--until-end"],
        &["run", "--create-topic"],
        &["import", &log],
        &["import", "--create-topic", &log],
        &["generate", "--count", "1"],
        &["audit"],
    ];
    all_unreachable(&bench, &commands, &[&brokers, "not answer"]);
}

#[test]
fn postgres_out_of_reach_ends_what_must_end() {
    let Some(bench) = Bench::new("no_postgres") else { return };
    bench.create_topic(1);
    let address = nobody();
    let bench = bench.with("POSTGRES_URL", format!("postgres://me:{PASSWORD}@{address}/hits"));
    let commands: [&[&str]; 4] =
        [&["run", "--until-end"], &["migrate"], &["migrate", "--close-open"], &["audit"]];
    all_unreachable(&bench, &commands, &[&address, "does not answer", "POSTGRES_URL"]);

    // Without an end in sight it waits, and a signal ends that.
    let mut running = bench.hitstream(&["run"]).start();
    wait_within("it says so", Duration::from_secs(60), || {
        running.stderr().contains("does not answer; trying again")
    });
    assert!(!running.stderr().contains(PASSWORD));
    running.signal("TERM");
    assert_eq!(running.finish().code, Some(0));
}

#[test]
fn wrong_credentials_end_every_command_at_once_and_are_never_shown() {
    let Some(mut bench) = Bench::new("denied") else { return };
    bench.create_topic(1);
    let url = bench.database_url();
    let wrong =
        format!("postgres://hitstream:{PASSWORD}@{}/{}", bench.postgres_address(), bench.database);
    let no_database = format!("{url}_absent");
    let no_role =
        format!("postgres://absent:{PASSWORD}@{}/{}", bench.postgres_address(), bench.database);
    for url in [wrong, no_database, no_role] {
        bench.set("POSTGRES_URL", &url);
        let secret = url.split([':', '@']).nth(2).unwrap().to_owned();
        for arguments in [&["run"][..], &["run", "--until-end"], &["migrate"], &["audit", "--json"]]
        {
            let finished = unreachable(&bench, arguments, 5);
            // Where JSON is asked for, that is told there.
            let is_json = arguments.contains(&"--json");
            let said = if is_json { &finished.stdout } else { &finished.stderr };
            assert!(said.contains("refuses this role or database"), "{finished}");
            assert!(said.contains("POSTGRES_PASSWORD"), "{finished}");
            assert!(!finished.to_string().contains(&secret), "{finished}");
        }
        let printed = bench.hitstream(&["--print-config"]).finish();
        assert!(!printed.to_string().contains(&secret), "{printed}");
    }
}

#[test]
fn server_that_takes_no_connection_is_quoted_with_what_to_do() {
    let Some(mut bench) = Bench::new("busy") else { return };
    bench.create_topic(1);
    let full = format!("ALTER DATABASE {} CONNECTION LIMIT 0", bench.database);
    bench.sql().batch_execute(&full).unwrap();
    let starting = served(|mut client| {
        startup(&mut client)?;
        let error = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0";
        client.write_all(&message(b'E', error))
    });
    let starting = format!("postgres://me:{PASSWORD}@{starting}/hits");
    let full = ["too many connections for database", "SQLSTATE 53300", "pg_stat_activity"];
    let up = ["the database system is starting up", "SQLSTATE 57P03", "Try again in a moment"];
    for (url, words) in [(bench.database_url(), full), (starting, up)] {
        bench.set("POSTGRES_URL", url);
        for arguments in [&["status"][..], &["frontier"], &["audit"]] {
            let finished = unreachable(&bench, arguments, 5);
            for word in words.into_iter().chain(["takes no connection"]) {
                assert!(finished.stderr.contains(word), "no {word:?} in {finished}");
            }
            assert!(!finished.stderr.contains("does not answer"), "{finished}");
        }
        let check = unreachable(&bench, &["check"], 20);
        let is_advice =
            |line: &str| line.trim_start().starts_with("-> ") && line.contains(words[2]);
        assert!(check.stdout.lines().any(is_advice), "no {:?} as advice in {check}", words[2]);
        // A run waits for it.
        let mut running = bench.hitstream(&["run"]).start();
        wait_within("it says so", Duration::from_secs(60), || {
            running.stderr().contains("PostgreSQL takes no connection; trying again")
        });
        running.stop();
    }
}

#[test]
fn server_that_is_too_old_is_named_with_its_version() {
    let Some(bench) = Bench::new("too_old") else { return };
    bench.create_topic(1);
    let address = served(answer_as_an_old_server);
    let bench = bench.with("POSTGRES_URL", format!("postgres://me@{address}/hits"));
    for arguments in [&["migrate"][..], &["run"], &["run", "--until-end"]] {
        let finished = bench.hitstream(arguments).finish();
        assert_eq!(finished.code, Some(64), "{finished}");
        assert!(
            finished.stderr.contains("PostgreSQL 14.11 is too old: hitstream needs 15 or newer"),
            "{finished}"
        );
    }
}

/// An address where every client is answered like this.
fn served(answer: fn(TcpStream) -> std::io::Result<()>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            std::thread::spawn(move || answer(client));
        }
    });
    address
}

/// Reads the message that begins a session of PostgreSQL's protocol, and says before that there is no TLS.
fn startup(client: &mut TcpStream) -> std::io::Result<()> {
    loop {
        let mut length = [0; 4];
        client.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length) as usize - 4;
        client.read_exact(&mut vec![0; length])?;
        // The question whether there is TLS is the only one that is so short.
        if length > 4 {
            return Ok(());
        }
        client.write_all(b"N")?;
    }
}

/// A message of that protocol.
fn message(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len() + 4).unwrap();
    [&[kind], &length.to_be_bytes()[..], content].concat()
}

/// Speaks enough of PostgreSQL's protocol to be asked for its version, and answers every query with that.
fn answer_as_an_old_server(mut client: TcpStream) -> std::io::Result<()> {
    /// A result's two columns: `int4` and `text`, both binary.
    fn columns() -> Vec<u8> {
        let column = |name: &str, kind: u32, size: i16| {
            let [name, table, attribute] = [name.as_bytes(), &[0; 5], &[0; 2]];
            let (kind, size, modifier) =
                (kind.to_be_bytes(), size.to_be_bytes(), (-1_i32).to_be_bytes());
            [name, table, attribute, &kind, &size, &modifier, &1_i16.to_be_bytes()].concat()
        };
        message(
            b'T',
            &[&2_i16.to_be_bytes()[..], &column("number", 23, 4), &column("name", 25, -1)].concat(),
        )
    }
    startup(&mut client)?;
    client.write_all(&[message(b'R', &[0; 4]), message(b'Z', b"I")].concat())?;
    loop {
        let mut head = [0; 5];
        client.read_exact(&mut head)?;
        let mut content = vec![0; u32::from_be_bytes(head[1..].try_into().unwrap()) as usize - 4];
        client.read_exact(&mut content)?;
        let answer = match head[0] {
            b'P' => message(b'1', &[]),
            b'D' => [message(b't', &[0; 2]), columns()].concat(),
            b'B' => message(b'2', &[]),
            b'E' => {
                let row = [
                    &2_i16.to_be_bytes()[..],
                    &4_i32.to_be_bytes(),
                    &140_011_i32.to_be_bytes(),
                    &5_i32.to_be_bytes(),
                    b"14.11",
                ];
                [message(b'D', &row.concat()), message(b'C', b"SELECT 1\0")].concat()
            }
            b'C' => message(b'3', &[]),
            b'S' => message(b'Z', b"I"),
            _ => return Ok(()),
        };
        client.write_all(&answer)?;
    }
}
