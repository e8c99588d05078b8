//! The demo: everything embedded, a result to look at, and nothing left behind.

use std::path::PathBuf;
use std::time::Duration;

use crate::support::process::{Hitstream, Running, wait_until};

const PATIENCE: Duration = Duration::from_secs(30);

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

fn folder(process: u32) -> PathBuf {
    std::env::temp_dir().join(format!("hitstream-demo-{process}"))
}

/// Starts a demo and waits until it is under way.
fn under_way(arguments: &[&str]) -> Running {
    let mut demo = Hitstream::new(&[&["demo"], arguments].concat()).start();
    wait_until("the demo runs", PATIENCE, || {
        assert!(demo.is_running(), "{}", demo.stderr());
        demo.stderr().contains("still in Kafka")
    });
    demo
}

#[test]
fn demo_ends_with_final_rows_and_a_clean_audit() {
    // Whatever a shell has set for real services is not heeded.
    let mut demo = Hitstream::new(&["demo", "--duration", "25s", "--rate", "500", "--json"]);
    let running = demo.env("KAFKA_TOPIC", "mine").env("POSTGRES_DB", "mine").start();
    let (place, ended) = (folder(running.id()), running.finish());
    assert_eq!(ended.code, Some(0), "{ended}");
    let audit = ended.json();
    assert_eq!((&audit["ok"], &audit["topic"]), (&true.into(), &"web_traffic_topic".into()));
    assert!(audit["final"].as_i64() > Some(0), "{audit}");
    assert!(audit["records"].as_i64() > Some(5_000), "{audit}");
    assert_eq!(audit["unread"], 0, "{audit}");
    assert!(ended.stderr.contains("windows of 10 s"), "{ended}");
    assert!(!place.exists(), "{}", place.display());
}

#[test]
fn demo_that_is_killed_leaves_no_process_and_the_next_removes_its_folder() {
    let demo = under_way(&[]);
    let (place, family) = (folder(demo.id()), beneath(demo.id()));
    assert!(family.len() > 3, "PostgreSQL with its own, run and generate: {family:?}");
    demo.kill();
    wait_until("all of it is gone", PATIENCE, || !family.iter().any(|process| lives(*process)));
    assert!(place.exists());
    let next = Hitstream::new(&["demo", "--duration", "1s"]).finish();
    assert_eq!(next.code, Some(0), "{next}");
    assert!(!place.exists());
}

#[test]
fn demo_that_is_interrupted_ends_in_order() {
    let demo = under_way(&[]);
    let (place, family) = (folder(demo.id()), beneath(demo.id()));
    demo.signal("INT");
    let ended = demo.finish();
    assert_eq!(ended.code, Some(0), "{ended}");
    assert!(ended.stdout.contains("ok: nothing lost, nothing doubled"), "{ended}");
    assert!(!family.iter().any(|process| lives(*process)) && !place.exists());
}
