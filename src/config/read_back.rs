//! What librdkafka makes of a property's number. It reads as far as it can and is silent about the rest: `10s` is 10, and
//! what is beyond its range comes round on the other side.

use rdkafka::config::NativeClientConfig;

use super::values::{ByteSize, duration};

/// Says what is wrong with a number that librdkafka took, and reads as another one.
pub(super) fn check(taken: &NativeClientConfig, key: &str, value: &str) -> Result<(), String> {
    let written = value.trim();
    // Words such as `all` for `acks` have numbers of their own.
    let is_number =
        written.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'));
    let Ok(read) = taken.get(key) else { return Ok(()) };
    let read = read.trim_end_matches('\0');
    if !is_number || read == written {
        return Ok(());
    }
    match (read.parse::<f64>(), written.parse::<f64>()) {
        (Err(_), _) => Ok(()),
        (Ok(read), Ok(written)) if read == written => Ok(()),
        // Not `1e9` or `1.5`, which are slips of another kind.
        (Ok(_), Ok(_)) if written.parse::<i128>().is_ok() => Err(format!(
            "is beyond what librdkafka can hold, which would read {read}; write a number of ten digits at most"
        )),
        (Ok(_), _) => {
            let example = in_unit(key, written).unwrap_or_else(|| "10000".to_owned());
            Err(format!("librdkafka would read {read}; write {}, such as {example}", of_unit(key)))
        }
    }
}

/// Says what the number counts, as far as its name tells.
fn of_unit(key: &str) -> &'static str {
    match key {
        _ if key.ends_with(".ms") => "a whole number, which is of milliseconds",
        _ if key.ends_with(".kbytes") => "a whole number, which is of kilobytes (1024 bytes)",
        _ if key.ends_with(".bytes") => "a whole number, which is of bytes",
        _ => "a whole number",
    }
}

/// Gives the number that was most likely meant.
fn in_unit(key: &str, written: &str) -> Option<String> {
    let bytes = || serde_json::from_value(written.into()).ok().map(ByteSize::bytes);
    if key.ends_with(".ms") {
        duration::parse(written).ok().map(|time| time.as_millis().to_string())
    } else if key.ends_with(".kbytes") {
        bytes().map(|bytes| bytes.div_ceil(1024).to_string())
    } else {
        bytes().map(|bytes| bytes.to_string())
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::ClientConfig;

    use super::*;

    fn judged(key: &str, value: &str) -> Result<(), String> {
        check(&ClientConfig::new().set(key, value).create_native_config().unwrap(), key, value)
    }

    #[test]
    fn number_that_reads_as_another_is_refused() {
        for (key, value, says) in [
            (
                "session.timeout.ms",
                "10s",
                "would read 10; write a whole number, which is of milliseconds, such as 10000",
            ),
            ("fetch.wait.max.ms", "5 s", "such as 5000"),
            ("statistics.interval.ms", "1s", "such as 1000"),
            ("linger.ms", "5ms", "would read 5; "),
            ("queued.max.messages.kbytes", "64MB", "of kilobytes (1024 bytes), such as 62500"),
            ("fetch.max.bytes", "1MiB", "which is of bytes, such as 1048576"),
            ("fetch.max.bytes", "99999999999", "is beyond what librdkafka can hold"),
            ("session.timeout.ms", "1e4", "a whole number"),
            ("session.timeout.ms", "0x1000", "would read 4096"),
            ("session.timeout.ms", "9000.7", "would read 9000"),
            ("retries", "5x", "would read 5; write a whole number, such as 10000"),
        ] {
            let reason = judged(key, value).unwrap_err();
            assert!(reason.contains(says), "{key} = {value}: {reason}");
        }
    }

    #[test]
    fn whatever_reads_as_it_is_written_passes() {
        for (key, value) in [
            ("session.timeout.ms", "10000"),
            ("session.timeout.ms", " 10000 "),
            ("linger.ms", "0.5"),
            ("linger.ms", "7"),
            ("client.id", "10s"),
            ("client.id", "007"),
            ("sasl.password", "10s"),
            ("group.instance.id", "1x"),
            ("acks", "all"),
            ("acks", "-1"),
            ("acks", "1"),
            ("compression.codec", "zstd"),
            ("socket.keepalive.enable", "1"),
            ("debug", "broker,topic"),
        ] {
            assert_eq!(judged(key, value), Ok(()), "{key} = {value}");
        }
    }
}
