//! How the pipeline is: told over HTTP while it runs, and judged by its commits.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use hitstream_actors::clock;
use hitstream_actors::readiness::Part;
use hitstream_actors::stall::CommitWatch;
use tracing::info;

use crate::cli::{CliError, RunArgs};
use crate::config::{Config, Listen, Loaded};
use crate::http::{Server, Token, Vitals, router};

/// How often it is looked whether commits follow.
const LOOK_AT_COMMITS: Duration = Duration::from_millis(500);

/// Serves HTTP where the settings say so. Runs to an end of their own are done before anybody asks, and often run beside one
/// that is not: they serve nothing unless `http.listen` was set.
///
/// # Errors
/// An address that cannot be taken.
pub(super) fn serve(
    loaded: &Loaded,
    args: &RunArgs,
    vitals: &Vitals,
) -> Result<Option<Server>, CliError> {
    let http = &loaded.config.http;
    let Listen::At(address) = http.listen else { return Ok(None) };
    if args.until_end && !loaded.is_set("http.listen") {
        return Ok(None);
    }
    let start = |address| Server::start(address, router(vitals.clone(), Token::new(&http.token)));
    let server = match start(address) {
        Err(error) if error.kind() == ErrorKind::AddrInUse && args.any_port => {
            start(SocketAddr::new(address.ip(), 0))
        }
        started => started,
    };
    let server = server.map_err(|error| refused(http.listen, &error))?;
    info!(address = %server.address(), "serving HTTP");
    Ok(Some(server))
}

/// What an address that cannot be taken means to whoever chose it.
fn refused(listen: Listen, error: &std::io::Error) -> CliError {
    let (what, advice) = match error.kind() {
        ErrorKind::AddrInUse => (
            "another program listens there, perhaps another instance".to_owned(),
            "choose another port; port 0 takes any that is free, and \"off\" serves nothing",
        ),
        ErrorKind::AddrNotAvailable => (
            "this machine has no such address".to_owned(),
            "choose one that it has, or 0.0.0.0 for all of them",
        ),
        ErrorKind::PermissionDenied => {
            ("that port is not allowed to this user".to_owned(), "choose one from 1024 on")
        }
        _ => (error.to_string(), "choose another address, or \"off\" to serve nothing"),
    };
    CliError::Usage(format!(
        "http.listen = \"{listen}\": {what}; {advice} (HITSTREAM_HTTP__LISTEN)"
    ))
}

/// How long nothing of a partition may be committed: the time after which a commit is due does not count.
pub(super) fn stall(config: &Config) -> Duration {
    config.health.stall.max(config.flush.catch_up_interval) + config.flush.interval
}

/// Takes readiness back while commits do not follow.
pub(super) async fn watch_commits(Vitals { metrics, readiness, .. }: Vitals, limit: Duration) {
    let mut watch = CommitWatch::new(limit);
    let mut look = tokio::time::interval(LOOK_AT_COMMITS);
    loop {
        look.tick().await;
        match watch.look(clock::monotonic(), &metrics.partitions.standing()) {
            Some(stalled) => readiness.fails(Part::Commits, stalled.to_string()),
            None => readiness.works(Part::Commits),
        }
    }
}
