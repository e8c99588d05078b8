//! One request to the service, and what its answer means.
//!
//! The key is a parameter of the URL, as the service has it. It must not get out: errors are taken without their URL, what
//! the service says is not repeated, for it may repeat the key, and no redirect is followed.

use std::error::Error;
use std::net::IpAddr;
use std::time::{Duration, UNIX_EPOCH};

use hitstream_domain::geo::Location;
use reqwest::header::{ACCEPT, DATE, HeaderMap, RETRY_AFTER};
use reqwest::{Certificate, Response, StatusCode, Url};

use super::answer::{Answer, decode};
use super::settings::{ApiKey, Ip2LocationSettings};
use crate::clock;

/// Many times what the longest answer has.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// What one request came to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    /// The address has a country.
    Located(Box<Location>),
    /// The service knows no country for it.
    Unknown,
    /// The service will not answer for this address: one that it takes for none.
    Declined,
    /// The key is wrong or out of credit; the service does not say which.
    Refused,
    /// Too many requests; nothing is to be asked for so long.
    Limited(Option<Duration>),
    /// Anything else, which says nothing about the address.
    Failed(Failure),
}

/// Why there was no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    #[error("no answer in time")]
    Timeout,
    /// Connecting, sending or receiving; with the libraries' words, without the URL.
    #[error("{0}")]
    Network(String),
    #[error("HTTP status {0}")]
    Status(StatusCode),
    #[error("the answer is no JSON object, or longer than {MAX_BODY_BYTES} bytes")]
    Unreadable,
}

impl Failure {
    /// Whether the same request may succeed a little later.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Timeout | Self::Network(_) | Self::Unreadable => true,
            Self::Status(status) => {
                status.is_server_error() || *status == StatusCode::REQUEST_TIMEOUT
            }
        }
    }
}

impl Outcome {
    /// All labels, so that each begins at zero.
    pub(super) const LABELS: [&str; 9] = [
        "located",
        "unknown",
        "declined",
        "refused",
        "limited",
        "timeout",
        "network",
        "status",
        "unreadable",
    ];

    /// What `hitstream_ip2location_requests_total` calls it.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Located(_) => "located",
            Self::Unknown => "unknown",
            Self::Declined => "declined",
            Self::Refused => "refused",
            Self::Limited(_) => "limited",
            Self::Failed(Failure::Timeout) => "timeout",
            Self::Failed(Failure::Network(_)) => "network",
            Self::Failed(Failure::Status(_)) => "status",
            Self::Failed(Failure::Unreadable) => "unreadable",
        }
    }
}

/// Why the provider cannot be used as it is set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ip2LocationError {
    /// The address of the service is none. It is not repeated: whatever stands in it may be a secret.
    #[error(
        "enrich.ip2location.base_url is no http or https URL ({0}): write it as https://api.ip2location.io/"
    )]
    BaseUrl(String),
    /// The file of certificates cannot be used.
    #[error(
        "enrich.ip2location.root_ca {0:?} cannot be read as certificates ({1}): give a file in PEM form"
    )]
    RootCa(String, String),
    /// The TLS library found nothing to trust.
    #[error(
        "no HTTPS client can be made ({0}): install the system's CA certificates or set enrich.ip2location.root_ca"
    )]
    Tls(String),
}

/// Asks the service.
#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    url: Url,
    key: Option<ApiKey>,
}

impl Client {
    /// A client that connects when it first asks.
    pub(super) fn new(settings: &Ip2LocationSettings) -> Result<Self, Ip2LocationError> {
        let url = base_url(&settings.base_url)?;
        // Whoever comes first decides for the process; there is one library to choose.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("hitstream/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(settings.timeout / 2)
            .timeout(settings.timeout)
            .pool_max_idle_per_host(settings.concurrency.get())
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false);
        if url.scheme() == "http" {
            // Nothing is to be verified, so a system without certificates will do.
            builder = builder.tls_certs_only([]);
        } else if let Some(path) = &settings.root_ca {
            let refused =
                |reason: String| Ip2LocationError::RootCa(path.display().to_string(), reason);
            let pem = std::fs::read(path).map_err(|error| refused(error.to_string()))?;
            let certificates =
                Certificate::from_pem_bundle(&pem).map_err(|error| refused(error.to_string()))?;
            if certificates.is_empty() {
                return Err(refused("there is none in it".to_owned()));
            }
            builder = builder.tls_certs_merge(certificates);
        }
        if is_this_machine(&url) {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| Ip2LocationError::Tls(describe(error)))?;
        Ok(Self { http, url, key: settings.key.clone() })
    }

    /// Asks for one address, once.
    pub(super) async fn ask(&self, ip: IpAddr) -> Outcome {
        match self.http.get(self.url_for(ip)).header(ACCEPT, "application/json").send().await {
            Ok(response) => judge(response).await,
            Err(error) => Outcome::Failed(failure(error)),
        }
    }

    fn url_for(&self, ip: IpAddr) -> Url {
        let mut url = self.url.clone();
        let mut pairs = url.query_pairs_mut();
        pairs.append_pair("ip", &ip.to_string());
        if let Some(key) = &self.key {
            pairs.append_pair("key", key.reveal());
        }
        drop(pairs);
        url
    }
}

