//! What is wrong with a secure connection, in words.

use std::error::Error as _;
use std::io;

use rustls::{AlertDescription, CertificateError, Error};

use super::TlsError;

/// Says why a connection is not secure, or cannot be made so; `None` where it fails for another reason.
pub(in super::super) fn trouble(error: &tokio_postgres::Error) -> Option<String> {
    let mut cause = error.source();
    while let Some(this) = cause {
        if let Some(error) = this.downcast_ref::<TlsError>() {
            return Some(error.to_string());
        }
        // The handshake's errors come within those of the stream, which does not give them as its source.
        let within = this.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let within = within.and_then(|inner| inner.downcast_ref::<Error>());
        if let Some(error) = within.or_else(|| this.downcast_ref()) {
            return words(error);
        }
        // The driver has no kind of its own for it.
        if this.to_string() == "server does not support TLS" {
            return Some("it takes no TLS, which sslmode asks for".to_owned());
        }
        cause = this.source();
    }
    None
}

fn words(error: &Error) -> Option<String> {
    Some(match error {
        Error::InvalidCertificate(error) => certificate(error),
        Error::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRequired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::UnsupportedCertificate,
        ) => format!("it does not take this client's certificate, sslcert ({error})"),
        Error::AlertReceived(_) | Error::PeerIncompatible(_) | Error::PeerMisbehaved(_) => {
            format!("the TLS handshake fails: {error}")
        }
        _ => return None,
    })
}

fn certificate(error: &CertificateError) -> String {
    use CertificateError as E;
    match error {
        E::UnknownIssuer => "no authority in sslrootcert has signed its certificate".to_owned(),
        E::Expired | E::ExpiredContext { .. } => "its certificate has expired".to_owned(),
        E::NotValidYet | E::NotValidYetContext { .. } => {
            "its certificate is not valid yet; or this machine's clock is wrong".to_owned()
        }
        E::NotValidForName => "its certificate is for another host".to_owned(),
        E::NotValidForNameContext { expected, presented } => {
            let presented = if presented.is_empty() {
                "no host at all (it has no subjectAltName)".to_owned()
            } else {
                presented.join(", ")
            };
            format!("its certificate is not for {}, but for {presented}", expected.to_str())
        }
        other if other.to_string().contains("CaUsedAsEndEntity") => {
            "its certificate is that of an authority, which may not stand for a server; let the authority sign one for it"
                .to_owned()
        }
        other => format!("its certificate is not accepted: {other}"),
    }
}
