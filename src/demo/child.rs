//! A process of the demo that ends with it, whatever ends the demo.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::folder::ANOTHER_PLACE;

/// How variables that are settings begin.
const SETTINGS: &[&str] = &["HITSTREAM_", "KAFKA_", "POSTGRES_", "IP_CODING_KEY", "PG"];
/// How often a process that is to end is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// Lines of its log that are shown of a process that failed.
const LAST_LINES: usize = 12;

/// What is said of a place that takes no more.
pub(super) const IS_FULL: &str = "is full";
/// What the system and PostgreSQL say of a place that takes no more.
const FULL: &[&str] = &["No space left on device", "Disk quota exceeded", "Check free disk space"];
/// How long one that is dropped may take to end.
const DEATH_LIMIT: Duration = Duration::from_secs(5);
/// What to say where it is not there.
pub(super) const NO_SETPRIV: &str =
    "`setpriv` cannot be run; it belongs to util-linux and sees to it that nothing is left running";

/// A process started through `setpriv`, which has the kernel end it when its parent dies. It ends when dropped.
pub(super) struct Process {
    name: &'static str,
    /// The signal that ends it at once, by its name.
    death: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program. `death` is the signal that it gets when the demo is no more, by its name. All that it says goes
    /// to its log in `folder`.
    pub(super) fn start(
        name: &'static str,
        death: &'static str,
        folder: &Path,
        program: impl FnOnce(&mut Command),
    ) -> Result<Self> {
        use std::os::unix::process::CommandExt;
        let log = folder.join(format!("{name}.log"));
        let mut command = Command::new("setpriv");
        remove_settings(&mut command);
        command.args(["--pdeathsig", death]);
        program(&mut command);
        let output = File::create(&log).with_context(|| format!("{}", log.display()))?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        // A group of its own: Ctrl-C is the demo's alone, which ends things in order.
        let child = command.process_group(0).spawn().context(NO_SETPRIV)?;
        Ok(Self { name, death, child, log })
    }

    /// A field of the first line of its log with this message, if it has said that yet.
    pub(super) fn said(&self, message: &str, field: &str) -> Option<String> {
        let mut lines = self.lines().into_iter();
        let line = lines.find(|line| line.get("message").is_some_and(|said| said == message))?;
        Some(line.get(field)?.as_str()?.to_owned())
    }

    /// What it said last that keeps it from its work, unless it has said since that it is ready.
    pub(super) fn trouble(&self) -> Option<String> {
        let mut last = None;
        for line in self.lines() {
            let field = |name| line.get(name).and_then(Value::as_str).unwrap_or_default();
            match field("message") {
                "not ready" => last = Some(format!("{}: {}", field("part"), field("reason"))),
                "ready" => last = None,
                _ => {}
            }
        }
        last
    }

    /// Its log, as far as that is lines of JSON.
    fn lines(&self) -> Vec<Value> {
        let log = self.log();
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// All that it has said; nothing where that cannot be read.
    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits for its end, which must be a good one, and come before `stop` is raised.
    pub(super) fn finish(mut self, stop: &AtomicBool) -> Result<()> {
        while !stop.load(Ordering::Relaxed) {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!(self.told(&format!("{} failed ({status})", self.name))),
                None => std::thread::sleep(LOOK),
            }
        }
        bail!("{} was interrupted", self.name)
    }

    /// Fails when it has ended by itself, with the last it said.
    pub(super) fn must_live(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!(self.told(&format!("{} ended by itself ({status})", self.name))),
        }
    }

    /// Sends a signal by its name to it and what it has started, and waits for its end, at most for `limit`; after that
    /// it is killed.
    pub(super) fn stop(&mut self, signal: &str, limit: Duration) -> Result<Option<ExitStatus>> {
        signal_to_group(self.child.id(), signal)?;
        let begin = Instant::now();
        while begin.elapsed() < limit {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            std::thread::sleep(LOOK);
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(None)
    }

    /// Tells what came of it: a line with what to do, where that is known, and the end of its log, indented.
    pub(super) fn told(&self, what: &str) -> String {
        let log = self.log();
        let place = self.log.ancestors().nth(2).unwrap_or(&self.log);
        if FULL.iter().any(|words| log.contains(words)) {
            // No more needs to be said, and what comes of it is long.
            let place = place.display();
            return format!(
                "TMPDIR {place} {IS_FULL}: make room there, or {ANOTHER_PLACE}; {what}"
            );
        }
        if log.is_empty() {
            return format!("{what}, without a word");
        }
        let lines: Vec<&str> = log.lines().collect();
        let last = lines.len().saturating_sub(LAST_LINES);
        let quoted = lines.iter().skip(last).map(|line| format!("\n    {line}"));
        std::iter::once(format!("{what}; the last that it said:")).chain(quoted).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Where it has ended already there is nothing to do.
        if let Ok(None) = self.child.try_wait() {
            drop(self.stop(self.death, DEATH_LIMIT));
        }
    }
}

/// Keeps settings and secrets for real services from a process. PostgreSQL's programs have variables too: `PGPORT` would
/// move the server's socket.
fn remove_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let is_setting = |name: &str| SETTINGS.iter().any(|beginning| name.starts_with(beginning));
        if name.to_str().is_some_and(is_setting) {
            command.env_remove(name);
        }
    }
}

fn signal_to_group(process: u32, signal: &str) -> Result<()> {
    let kill = format!("kill -s {signal} -- -{process}");
    let status = Command::new("sh").args(["-c", &kill]).stderr(Stdio::null()).status()?;
    if !status.success() {
        tracing::debug!(process, signal, "the process has ended already");
    }
    Ok(())
}
