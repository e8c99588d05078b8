//! The canary: the key must be nowhere in what the process writes, whatever happens and whoever writes it.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

use crate::bench::{Bench, KEY, ip};
use crate::server::Reply;

/// All that was written.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Written {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl log::Log for Written {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let mut written = self.clone();
        writeln!(written, "{} {} {}", record.level(), record.target(), record.args()).unwrap();
    }

    fn flush(&self) {}
}

/// All that can happen to a request, each repeating the key where it can.
const REPLIES: &[fn() -> Reply] = &[
    || Reply::located("DE"),
    || Reply::json(&format!(r#"{{"country_code":"-","message":"{KEY}"}}"#)),
    || {
        Reply::json(&format!(
            r#"{{"country_code":["{KEY}"],"error":{{"error_code":1,"error_message":"{KEY}"}}}}"#
        ))
    },
    || Reply::json(&format!(r#"{{"country_code":"{KEY}"#)),
    || Reply::CutOff(KEY.to_owned()),
    || Reply::refused(400, Some(KEY)),
    || Reply::refused(401, Some(KEY)),
    || Reply::Answer(404, Vec::new(), format!("/?key={KEY} is not here")),
    || Reply::Answer(301, vec![format!("Location: http://localhost:1/?key={KEY}")], String::new()),
    || Reply::Answer(200, vec!["Bro ken".to_owned()], String::new()),
    || Reply::status(500),
    || Reply::limited("0"),
    || Reply::limited("600"),
    || Reply::Reset,
    || Reply::Never,
];

#[tokio::test]
async fn key_is_in_nothing_that_any_crate_writes_at_any_level() {
    let written = Written::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(written.clone())
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    log::set_boxed_logger(Box::new(written.clone())).unwrap();
    log::set_max_level(log::LevelFilter::Trace);

    let mut shown = String::new();
    for reply in REPLIES {
        let bench = Bench::new(move |_| reply()).with(|settings| {
            settings.timeout = Duration::from_millis(300);
            settings.retries = 1;
            settings.keep_for = Some(Duration::from_secs(60));
        });
        let provider = bench.start();
        for number in 0..7 {
            shown += &format!("{:?}", provider.locate(ip(number), 1).await);
        }
        shown += &format!("{provider:?} {:?} {:?}", bench.settings, bench.metrics.gather());
        assert!(bench.server.seen().iter().all(|seen| seen.key.as_deref() == Some(KEY)));
    }
    for wrong in [format!("nowhere?key={KEY}"), format!("ftp://{KEY}@localhost/")] {
        let bench = Bench::new(|_| Reply::Reset).with(|settings| settings.base_url = wrong);
        let started = hitstream_actors::enricher::ip2location::Ip2Location::start(
            bench.settings.clone(),
            bench.store.clone(),
            bench.metrics.clone(),
        );
        shown += &started.unwrap_err().to_string();
    }
    for nobody in ["http://127.0.0.1:1/", "http://nobody.invalid/", "https://localhost:1/"] {
        let bench = Bench::new(|_| Reply::Reset).with(|settings| {
            settings.base_url = nobody.to_owned();
            settings.timeout = Duration::from_secs(2);
            settings.retries = 0;
        });
        shown += &format!("{:?}", bench.start().locate(ip(1), 1).await);
        let probed = hitstream_actors::enricher::ip2location::probe(bench.settings.clone(), ip(1));
        shown += &format!("{:?}", probed.await);
    }

    let text = written.text();
    // What is searched holds what it should: our own words and those of the libraries beneath.
    for known in ["IP2Location.io fails", "reqwest::connect", "TRACE", "hyper"] {
        assert!(text.contains(known), "no {known:?} in {} bytes", text.len());
    }
    let at = text.find(KEY).map(|at| text.get(at.saturating_sub(300)..at));
    assert_eq!(at, None, "the key was written");
    assert!(!shown.contains(KEY), "the key was shown");
}
