//! Connections: how many, and for how long. Neither slow clients nor many of them cost more than is set down here.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tracing::{debug, error};

use super::open::{Open, Place};

/// What clients may take of the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Connections at a time; one more closes the one that has been silent for longest.
    pub(super) connections: usize,
    /// How long a request's head may take, counted from the answer before it: an idle connection is closed as well.
    pub(super) head: Duration,
    /// How long any connection may last, whatever goes on: a client may not take what it asked for.
    pub(super) lifetime: Duration,
}

/// More than any scraper, probe and browser together want.
pub(super) const LIMITS: Limits =
    Limits { connections: 64, head: Duration::from_secs(10), lifetime: Duration::from_secs(600) };

/// Bytes of a request's head.
const MAX_HEAD: usize = 16 << 10;
/// Wait after the system has refused a connection, as it does when there are no more file descriptors.
const REFUSED_WAIT: Duration = Duration::from_millis(100);

/// Serves for ever. A new connection never waits for an old one: whoever asks how the process is has to be told at once.
pub(super) async fn serve(listener: TcpListener, router: Router, limits: Limits) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return error!(%error, "HTTP is not served"),
    };
    let (open, room) = (Open::default(), Arc::new(Semaphore::new(limits.connections)));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                debug!(%error, "no HTTP connection is taken");
                open.close_most_silent();
                tokio::time::sleep(REFUSED_WAIT).await;
                continue;
            }
        };
        if room.available_permits() == 0 {
            open.close_most_silent();
        }
        // It is never closed, and what was told to end ends at once.
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let (place, router) = (open.enter(), router.clone());
        tokio::spawn(async move {
            connection(stream, router, limits, place).await;
            drop(permit);
        });
    }
}

async fn connection(stream: TcpStream, router: Router, limits: Limits, mut place: Place) {
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(limits.head).max_buf_size(MAX_HEAD);
    let (router, heard) = (TowerToHyperService::new(router), place.ear());
    let answer = service_fn(move |request| {
        heard.hear();
        router.call(request)
    });
    let served = server.serve_connection(TokioIo::new(stream), answer);
    tokio::select! {
        served = tokio::time::timeout(limits.lifetime, served) => match served {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(%error, "HTTP connection"),
            Err(_) => debug!("an HTTP connection lasted too long"),
        },
        () = place.closed() => debug!("an HTTP connection was silent for longest and made room"),
    }
}
