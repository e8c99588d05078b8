//! The binary as a process: started, waited for with a deadline, killed when a test is done with it.

use std::fmt;
use std::fs::File;
use std::io::Seek;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long a test waits for what has to come before it gives up: it takes no time where that comes, and machines are busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);
/// Lines that are told of a process that ran when its test failed.
const LAST_LINES: usize = 6;
const POLL: Duration = Duration::from_millis(5);

/// A command line about to be run.
pub(crate) struct Hitstream {
    command: Command,
    stdin: Option<Stdio>,
    stdout: Option<Stdio>,
}

/// A process that runs; killed when it is dropped.
pub(crate) struct Running {
    child: Child,
    stdout: Captured,
    stderr: Captured,
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Finished {
    /// `None` after a signal.
    pub(crate) code: Option<i32>,
    status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Hitstream {
    pub(crate) fn new(arguments: &[&str]) -> Self {
        Self::of(Command::new(env!("CARGO_BIN_EXE_hitstream")), arguments)
    }

    /// The same, heeding SIGHUP as what a terminal starts does, also where the tests themselves run under `nohup`.
    pub(crate) fn of_a_terminal(arguments: &[&str]) -> Self {
        let mut command = Command::new("env");
        command.args(["--default-signal=HUP", env!("CARGO_BIN_EXE_hitstream")]);
        Self::of(command, arguments)
    }

    fn of(mut command: Command, arguments: &[&str]) -> Self {
        command.args(arguments).env_clear();
        for name in ["PATH", "HOME", "TMPDIR"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        Self { command, stdin: None, stdout: None }
    }

    pub(crate) fn env(&mut self, name: &str, value: &str) -> &mut Self {
        self.command.env(name, value);
        self
    }

    /// Starts it in another folder.
    pub(crate) fn current_dir(&mut self, folder: &Path) -> &mut Self {
        self.command.current_dir(folder);
        self
    }

    /// Gives it something to read.
    pub(crate) fn stdin(&mut self, input: &[u8]) -> &mut Self {
        use std::io::Write;
        let mut file = Captured::new();
        file.0.write_all(input).unwrap();
        file.0.rewind().unwrap();
        self.stdin_from(file.0)
    }

    /// Gives it something to read from, once.
    pub(crate) fn stdin_from(&mut self, input: impl Into<Stdio>) -> &mut Self {
        self.stdin = Some(input.into());
        self
    }

    /// Gives it something else to write its answer to, once.
    pub(crate) fn stdout(&mut self, output: impl Into<Stdio>) -> &mut Self {
        self.stdout = Some(output.into());
        self
    }

    /// Starts it.
    pub(crate) fn start(&mut self) -> Running {
        let (stdout, stderr) = (Captured::new(), Captured::new());
        let output = self.stdout.take().unwrap_or_else(|| stdout.writer());
        self.command.stdout(output).stderr(stderr.writer());
        self.command.stdin(self.stdin.take().unwrap_or_else(Stdio::null));
        let child = self.command.spawn().unwrap();
        Running { child, stdout, stderr }
    }

    /// Runs it to its end.
    pub(crate) fn finish(&mut self) -> Finished {
        self.start().finish()
    }
}

impl Running {
    /// Waits for its end, at most [`PATIENCE`].
    pub(crate) fn finish(mut self) -> Finished {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return self.finished(status);
            }
            if Instant::now() > deadline {
                self.child.kill().unwrap();
                let status = self.child.wait().unwrap();
                panic!("still running after {PATIENCE:?}: {}", self.finished(status));
            }
            std::thread::sleep(POLL);
        }
    }

    /// Kills it with SIGKILL after it has run for `span`, in which it must not end by itself.
    pub(crate) fn kill_after(mut self, span: Duration) -> Finished {
        self.run_for(span);
        self.kill()
    }

    /// Lets it run for `span`, in which it must not end by itself.
    pub(crate) fn run_for(&mut self, span: Duration) {
        let moment = Instant::now() + span;
        while Instant::now() < moment {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("ended by itself: {}", self.finished(status));
            }
            std::thread::sleep(POLL.min(moment.saturating_duration_since(Instant::now())));
        }
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub(crate) fn kill(mut self) -> Finished {
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        self.finished(status)
    }

    /// Sends a signal by its name, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success(), "SIG{name} could not be sent");
    }

    /// Stops it by SIGTERM, which must end well.
    pub(crate) fn stop(self) -> Finished {
        self.signal("TERM");
        let ended = self.finish();
        assert_eq!(ended.code, Some(0), "{ended}");
        ended
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has said on standard error so far.
    pub(crate) fn stderr(&mut self) -> String {
        self.stderr.text().unwrap()
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    fn finished(&mut self, status: ExitStatus) -> Finished {
        Finished {
            code: status.code(),
            status,
            stdout: self.stdout.text().unwrap(),
            stderr: self.stderr.text().unwrap(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail where it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            let said = self.stderr.text().unwrap_or_default();
            let lines: Vec<&str> = said.lines().collect();
            let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
            eprintln!("the last that process {} said:\n{}", self.id(), last.join("\n"));
        }
    }
}

impl Finished {
    /// A field of the first line of the log that has it, with this message.
    pub(crate) fn logged(&self, message: &str, field: &str) -> serde_json::Value {
        let lines = self.stderr.lines().filter_map(|line| serde_json::from_str(line).ok());
        lines
            .filter(|line: &serde_json::Value| line["message"] == message)
            .find_map(|line| line.get(field).cloned())
            .unwrap_or_else(|| panic!("no {field} of {message:?} in {self}"))
    }

    /// The JSON on standard output.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self}"))
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, stdout, stderr, .. } = self;
        write!(f, "{status}\n--- stdout\n{stdout}\n--- stderr\n{stderr}")
    }
}

/// Output in a file without a name: a pipe that nobody reads would stop the process.
struct Captured(File);

impl Captured {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path: PathBuf =
            std::env::temp_dir().join(format!("hitstream-test-{}-{number}", std::process::id()));
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        Self(file)
    }

    fn writer(&self) -> Stdio {
        Stdio::from(self.0.try_clone().unwrap())
    }

    fn text(&self) -> std::io::Result<String> {
        // The process writes through a descriptor that shares this one's position: it is left where it is.
        let mut bytes = vec![0; usize::try_from(self.0.metadata()?.len()).unwrap_or_default()];
        self.0.read_exact_at(&mut bytes, 0)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Waits until `holds`, at most for [`PATIENCE`]; fails with `what` otherwise.
#[track_caller]
pub(crate) fn wait_until(what: &str, holds: impl FnMut() -> bool) {
    wait_within(what, PATIENCE, holds);
}

/// Waits until `holds`, at most for `limit`, which is a rule and not patience; fails with `what` otherwise.
#[track_caller]
pub(crate) fn wait_within(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within {limit:?}");
        std::thread::sleep(POLL);
    }
}
