//! HTTP: what an instance says of itself while it runs, and asking another one.
//!
//! It is served by a thread of its own, so that no request takes time from the pipeline, and so that it answers while the
//! pipeline starts or waits. [`routes::router`] is what there is, [`Server`] serves it.

mod answer;
mod ask;
mod credits;
mod guard;
mod open;
mod routes;
mod serve;

pub(crate) use ask::ask;
pub use guard::Token;
pub(crate) use routes::{HEALTHZ, READYZ, Ready};
pub use routes::{Vitals, router};

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;

use axum::Router;
use tokio::sync::oneshot;

/// Serves until it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    /// The server ends when this is dropped.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens, and serves what is routed.
    ///
    /// # Errors
    /// Whatever the system says of the address, or of another thread.
    pub fn start(address: SocketAddr, router: Router) -> io::Result<Self> {
        Self::start_within(serve::LIMITS, address, router)
    }

    fn start_within(
        limits: serve::Limits,
        address: SocketAddr,
        router: Router,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("http".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serve::serve(listener, router, limits) => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // What it panicked of is in the log.
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests;
