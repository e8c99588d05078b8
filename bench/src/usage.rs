//! Runs a program and looks at what it and all that it starts use of the machine.

use std::collections::BTreeMap;
use std::fs::{File, read_to_string};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How often the known processes are looked at.
const LOOK: Duration = Duration::from_millis(10);
/// How often further processes are looked for, which takes a look at every one of the machine.
const SEARCH: Duration = Duration::from_millis(100);
/// Ticks of 10 ms, on every platform that Linux runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// What a program said and used.
pub(crate) struct Finished {
    /// From its start to its end, in seconds.
    pub(crate) took: f64,
    /// Time on the processors, all processes together.
    pub(crate) cpu_seconds: f64,
    /// The most memory that all processes together had at one moment.
    pub(crate) peak_rss_mb: f64,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a program to its end.
///
/// # Errors
/// It cannot be started, or does not succeed; the message has what it said last.
pub(crate) fn run(command: &mut Command) -> Result<Finished> {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    let name = format!("hitstream-bench-{}-{run}", std::process::id());
    let said = std::env::temp_dir().join(name);
    let (stdout, stderr) = (said.with_extension("out"), said.with_extension("err"));
    command.stdin(Stdio::null()).stdout(File::create(&stdout)?).stderr(File::create(&stderr)?);
    let program = command.get_program().to_owned();
    let watched = watch(command).with_context(|| format!("{} cannot be run", program.display()));
    let said = [read_to_string(&stdout)?, read_to_string(&stderr)?];
    std::fs::remove_file(&stdout)?;
    std::fs::remove_file(&stderr)?;
    let (status, took, used) = watched?;
    let [stdout, stderr] = said;
    if !status.success() {
        // Some programs tell on standard output why they failed: spark-submit's Python does.
        let lines: Vec<&str> = stdout.lines().chain(stderr.lines()).collect();
        let last = lines.get(lines.len().saturating_sub(60)..).unwrap_or_default().join("\n");
        bail!("{} ended with {status}:\n{last}", program.display());
    }
    let Usage { peak_rss_mb, .. } = used;
    Ok(Finished { took, cpu_seconds: used.cpu_seconds(), peak_rss_mb, stdout, stderr })
}

/// Looks at a program until it ends.
fn watch(command: &mut Command) -> Result<(ExitStatus, f64, Usage)> {
    let begin = Instant::now();
    let mut child = command.spawn()?;
    let mut usage = Usage::default();
    let mut searched = None;
    loop {
        if searched.is_none_or(|at: Instant| at.elapsed() >= SEARCH) {
            usage.search(child.id());
            searched = Some(Instant::now());
        }
        usage.look();
        if let Some(status) = child.try_wait()? {
            return Ok((status, begin.elapsed().as_secs_f64(), usage));
        }
        std::thread::sleep(LOOK);
    }
}

/// What a process and its descendants used so far.
#[derive(Default)]
struct Usage {
    /// Ticks on the processors, by process; those that have ended stay.
    ticks: BTreeMap<u32, f64>,
    peak_rss_mb: f64,
}

impl Usage {
    /// Finds a process and all below it.
    fn search(&mut self, root: u32) {
        let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let process = entry.file_name().to_str().and_then(|name| name.parse().ok());
            let Some(process) = process else { continue };
            let parent = fields(process).and_then(|fields| Some(*fields.get(1)? as u32));
            children.entry(parent.unwrap_or(0)).or_default().push(process);
        }
        let mut found = vec![root];
        while let Some(process) = found.pop() {
            self.ticks.entry(process).or_default();
            found.extend(children.remove(&process).unwrap_or_default());
        }
    }

    fn look(&mut self) {
        let mut together = 0.0;
        for (process, ticks) in &mut self.ticks {
            // User and system time.
            if let Some([user, system]) = fields(*process).as_deref().and_then(|f| f.get(11..13)) {
                *ticks = ticks.max(user + system);
            }
            let status = read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
            together += megabytes(&status, "VmRSS:");
            // The kernel's own record of one process misses no moment.
            self.peak_rss_mb = self.peak_rss_mb.max(megabytes(&status, "VmHWM:"));
        }
        self.peak_rss_mb = self.peak_rss_mb.max(together);
    }

    fn cpu_seconds(&self) -> f64 {
        self.ticks.values().sum::<f64>() / TICKS_PER_SECOND
    }
}

/// The numbers behind a process's name, which ends with the last bracket; the state, a letter, comes first and is 0.
fn fields(process: u32) -> Option<Vec<f64>> {
    let stat = read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    Some(fields.split_whitespace().map(|field| field.parse().unwrap_or(0.0)).collect())
}

/// A line of a process's status, in kB there.
fn megabytes(status: &str, name: &str) -> f64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kb = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kb.unwrap_or(0.0) * 1024.0 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_starts_is_part_of_its_use() {
        // The work is done by a child; the shell itself only waits.
        let busy = "i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done";
        let script = format!("sh -c '{busy}'; echo said; echo more >&2");
        let finished = run(Command::new("sh").args(["-c", &script])).unwrap();
        assert!(finished.cpu_seconds > 0.05, "{}", finished.cpu_seconds);
        assert!(finished.peak_rss_mb > 0.5, "{}", finished.peak_rss_mb);
        assert!(finished.took > 0.0);
        assert_eq!((finished.stdout.as_str(), finished.stderr.as_str()), ("said\n", "more\n"));
    }

    #[test]
    fn a_failure_quotes_what_was_said() {
        let failed = run(Command::new("sh").args(["-c", "echo no topic; echo here >&2; exit 3"]));
        let message = format!("{:#}", failed.map(|_| ()).unwrap_err());
        assert!(message.contains("3") && message.contains("no topic\nhere"), "{message}");
    }
}
