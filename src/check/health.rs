//! `check --health`: asks a running instance how it is, and neither Kafka nor PostgreSQL.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hitstream_actors::readiness::Part;
use hyper::{StatusCode, Uri};
use serde::Serialize;

use crate::cli::table::{Align, Table};
use crate::cli::{CheckArgs, CliError, Outcome, output};
use crate::config::{Config, masked_url};
use crate::database::block_on;
use crate::http::{HEALTHZ, READYZ, Ready, ask};

/// Longest wait for the two answers together: whoever probes has a limit as well.
const LIMIT: Duration = Duration::from_secs(2);

/// Asks, and says what the answer was.
///
/// # Errors
/// No instance that answers, and a token that it does not take.
pub(super) fn health(config: &Config, args: &CheckArgs) -> Result<Outcome, CliError> {
    let place = match &args.url {
        Some(url) => Place::parse(url)?,
        None => Place::of(config)?,
    };
    let health = block_on(asked(config, &place))?;
    output::answer(args.json, &health)?;
    Ok(if health.detail.ready { Outcome::Done } else { Outcome::No })
}

async fn asked(config: &Config, place: &Place) -> Result<Health, CliError> {
    let asking = async {
        get(config, place, HEALTHZ).await?;
        get(config, place, READYZ).await
    };
    let (status, body) = tokio::time::timeout(LIMIT, asking).await.unwrap_or_else(|_| {
        let limit = humantime::format_duration(LIMIT);
        Err(place.out_of_reach(&format!("no answer within {limit}")))
    })?;
    let ready: Ready = serde_json::from_slice(&body)
        .map_err(|_| place.out_of_reach(&format!("{READYZ} is answered with {status}")))?;
    Ok(Health { url: place.url(""), alive: true, detail: ready })
}

/// Gets a page that an instance has whatever its state.
async fn get(
    config: &Config,
    place: &Place,
    page: &str,
) -> Result<(StatusCode, Vec<u8>), CliError> {
    let path = format!("{}{page}", place.path);
    let asked = ask(&place.authority, &path, &config.http.token).await;
    let (status, body) = asked.map_err(|reason| place.out_of_reach(&reason))?;
    match status {
        StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE => Ok((status, body)),
        StatusCode::UNAUTHORIZED => Err(CliError::Usage(format!(
            "{} does not take http.token; set it as that instance has it (HITSTREAM_HTTP__TOKEN)",
            place.url("")
        ))),
        _ => Err(place.out_of_reach(&format!("{page} is answered with {status}"))),
    }
}

/// Where an instance is asked.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    /// `host:port`.
    authority: String,
    /// What its pages are beneath, without a `/` at its end.
    path: String,
}

impl Place {
    /// Where the instance with these settings is.
    fn of(config: &Config) -> Result<Self, CliError> {
        let listen = config.http.listen;
        match listen.from_here() {
            Some(address) => Ok(Self { authority: address.to_string(), path: String::new() }),
            None => Err(CliError::Usage(format!(
                "http.listen = \"{listen}\" does not say where an instance answers; name the place, as the log of `run` has \
                 it: --url http://127.0.0.1:PORT"
            ))),
        }
    }

    fn parse(url: &str) -> Result<Self, CliError> {
        let wrong = |reason: &str| {
            CliError::Usage(format!("--url {:?} {reason}; write http://host:port", masked_url(url)))
        };
        let uri: Uri = url.parse().map_err(|_| wrong("is no URL"))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(wrong("asks for TLS, which is not built in")),
            _ => return Err(wrong("is none of HTTP")),
        }
        let authority = uri.authority().ok_or_else(|| wrong("names no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("holds credentials; the token goes to http.token"));
        }
        let port = authority.port_u16().unwrap_or(80);
        Ok(Self {
            authority: format!("{}:{port}", authority.host()),
            path: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    fn url(&self, page: &str) -> String {
        format!("http://{}{}{page}", self.authority, self.path)
    }

    fn out_of_reach(&self, reason: &str) -> CliError {
        CliError::Unreachable(format!(
            "no instance answers at {}: {reason}. Does one run, and does http.listen or --url name it?",
            self.url("")
        ))
    }
}

/// The answer. Serialized, it is that of `check --health --json`.
#[derive(Debug, Serialize)]
struct Health {
    url: String,
    alive: bool,
    #[serde(flatten)]
    detail: Ready,
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ready { ready, reasons, lag_records, last_commit_seconds } = &self.detail;
        let columns = [("part", Align::Left), ("state", Align::Left), ("detail", Align::Left)];
        let mut table = Table::new(columns);
        let mut row = |part: &str, state: &str, detail: &str| {
            table.row([part.to_owned(), state.to_owned(), detail.replace('\n', " ")]);
        };
        row("process", "ok", &self.url);
        let mut parts: BTreeMap<String, &str> =
            Part::ALL.iter().map(|part| (part.to_string(), "")).collect();
        parts.extend(reasons.iter().map(|(part, reason)| (part.clone(), reason.as_str())));
        for (part, reason) in &parts {
            row(part, if reasons.contains_key(part) { "fail" } else { "ok" }, reason);
        }
        table.fmt(f)?;
        let commit = match last_commit_seconds {
            Some(seconds) => format!("last commit {seconds:.1} s ago"),
            None => "no commit yet".to_owned(),
        };
        let lag = lag_records.map_or_else(|| "unknown".to_owned(), |lag| lag.to_string());
        let is_ready = if *ready { "ready" } else { "not ready" };
        writeln!(f, "{is_ready}; lag {lag}, {commit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_is_host_and_port_and_what_pages_are_beneath() {
        let place = |url: &str| Place::parse(url).map(|place| place.url("/x"));
        for (url, page) in [
            ("http://h:8080", "http://h:8080/x"),
            ("http://h", "http://h:80/x"),
            ("http://[::1]:8080/", "http://[::1]:8080/x"),
            ("http://h:1/hits/", "http://h:1/hits/x"),
        ] {
            assert_eq!(place(url).unwrap(), page);
        }
        for (url, says) in [
            ("https://h", "TLS"),
            ("h:8080", "http://host:port"),
            ("/x", "http://host:port"),
            ("http://", "http://host:port"),
            ("http://u:hunter2@h", "credentials"),
        ] {
            let error = place(url).unwrap_err().to_string();
            assert!(error.contains(says) && !error.contains("hunter2"), "{error}");
        }
    }
}
