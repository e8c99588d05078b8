//! Writes one access log line as the JSON event of the input contract.

use std::io::Write;

use serde::Serialize;

use super::access_log::LogLine;

/// The fields in the order of the input contract's own producers.
#[derive(Serialize)]
struct Event<'a> {
    url: Option<&'a str>,
    referrer: Option<&'a str>,
    user_agent: Option<&'a str>,
    host: Option<&'a str>,
    ip: Option<&'a str>,
    headers: &'a str,
    event_time: &'a str,
}

#[derive(Serialize)]
struct Headers<'a> {
    method: Option<&'a str>,
    protocol: Option<&'a str>,
    status: Option<u16>,
    bytes: Option<u64>,
}

/// Writes events, reusing its buffers.
#[derive(Default)]
pub(super) struct EventWriter {
    headers: Vec<u8>,
    time: Vec<u8>,
}

impl EventWriter {
    /// Writes a line's event into `out`, which is cleared first.
    pub(super) fn write(
        &mut self,
        line: &LogLine<'_>,
        host: Option<&str>,
        out: &mut Vec<u8>,
    ) -> std::io::Result<()> {
        out.clear();
        self.headers.clear();
        self.time.clear();
        let LogLine { method, protocol, status, bytes, .. } = *line;
        serde_json::to_writer(&mut self.headers, &Headers { method, protocol, status, bytes })?;
        let t = &line.time;
        let (hour, minute, second) = (t.second / 3600, t.second / 60 % 60, t.second % 60);
        write!(
            self.time,
            "{:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}.000Z",
            t.year, t.month, t.day
        )?;
        let event = Event {
            url: line.target,
            referrer: line.referrer,
            user_agent: line.user_agent,
            host,
            ip: line.ip,
            headers: text(&self.headers)?,
            event_time: text(&self.time)?,
        };
        serde_json::to_writer(out, &event)?;
        Ok(())
    }
}

fn text(bytes: &[u8]) -> std::io::Result<&str> {
    std::str::from_utf8(bytes).map_err(std::io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_has_every_field_and_headers_as_text() {
        let line = r#"1.2.3.4 - - [17/May/2015:10:05:03 +0000] "GET /"x HTTP/1.1" 200 - "-" "a	b""#;
        let line = LogLine::parse(line, true).unwrap();
        let mut out = b"old".to_vec();
        EventWriter::default().write(&line, Some("h.example"), &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"url":"/\"x","referrer":null,"user_agent":"a\tb","host":"h.example","ip":"1.2.3.4","headers":"{\"method\":\"GET\",\"protocol\":\"HTTP/1.1\",\"status\":200,\"bytes\":null}","event_time":"2015-05-17T10:05:03.000Z"}"#
        );
    }
}