fn base_url(text: &str) -> Result<Url, Ip2LocationError> {
    let refused = |why: &str| Err(Ip2LocationError::BaseUrl(why.to_owned()));
    match Url::parse(text) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") => refused("another scheme"),
        Ok(url) => Ok(url),
        Err(error) => refused(&error.to_string()),
    }
}

/// A proxy has no business between a process and its own machine.
fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

async fn judge(response: Response) -> Outcome {
    let status = response.status();
    if status == StatusCode::TOO_MANY_REQUESTS {
        return Outcome::Limited(retry_after(response.headers()));
    }
    let refuses = matches!(
        status,
        StatusCode::UNAUTHORIZED | StatusCode::PAYMENT_REQUIRED | StatusCode::FORBIDDEN
    );
    if refuses {
        return Outcome::Refused;
    }
    if !status.is_success() && status != StatusCode::BAD_REQUEST {
        return Outcome::Failed(Failure::Status(status));
    }
    let answer = match read(response).await {
        Ok(body) => decode(&body),
        Err(failure) => return Outcome::Failed(failure),
    };
    match answer {
        Some(Answer::Located(location)) if status.is_success() => Outcome::Located(location),
        Some(Answer::Unknown) if status.is_success() => Outcome::Unknown,
        Some(Answer::Refused) => Outcome::Refused,
        Some(Answer::Declined) => Outcome::Declined,
        None if status.is_success() => Outcome::Failed(Failure::Unreadable),
        _ => Outcome::Failed(Failure::Status(status)),
    }
}

async fn read(mut response: Response) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failure)? {
        if body.len() + chunk.len() > MAX_BODY_BYTES {
            return Err(Failure::Unreadable);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn failure(error: reqwest::Error) -> Failure {
    if error.is_timeout() { Failure::Timeout } else { Failure::Network(describe(error)) }
}

/// An error with its causes, without the URL, which holds the key.
fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// `Retry-After`, in seconds or as a date, which is taken by the server's own clock if it tells that.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::trim);
    let wanted = text(RETRY_AFTER)?;
    if let Ok(seconds) = wanted.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(wanted).ok()?;
    let now = text(DATE).and_then(|date| httpdate::parse_http_date(date).ok());
    let now = now.unwrap_or_else(|| {
        let micros = u64::try_from(clock::now().as_micros()).unwrap_or_default();
        UNIX_EPOCH + Duration::from_micros(micros)
    });
    Some(until.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(pairs: &[(reqwest::header::HeaderName, &str)]) -> Option<u64> {
        let headers = pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap()));
        retry_after(&headers.collect()).map(|rest| rest.as_secs())
    }

    #[test]
    fn retry_after_is_understood_as_seconds_and_as_a_date() {
        let date = "Wed, 21 Oct 2026 07:28:00 GMT";
        assert_eq!(rest(&[(RETRY_AFTER, "120")]), Some(120));
        assert_eq!(rest(&[(RETRY_AFTER, date), (DATE, "Wed, 21 Oct 2026 07:27:30 GMT")]), Some(30));
        assert_eq!(rest(&[(RETRY_AFTER, date), (DATE, "Wed, 21 Oct 2026 08:00:00 GMT")]), Some(0));
        let far = "Tue, 31 Dec 2199 00:00:00 GMT";
        assert!(rest(&[(RETRY_AFTER, far)]).unwrap() > 86_400, "by the clock here");
        assert_eq!(rest(&[(RETRY_AFTER, "soon")]), None);
        assert_eq!(rest(&[(RETRY_AFTER, "-5")]), None);
        assert_eq!(rest(&[]), None);
    }

    #[test]
    fn base_urls_that_cannot_be_asked_are_refused() {
        let slip = "https://me@corp:hun?ter2@h/";
        for wrong in ["", "api.ip2location.io", "ftp://api.ip2location.io/", "http://", slip] {
            let error = base_url(wrong).unwrap_err().to_string();
            assert!(error.contains("write it as https://") && !error.contains("hun"), "{error}");
        }
        assert!(base_url("https://api.ip2location.io/").is_ok());
    }

    #[test]
    fn only_this_machine_is_asked_past_a_proxy() {
        let here = |text: &str| is_this_machine(&Url::parse(text).unwrap());
        assert!(
            here("http://localhost:8/") && here("http://127.1.2.3/") && here("http://[::1]:8/")
        );
        assert!(!here("https://api.ip2location.io/") && !here("http://10.0.0.1/"));
    }
}
