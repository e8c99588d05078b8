//! A Kafka or PostgreSQL of one test's own, to be killed, frozen and started again.

use std::path::PathBuf;
use std::process::Command;

use super::process::wait_until;
use super::scratch::Folder;
use super::skip;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/services.sh");

pub(crate) struct Server {
    name: &'static str,
    folder: Folder,
    url: String,
}

impl Server {
    /// Starts `kafka` or `postgres`; `None`, with a word, where the shared services do not run either.
    pub(crate) fn start(name: &'static str) -> Option<Self> {
        if std::env::var_os("KAFKA_URL").is_none() {
            skip("no services: run `make services && . ./.services.env` first, or `make test`");
            return None;
        }
        let (folder, url) = (Folder::new(), String::new());
        let mut server = Self { name, folder, url };
        server.script("start");
        let variables = std::fs::read_to_string(server.folder.path("state.env")).unwrap();
        let variable = format!("export {}_URL=", name.to_uppercase());
        let url = variables.lines().find_map(|line| line.strip_prefix(&variable)).unwrap();
        server.url = url.to_owned();
        Some(server)
    }

    /// Its URL, as `KAFKA_URL` or `POSTGRES_URL`; the same after another start.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What the script has noted of it, such as `bin`, `data` and `socket` of PostgreSQL; `None` in a container.
    pub(crate) fn fact(&self, what: &str) -> Option<String> {
        let file = self.state().join(format!("{}.{what}", self.name));
        std::fs::read_to_string(file).ok().map(|fact| fact.trim().to_owned())
    }

    /// Ends it by a signal: `KILL`, or `QUIT`, which for PostgreSQL is an immediate shutdown.
    pub(crate) fn kill(&self, signal: &str) {
        if let Some(container) = self.fact("cid") {
            let container = container.as_str();
            done(Command::new("docker").args(["kill", "-s", signal, container]));
            wait_until("the container ends", || {
                let running = ["inspect", "-f", "{{.State.Running}}", container];
                done(Command::new("docker").args(running)).trim() == "false"
            });
            return;
        }
        let pid = self.pid();
        done(Command::new("kill").args(["-s", signal, &pid]));
        wait_until("the server ends", || {
            let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            state.is_empty() || state.contains(") Z ")
        });
    }

    /// Freezes it: connections are still taken by the system, and nothing is answered.
    pub(crate) fn freeze(&self) -> Frozen<'_> {
        let frozen = Frozen(self);
        self.signal_all("STOP", "pause");
        frozen
    }

    /// To it and its children, or by docker to its container.
    fn signal_all(&self, signal: &str, docker: &str) {
        if let Some(container) = self.fact("cid") {
            done(Command::new("docker").args([docker, container.trim()]));
            return;
        }
        let pid = self.pid();
        // First: once it is stopped it makes no more children.
        done(Command::new("kill").args(["-s", signal, &pid]));
        let children = Command::new("ps").args(["-o", "pid=", "--ppid", &pid]).output().unwrap();
        let children = String::from_utf8_lossy(&children.stdout).into_owned();
        // One that has ended meanwhile is none to be signalled.
        let mut kill = Command::new("kill");
        drop(kill.args(["-s", signal]).args(children.split_whitespace()).output().unwrap());
    }

    fn pid(&self) -> String {
        self.fact("pid").unwrap().split_whitespace().next().unwrap().to_owned()
    }

    /// Starts it again after it was killed, with the data it had, where it was.
    pub(crate) fn start_again(&self) {
        self.script("start");
    }

    fn state(&self) -> PathBuf {
        self.folder.path("state")
    }

    fn script(&self, order: &str) {
        let output = Command::new(SCRIPT)
            .args([order, self.name])
            .env("HITSTREAM_SERVICES_DIR", self.state())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "services.sh {order} {}: {said}", self.name);
    }
}

/// Runs a command that must succeed.
fn done(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A server that is frozen until this is dropped: also by a test that fails, whose bench would wait for it for ever.
#[must_use = "it goes on when this is dropped"]
pub(crate) struct Frozen<'a>(&'a Server);

impl Frozen<'_> {
    /// Lets the server go on.
    pub(crate) fn thaw(self) {}
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        let go_on = || self.0.signal_all("CONT", "unpause");
        if std::thread::panicking() {
            // It may have ended, and a second panic would end all other tests.
            drop(std::panic::catch_unwind(std::panic::AssertUnwindSafe(go_on)));
        } else {
            go_on();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let stopped =
            Command::new(SCRIPT).arg("stop").env("HITSTREAM_SERVICES_DIR", self.state()).output();
        if !stopped.is_ok_and(|output| output.status.success()) {
            eprintln!("{} in {} may still run", self.name, self.state().display());
        }
    }
}
