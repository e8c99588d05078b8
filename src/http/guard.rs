//! Who may ask: with a token everything but whether the process lives takes that token.

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;

use super::answer;
use super::routes::HEALTHZ;
use crate::config::Secret;

/// What whoever asks has to know; only its hash is kept.
#[derive(Clone, Copy)]
pub struct Token(Option<blake3::Hash>);

impl Token {
    /// An empty secret is none: anybody may ask.
    pub fn new(secret: &Secret) -> Self {
        Self((!secret.is_empty()).then(|| blake3::hash(secret.reveal().as_bytes())))
    }

    /// Whether a request shows it. Hashes are compared in constant time, and tell nothing of a length.
    fn is_shown(self, headers: &HeaderMap) -> bool {
        let Some(token) = self.0 else { return true };
        let shown = headers.get(AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
        shown.is_some_and(|shown| blake3::hash(shown) == token)
    }
}

/// What follows the word `Bearer`, however that is written.
fn bearer(credentials: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = credentials.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

/// Lets a request in, or says what it lacks.
pub(super) async fn admit(State(token): State<Token>, request: Request, next: Next) -> Response {
    if request.uri().path() == HEALTHZ || token.is_shown(request.headers()) {
        return answer::with_headers(next.run(request).await);
    }
    let reason = "send `Authorization: Bearer …` with the token of http.token";
    let mut refused = answer::error(StatusCode::UNAUTHORIZED, reason);
    refused.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    answer::with_headers(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(token: &str, header: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert(AUTHORIZATION, header.parse().unwrap());
        }
        Token::new(&Secret::new(token)).is_shown(&headers)
    }

    #[test]
    fn token_is_wanted_where_there_is_one() {
        assert!(shown("", None) && shown("", Some("Bearer x")));
        assert!(shown("abc", Some("Bearer abc")) && shown("abc", Some("bearer  abc")));
        for header in ["abc", "Bearer", "Bearer ", "Bearer abcd", "Bearer ab", "Basic abc"] {
            assert!(!shown("abc", Some(header)), "{header}");
        }
        assert!(!shown("abc", None));
    }
}
