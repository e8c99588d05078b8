//! The demo: everything embedded, a result to look at, and nothing left behind.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::http::get;
use crate::support::process::{Hitstream, Running, wait_until};
use crate::support::scratch::Folder;

/// The processes beneath one, at any depth.
fn beneath(process: u32) -> Vec<u32> {
    let parent_of = |child: u32| {
        let status = std::fs::read_to_string(format!("/proc/{child}/status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse::<u32>().ok())
    };
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let all: Vec<u32> =
        all.filter_map(|entry| entry.file_name().to_str().and_then(|n| n.parse().ok())).collect();
    let mut family = vec![process];
    loop {
        let found: Vec<u32> = all
            .iter()
            .copied()
            .filter(|child| !family.contains(child))
            .filter(|child| parent_of(*child).is_some_and(|parent| family.contains(&parent)))
            .collect();
        if found.is_empty() {
            return family.split_off(1);
        }
        family.extend(found);
    }
}

fn lives(process: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains("(zombie)"))
}

/// The folders of demos in a place.
fn folders(place: &Path) -> Vec<PathBuf> {
    fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// A demo in a place of its own, with so few hits that a debug build keeps up with them on a busy machine.
fn demo_in(place: &Path, arguments: &[&str]) -> Hitstream {
    let mut demo = Hitstream::of_a_terminal(&[&["demo", "--rate", "500"], arguments].concat());
    demo.env("TMPDIR", place.to_str().unwrap());
    demo
}

/// Waits until a demo is under way.
fn under_way(mut demo: Running) -> Running {
    wait_until("the demo runs", || {
        assert!(demo.is_running(), "{}", demo.stderr());
        // Before the first commit there is nothing to tell of.
        let said = demo.stderr();
        said.lines().any(|line| line.contains(" still in Kafka") && !line.starts_with("0 counted"))
    });
    demo
}

/// Where a demo says that it serves HTTP.
fn served_at(demo: &mut Running) -> String {
    let said = demo.stderr();
    let address = said.split("http://").nth(1).and_then(|rest| rest.split('/').next());
    address.unwrap_or_else(|| panic!("{said}")).to_owned()
}

#[test]
fn demo_ends_with_final_rows_and_a_clean_audit() {
    // Whatever a shell has set for real services is not heeded, be it right or wrong.
    let scratch = Folder::new();
    let place = scratch.path("");
    let mut demo = demo_in(&place, &["--duration", "25s", "--json"]);
    demo.env("KAFKA_TOPIC", "mine").env("POSTGRES_DB", "mine").env("PGPORT", "1");
    demo.env("KAFKA_URL", "foo:bar").env("HITSTREAM_CONFIG", "/absent");
    demo.env("HITSTREAM_WINDOW__SIZE", "wide").env("HITSTREAM_ENV_FILE", "/absent");
    let ended = demo.finish();
    assert_eq!(ended.code, Some(0), "{ended}");
    let audit = ended.json();
    assert_eq!((&audit["ok"], &audit["topic"]), (&true.into(), &"web_traffic_topic".into()));
    assert!(audit["final"].as_i64() > Some(0), "{audit}");
    assert!(audit["records"].as_i64() > Some(5_000), "{audit}");
    assert_eq!(audit["unread"], 0, "{audit}");
    let said =
        ["windows of 10 s", "KAFKA_URL, HITSTREAM_CONFIG, HITSTREAM_ENV_FILE are not heeded"];
    for words in
        said.into_iter().chain(["still in Kafka, the oldest for", " ahead; held by partition"])
    {
        assert!(ended.stderr.contains(words), "no {words:?} in {ended}");
    }
    assert!(folders(&place).is_empty());
}

#[test]
fn demo_that_is_killed_leaves_no_process_and_the_next_removes_its_folder_alone() {
    let scratch = Folder::new();
    let place = scratch.path("");
    let mut demo = under_way(demo_in(&place, &[]).start());
    let (killed, family) = (folders(&place), beneath(demo.id()));
    assert!(family.len() > 3, "PostgreSQL with its own, run and generate: {family:?}");
    // One that lives, and whose name says nothing of its process.
    let mut other = under_way(demo_in(&place, &[]).start());
    let [one, two] = [&mut demo, &mut other].map(served_at);
    assert_ne!(one, two, "each has a port of its own");
    for address in [one, two] {
        let scraped = get(&address, "/metrics");
        assert!(scraped.body.contains("hitstream_committed_records_total"), "{scraped:?}");
    }
    demo.kill();
    wait_until("all of it is gone", || !family.iter().any(|process| lives(*process)));
    assert!(killed.iter().all(|folder| folder.exists()));
    let next = demo_in(&place, &["--duration", "1s"]).finish();
    assert_eq!(next.code, Some(0), "{next}");
    let left = folders(&place);
    assert!(left.len() == 1 && !killed.contains(&left[0]), "{killed:?}, then {left:?}");
    other.signal("INT");
    let ended = other.finish();
    assert!(ended.stdout.contains("ok: nothing lost, nothing doubled"), "{ended}");
}

#[test]
fn demo_that_is_interrupted_ends_in_order() {
    let scratch = Folder::new();
    let mut demo = demo_in(&scratch.path(""), &[]);
    let secrets = ["IP_CODING_KEY", "POSTGRES_PASSWORD", "PGPASSWORD"];
    for name in secrets {
        demo.env(name, "canary");
    }
    let demo = under_way(demo.start());
    let family = beneath(demo.id());
    for process in &family {
        let environment = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        let environment = String::from_utf8_lossy(&environment).into_owned();
        assert!(!environment.contains("canary"), "process {process} knows a secret");
    }
    demo.signal("INT");
    let ended = demo.finish();
    assert_eq!(ended.code, Some(0), "{ended}");
    assert!(ended.stdout.contains("ok: nothing lost, nothing doubled"), "{ended}");
    assert!(!family.iter().any(|process| lives(*process)));
    assert!(folders(&scratch.path("")).is_empty());
}

#[test]
fn demo_whose_terminal_is_closed_ends_in_order() {
    let scratch = Folder::new();
    let demo = under_way(demo_in(&scratch.path(""), &[]).start());
    let family = beneath(demo.id());
    // Both the shell and the system may send it.
    demo.signal("HUP");
    demo.signal("HUP");
    let ended = demo.finish();
    assert_eq!(ended.code, Some(0), "{ended}");
    assert!(!family.iter().any(|process| lives(*process)));
    assert!(folders(&scratch.path("")).is_empty());
}

/// The processes that this demo has started, whoever their parent is by now.
fn started_by(demo: u32, place: &Path) -> Vec<String> {
    let (folder, program) = (place.display().to_string(), format!("/proc/{demo}/exe"));
    let all = fs::read_dir("/proc").unwrap().flatten();
    let lines = all.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(&folder) || line.contains(&program)).collect()
}

#[test]
fn demo_that_is_interrupted_while_it_starts_ends_quietly_and_at_once() {
    // When the cluster is being made, when the server starts, and when nothing is counted yet.
    for (moment, signal, code) in [
        ("postgres/data/base", "INT", 130),
        ("postgres/data/postmaster.pid", "TERM", 143),
        ("generate.log", "INT", 130),
        ("generate.log", "HUP", 129),
    ] {
        let scratch = Folder::new();
        let place = scratch.path("");
        let demo = demo_in(&place, &["--json"]).start();
        let id = demo.id();
        wait_until(moment, || folders(&place).iter().any(|folder| folder.join(moment).exists()));
        demo.signal(signal);
        let ended = demo.finish();
        if moment == "generate.log" && !ended.stdout.is_empty() {
            // Hits were counted before the signal came: it ended in order.
            assert_eq!((ended.code, &ended.json()["ok"]), (Some(0), &true.into()), "{ended}");
        } else {
            assert_eq!((ended.code, ended.stdout.as_str()), (Some(code), ""), "{moment}: {ended}");
            assert!(!ended.stderr.contains("error"), "{moment}: {ended}");
        }
        let left = (started_by(id, &place), folders(&place));
        assert!(left.0.is_empty() && left.1.is_empty(), "{moment}: {left:?}");
    }
}

#[test]
fn place_that_will_not_do_is_named_before_anything_starts() {
    let scratch = Folder::new();
    let (file, locked) = (scratch.path("file"), scratch.path("locked"));
    fs::write(&file, "").unwrap();
    fs::create_dir(&locked).unwrap();
    fs::set_permissions(&locked, Permissions::from_mode(0o700)).unwrap();
    let mut places = vec![
        (scratch.path(&"long".repeat(25)), "is too long: the path of the demo's socket would have"),
        (scratch.path("a,b"), "has a comma"),
        (scratch.path("absent"), "No such file or directory"),
        (file, "Not a directory"),
    ];
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        places.push((locked.clone(), "cannot be entered by the account postgres"));
    }
    for (place, word) in places {
        let place = place.display().to_string();
        let ended = Hitstream::new(&["demo", "--duration", "1s"]).env("TMPDIR", &place).finish();
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(64), ""), "{ended}");
        assert_eq!(ended.stderr.lines().count(), 1, "{ended}");
        for word in [&place, word, "set TMPDIR to another place"] {
            assert!(ended.stderr.contains(word), "no {word:?} in {ended}");
        }
    }
    assert!(fs::read_dir(&locked).unwrap().next().is_none());
}

