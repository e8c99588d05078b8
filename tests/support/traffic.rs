//! Synthetic traffic with everything in it that makes counting hard, and how far it is counted.

use super::process::{Running, wait_until};
use super::scratch::Folder;
use super::{Bench, expected, kafka};

/// Traffic under way, and what must come out of it.
pub(crate) struct Traffic {
    running: Option<Running>,
    /// Whether it goes on until it is told to stop.
    is_endless: bool,
    folder: Folder,
}

impl Traffic {
    /// Starts `generate`; `more` says how fast, how much (without `--count` it goes on until
    /// `finish`), and what is to be otherwise.
    pub(crate) fn start(bench: &Bench, more: &[&str]) -> Self {
        let folder = Folder::new();
        let file = folder.path("expected.json");
        let usual = [
            ["--late", "3%"],
            ["--malformed", "2%"],
            ["--disorder", "30s"],
            ["--start", "2026-01-01T00:00:00Z"],
            ["--step", "20ms"],
            ["--expected", file.to_str().unwrap()],
        ];
        let usual = usual.iter().filter(|[option, _]| !more.contains(option)).flatten();
        let arguments: Vec<&str> = ["generate"].iter().chain(usual).chain(more).copied().collect();
        let running = bench.hitstream(&arguments).start();
        Self { running: Some(running), is_endless: !more.contains(&"--count"), folder }
    }

    /// The same, waiting until all is sent.
    pub(crate) fn send(bench: &Bench, more: &[&str]) -> Self {
        let mut traffic = Self::start(bench, more);
        traffic.finish();
        traffic
    }

    /// Waits until records flow.
    pub(crate) fn wait_for_records(&mut self) {
        let running = self.running.as_mut().unwrap();
        wait_until("traffic", || running.stderr().contains("records") || !running.is_running());
    }

    /// Whether records are still being sent.
    pub(crate) fn is_running(&mut self) -> bool {
        self.running.as_mut().is_some_and(Running::is_running)
    }

    /// Waits until all is sent; what is endless is told to stop.
    pub(crate) fn finish(&mut self) {
        if let Some(running) = self.running.take() {
            let finished = if self.is_endless { running.stop() } else { running.finish() };
            assert_eq!(finished.code, Some(0), "{finished}");
        }
    }

    /// Waits until all is sent, and then until whoever runs has committed all of it.
    pub(crate) fn finish_counted(&mut self, bench: &Bench) {
        self.finish();
        let sent = kafka::end(&bench.kafka_url, &bench.topic);
        wait_until("all that was sent is committed", || committed(bench) == sent);
    }

    /// Reads the rest of the topic and compares all tables with what must be in them.
    pub(crate) fn settle(mut self, bench: &Bench) {
        self.finish();
        bench.run_until_end();
        let expected = expected::expected(&self.folder.path("expected.json"));
        bench.assert_equals(&expected);
    }
}

/// How many records are committed.
pub(crate) fn committed(bench: &Bench) -> i64 {
    let query = "SELECT coalesce(sum(next_offset), 0)::bigint FROM partition_progress";
    bench.sql().query_one(query, &[]).map_or(0, |row| row.get(0))
}

/// How many instances were the last to commit a partition.
pub(crate) fn owners(bench: &Bench) -> i64 {
    let query = "SELECT count(DISTINCT owner) FROM partition_progress";
    bench.sql().query_one(query, &[]).map_or(0, |row| row.get(0))
}
