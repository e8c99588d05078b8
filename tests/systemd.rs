//! What an instance tells systemd, heard at a socket of the test's own.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::support::Bench;
use crate::support::hit::Hit;
use crate::support::process::{Hitstream, wait_until};
use crate::support::scratch::Folder;

/// Stands where systemd listens.
struct Manager {
    socket: UnixDatagram,
    folder: Folder,
    heard: Vec<String>,
}

impl Manager {
    fn listen() -> Self {
        let folder = Folder::new();
        let socket = UnixDatagram::bind(folder.path("notify")).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { socket, folder, heard: Vec::new() }
    }

    fn address(&self) -> String {
        self.folder.path("notify").to_str().unwrap().to_owned()
    }

    /// Waits for a line; gives how many came before it.
    fn hear(&mut self, what: &str, is_it: impl Fn(&str) -> bool) -> usize {
        let mut found = None;
        wait_until(what, || {
            let mut datagram = [0; 4096];
            while let Ok(length) = self.socket.recv(&mut datagram) {
                let text = String::from_utf8(datagram[..length].to_vec()).unwrap();
                self.heard.extend(text.lines().map(str::to_owned));
            }
            found = self.heard.iter().position(|line| is_it(line));
            found.is_some()
        });
        found.unwrap()
    }
}

#[test]
fn systemd_is_told_of_start_state_life_and_end() {
    let Some(bench) = Bench::new("systemd") else { return };
    let mut manager = Manager::listen();
    let bench = bench
        .with("NOTIFY_SOCKET", manager.address())
        .with("WATCHDOG_USEC", Duration::from_millis(200).as_micros());
    // Up before its topic exists: that is waited for, and told.
    let running = bench.hitstream(&["run"]).start();
    let up = manager.hear("up", |line| line == "READY=1");
    let waits = manager.hear("waits", |line| line.starts_with("STATUS=not ready: "));
    bench.create_topic(1);
    bench.send(0, &[Hit::at(0).record()]);
    let works = manager.hear("works", |line| line == "STATUS=ready");
    assert!(up < waits && waits < works, "{:?}", manager.heard);
    assert_eq!(manager.heard.iter().filter(|line| *line == "READY=1").count(), 1);
    for _ in 0..3 {
        manager.heard.clear();
        manager.hear("lives", |line| line == "WATCHDOG=1");
    }
    manager.heard.clear();
    let ended = running.stop();
    manager.hear("ends", |line| line == "STOPPING=1");
    let last = manager.heard.iter().rfind(|line| line.starts_with("STATUS="));
    assert_eq!(last.unwrap(), "STATUS=committing what was read");
    assert!(!ended.stderr.contains("systemd is not told"), "{ended}");
}

#[test]
fn settings_that_are_wrong_are_no_start() {
    let manager = Manager::listen();
    let mut hitstream = Hitstream::new(&["run"]);
    hitstream.env("NOTIFY_SOCKET", &manager.address()).env("HITSTREAM_FLUSH__INTERVAL", "never");
    assert_eq!(hitstream.finish().code, Some(64));
    assert!(manager.socket.recv(&mut [0; 64]).is_err(), "something was told");
}
