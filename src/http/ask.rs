//! Asking an instance: one GET on a connection of its own, without TLS.

use axum::body::Body;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, HOST, HeaderValue};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::config::Secret;

/// Longest answer that is read.
const MAX_BODY: usize = 1 << 20;

/// Asks `host:port` for a path, and gives status and body.
///
/// # Errors
/// In words, whatever keeps it from an answer; the token is in none of them.
pub(crate) async fn ask(
    address: &str,
    path: &str,
    token: &Secret,
) -> Result<(StatusCode, Vec<u8>), String> {
    let mut request = Request::get(path).header(HOST, address);
    if !token.is_empty() {
        let bearer = HeaderValue::try_from(format!("Bearer {}", token.reveal()));
        let mut bearer = bearer.map_err(|_| "the token fits into no header".to_owned())?;
        bearer.set_sensitive(true);
        request = request.header(AUTHORIZATION, bearer);
    }
    let request = request.body(Body::empty()).map_err(|error| error.to_string())?;
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let no_http = |error: hyper::Error| format!("what answers there is no HTTP: {error}");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(no_http)?;
    // It ends with the sender; what goes wrong on it, the request is told.
    tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(no_http)?;
    let status = answer.status();
    let body = axum::body::to_bytes(Body::new(answer.into_body()), MAX_BODY).await;
    let body = body.map_err(|error| format!("the answer breaks off: {error}"))?;
    Ok((status, body.to_vec()))
}
