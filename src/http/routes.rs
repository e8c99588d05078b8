//! What there is to ask for.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::get;
use hitstream_actors::clock;
use hitstream_actors::enricher::Providers;
use hitstream_actors::metrics::Metrics;
use hitstream_actors::readiness::{Part, Readiness};
use prometheus::{TEXT_FORMAT, TextEncoder};
use serde::{Deserialize, Serialize};

use super::guard::{Token, admit};
use super::{answer, credits};

/// Whether the process lives.
pub(crate) const HEALTHZ: &str = "/healthz";
/// Whether the pipeline does its work.
pub(crate) const READYZ: &str = "/readyz";
/// Everything that is measured.
const METRICS: &str = "/metrics";

const PAGE: &str = "<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<title>hitstream</title>
<h1>hitstream</h1>
<ul>
<li><a href=\"/readyz\">/readyz</a>: whether the pipeline does its work, and what keeps it from it
<li><a href=\"/healthz\">/healthz</a>: whether the process lives
<li><a href=\"/metrics\">/metrics</a>: everything that is measured, for Prometheus
</ul>
";

/// What an instance knows of itself, from before it is connected to anything.
#[derive(Clone, Default)]
pub struct Vitals {
    /// What is measured.
    pub metrics: Metrics,
    /// What keeps the pipeline from its work.
    pub readiness: Readiness,
    /// Who tells where visitors are, once that is made.
    pub providers: Arc<OnceLock<Providers>>,
}

/// The answer to `/healthz`: that there is one is what it says.
#[derive(Debug, Serialize)]
struct Alive {
    alive: bool,
}

/// The answer to `/readyz`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ready {
    /// Whether the pipeline does its work.
    pub(crate) ready: bool,
    /// Each part that keeps it from that, and why.
    pub(crate) reasons: BTreeMap<String, String>,
    /// Records in Kafka that are not committed, of this instance's partitions; `None` where that is not known: before
    /// brokers have told each one's end, and while they or the group are away.
    pub(crate) lag_records: Option<i64>,
    /// How long ago it committed something; `None` before.
    pub(crate) last_commit_seconds: Option<f64>,
}

impl Ready {
    fn of(vitals: &Vitals) -> Self {
        let reasons = vitals.readiness.reasons();
        let lag = vitals.metrics.partitions.lag();
        let lag_records = lag.filter(|_| !reasons.contains_key(&Part::Kafka));
        let reasons: BTreeMap<String, String> =
            reasons.into_iter().map(|(part, reason)| (part.to_string(), reason)).collect();
        let (now, last) = (clock::now().as_micros() as f64 / 1e6, vitals.metrics.last_commit.get());
        Self {
            ready: reasons.is_empty(),
            reasons,
            lag_records,
            last_commit_seconds: (last > 0.0)
                .then(|| ((now - last).max(0.0) * 1_000.0).round() / 1_000.0),
        }
    }
}

/// Everything that is served.
pub fn router(vitals: Vitals, token: Token) -> Router {
    let not_found = async || {
        answer::error(
            StatusCode::NOT_FOUND,
            "no such page; there are /, /metrics, /healthz, /readyz",
        )
    };
    let not_allowed =
        async || answer::error(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered");
    Router::new()
        .route("/", get(page))
        .route(METRICS, get(metrics))
        .route(HEALTHZ, get(async || answer::json(StatusCode::OK, &Alive { alive: true })))
        .route(READYZ, get(readyz))
        .method_not_allowed_fallback(not_allowed)
        .fallback(not_found)
        .layer(from_fn_with_state(token, admit))
        .with_state(vitals)
}

async fn page(State(vitals): State<Vitals>) -> Response {
    let credits = vitals.providers.get().map(credits::items).unwrap_or_default();
    let list = if credits.is_empty() { credits } else { format!("<ul>\n{credits}</ul>\n") };
    answer::body("text/html; charset=utf-8", format!("{PAGE}{list}</html>\n"))
}

async fn metrics(State(vitals): State<Vitals>) -> Response {
    vitals.metrics.tell(&vitals.readiness);
    match TextEncoder::new().encode_to_string(&vitals.metrics.gather()) {
        Ok(text) => answer::body(TEXT_FORMAT, text),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be written");
            answer::error(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written")
        }
    }
}

async fn readyz(State(vitals): State<Vitals>) -> Response {
    let ready = Ready::of(&vitals);
    let status = if ready.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    answer::json(status, &ready)
}