#[test]
fn full_place_is_named_with_what_to_do_in_one_line() {
    let scratch = Folder::new();
    let binaries = scratch.path("bin");
    fs::create_dir(&binaries).unwrap();
    let says = "#!/bin/sh\necho 'creating files ... '\necho 'No space left on device'\nexit 1\n";
    for program in ["initdb", "postgres"] {
        fs::write(binaries.join(program), says).unwrap();
        fs::set_permissions(binaries.join(program), Permissions::from_mode(0o755)).unwrap();
    }
    let place = scratch.path("place");
    fs::create_dir(&place).unwrap();
    let mut demo = demo_in(&place, &[]);
    let ended = demo.env("HITSTREAM_PG_BIN", binaries.to_str().unwrap()).finish();
    let advice =
        format!("error: TMPDIR {} is full: make room there, or set TMPDIR", place.display());
    assert_eq!(ended.code, Some(69), "{ended}");
    assert!(ended.stderr.starts_with(&advice), "{ended}");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended}");
}

#[test]
fn demo_lives_in_a_place_with_an_odd_name_that_is_relative() {
    let scratch = Folder::new();
    let name = "it's \"a\" $b %2F";
    fs::create_dir(scratch.path(name)).unwrap();
    let mut demo = demo_in(Path::new(name), &[]);
    let mut demo = under_way(demo.current_dir(&scratch.path("")).start());
    let said = demo.stderr();
    let psql = said.lines().map(str::trim).find(|line| line.starts_with("psql ")).unwrap();
    let asked = Command::new("sh").args(["-c", &format!("{psql} -Atc 'SELECT 6 * 7'")]).output();
    let asked = asked.unwrap();
    assert_eq!(String::from_utf8_lossy(&asked.stdout), "42\n", "{psql}: {asked:?}");
    demo.signal("INT");
    let ended = demo.finish();
    assert_eq!(ended.code, Some(0), "{ended}");
    assert!(fs::read_dir(scratch.path(name)).unwrap().next().is_none());
}

#[test]
fn demo_fits_a_terminal_of_60_columns() {
    let place = Folder::new();
    let program = env!("CARGO_BIN_EXE_hitstream");
    let screens = Command::new(crate::readme::root().join("scripts/record-demo.py"))
        .args(["--screens", "60", program])
        .env("TMPDIR", place.path("").to_str().unwrap())
        .output()
        .unwrap();
    assert!(screens.status.success(), "{screens:?}");
    let screens = String::from_utf8(screens.stdout).unwrap();
    let labels = ["records", "lag", "frontier", "watermarks", "windows", "set aside", "busiest"];
    let mut seen = 0;
    for screen in screens.split('\u{c}') {
        let lines: Vec<&str> = screen.lines().collect();
        let Some(begin) = lines.iter().position(|line| line.starts_with("  records     ")) else {
            continue;
        };
        seen += 1;
        // A line that is too long would go on between two of them.
        for (line, label) in lines[begin..].iter().zip(labels) {
            // Blanks at the end are left out.
            let begin = format!("  {label:<10}  ");
            assert!(line.starts_with(begin.trim_end()), "{line:?} in:\n{screen}");
            assert!(line.chars().count() < 60, "{line:?}");
        }
    }
    assert!(seen > 3, "{screens}");
}
