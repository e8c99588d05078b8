//! docs/METRICS.md, made from the metrics themselves.

use std::fmt::Write as _;

use super::partitions::SERIES;

/// What there is to say of a metric.
pub(super) struct Described {
    pub(super) name: &'static str,
    /// Its kind, by the name of the type.
    pub(super) kind: &'static str,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
}

impl Described {
    fn type_of(&self) -> &'static str {
        match self.kind {
            kind if kind.contains("Histogram") => "histogram",
            kind if kind.contains("Counter") => "counter",
            _ => "gauge",
        }
    }
}

const HEAD: &str = "# Metrics\n\n\
    Made from `actors/src/metrics/`; `UPDATE_DOCS=1 cargo test -p hitstream-actors metrics` writes it anew. They are served at\n\
    `/metrics` of `http.listen`. Counters of records and hits grow when these are committed, so that what is read again after a\n\
    crash counts once. Labels are of closed sets; `partition` is the number of a Kafka partition.\n";

const PROCESS: &str = "\nThe process itself, as everywhere: `process_cpu_seconds_total`, `process_resident_memory_bytes`, `process_virtual_memory_bytes`,\n\
    `process_open_fds`, `process_max_fds`, `process_start_time_seconds`, `process_threads`.\n";

/// The document.
pub(super) fn markdown(metrics: &[Described]) -> String {
    let mut text = format!("{HEAD}\n| metric | type | labels | |\n|---|---|---|---|\n");
    for metric in metrics.iter().chain(&SERIES) {
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} |",
            metric.name,
            metric.type_of(),
            labels.join(", "),
            metric.help
        );
    }
    text + PROCESS
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;

    #[test]
    fn document_is_what_the_code_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/METRICS.md");
        let text = Metrics::reference();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == text, "docs/METRICS.md is not up to date: UPDATE_DOCS=1 writes it");
    }

    #[test]
    fn every_metric_has_a_help_and_a_name_of_its_kind() {
        for metric in Metrics::described() {
            assert!(metric.help.ends_with('.'), "{}", metric.name);
            assert_eq!(
                metric.type_of() == "counter",
                metric.name.ends_with("_total"),
                "{}",
                metric.name
            );
        }
    }
}
