//! Connections: how many, and for how long. Neither slow clients nor many of them cost more than is set down here.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tracing::{debug, error};

/// What clients may take of the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Connections at a time; others wait until one ends.
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

/// Serves for ever.
pub(super) async fn serve(listener: TcpListener, router: Router, limits: Limits) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return error!(%error, "HTTP is not served"),
    };
    let room = Arc::new(Semaphore::new(limits.connections));
    loop {
        // It is never closed.
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let router = router.clone();
                tokio::spawn(async move {
                    connection(stream, router, limits).await;
                    drop(place);
                });
            }
            Err(error) => {
                debug!(%error, "no HTTP connection is taken");
                tokio::time::sleep(REFUSED_WAIT).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, router: Router, limits: Limits) {
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(limits.head).max_buf_size(MAX_HEAD);
    let served = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    match tokio::time::timeout(limits.lifetime, served).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "HTTP connection"),
        Err(_) => debug!("an HTTP connection lasted too long"),
    }
}
