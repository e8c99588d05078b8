//! What `generate --expected` says must come out.

use std::path::Path;

use serde::Deserialize;

use super::model::{Counts, Key, Model};

#[derive(Deserialize)]
struct File {
    records: i64,
    rejected: i64,
    windows: Vec<Window>,
}

#[derive(Deserialize)]
struct Window {
    window_start: String,
    host: Option<String>,
    referrer: Option<String>,
    on_time: i64,
    late: i64,
}

/// Reads the file in the form of the model.
pub(crate) fn expected(file: &Path) -> Model {
    let file: File = serde_json::from_reader(std::fs::File::open(file).unwrap()).unwrap();
    let (mut on_time, mut late) = (Counts::new(), Counts::new());
    for window in file.windows {
        let start: jiff::Timestamp = window.window_start.parse().unwrap();
        let key = Key {
            window_start: start.as_microsecond(),
            host: window.host,
            referrer: window.referrer,
        };
        for (counts, hits) in [(&mut on_time, window.on_time), (&mut late, window.late)] {
            if hits > 0 {
                assert_eq!(counts.insert(key.clone(), hits), None, "{key:?} twice");
            }
        }
    }
    Model { on_time, late, rejected: file.rejected, accepted: file.records - file.rejected }
}
