//! `sslmode` and what goes with it, from the URL or from `[postgres]`, with libpq's names and meaning.

use std::fmt;
use std::path::PathBuf;

use clap::ValueEnum;
use hitstream_actors::writer::postgres::{Proof, Roots, TlsSettings};
use serde::Serialize;
use tokio_postgres::config::{Host, SslMode as DriverMode};

use super::postgres::PostgresConfig;

/// What stands for the certificates of the authorities that the system trusts.
pub(super) const SYSTEM: &str = "system";

/// How secure connections to PostgreSQL are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum SslMode {
    /// Never encrypted.
    Disable,
    /// As `prefer`.
    Allow,
    /// Encrypted where the server offers it, whoever it is.
    Prefer,
    /// Encrypted, whoever the server is; with root certificates as `verify-ca`.
    Require,
    /// Encrypted, with a server whose certificate is signed by one of the root certificates.
    VerifyCa,
    /// That, and its certificate has the host's name.
    VerifyFull,
}

impl SslMode {
    /// What the driver has to know: whether there is TLS. Sockets of this machine have none.
    pub(super) fn of_driver(self, hosts: &[Host]) -> DriverMode {
        let is_local = |host: &Host| !matches!(host, Host::Tcp(_));
        match self {
            _ if hosts.iter().all(is_local) => DriverMode::Disable,
            Self::Disable => DriverMode::Disable,
            Self::Allow | Self::Prefer => DriverMode::Prefer,
            Self::Require | Self::VerifyCa | Self::VerifyFull => DriverMode::Require,
        }
    }

    /// Whether a server that offers no TLS, or whose certificate is not in order, may be spoken to.
    fn is_weak(self) -> bool {
        matches!(self, Self::Disable | Self::Allow | Self::Prefer)
    }
}

impl fmt::Display for SslMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_possible_value().map_or(Ok(()), |value| f.write_str(value.get_name()))
    }
}

/// What a URL says about TLS.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct TlsOptions {
    pub(super) mode: Option<SslMode>,
    roots: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl TlsOptions {
    /// Takes an option, if it is one of these.
    pub(super) fn take(&mut self, option: &str, value: &str) -> Result<bool, String> {
        match option {
            "sslmode" => {
                let mode = SslMode::from_str(value, false);
                self.mode = Some(mode.map_err(|_| {
                    "has an sslmode that is none; write disable, prefer, require, verify-ca or verify-full".to_owned()
                })?);
            }
            "sslrootcert" => self.roots = Some(value.into()),
            "sslcert" => self.certificate = Some(value.into()),
            "sslkey" => self.key = Some(value.into()),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Puts what was taken in the place of what the keys say; gives the keys for which it did.
    pub(super) fn apply(self, config: &mut PostgresConfig) -> Vec<(&'static str, String)> {
        let mut named = Vec::new();
        if let Some(mode) = self.mode {
            named.push(("postgres.sslmode", mode.to_string()));
            config.sslmode = mode;
        }
        let files = [
            ("postgres.sslrootcert", self.roots, &mut config.sslrootcert),
            ("postgres.sslcert", self.certificate, &mut config.sslcert),
            ("postgres.sslkey", self.key, &mut config.sslkey),
        ];
        for (key, file, place) in files {
            if let Some(file) = file {
                named.push((key, file.display().to_string()));
                *place = file;
            }
        }
        named
    }
}

/// Takes these options out of a URL, for the driver knows other values of `sslmode` and none of the files.
pub(super) fn take_options(url: &str) -> Result<(String, TlsOptions), String> {
    let mut options = TlsOptions::default();
    // A password may hold a `?`.
    let place = url.find('@').unwrap_or(0);
    let Some(query) = url.get(place..).and_then(|rest| rest.find('?')).map(|at| place + at) else {
        return Ok((url.to_owned(), options));
    };
    let (before, query) = url.split_at(query);
    let mut left = Vec::new();
    for option in query.trim_start_matches('?').split('&') {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        // A `+` is no blank here, as it is in forms.
        let value = value.replace('+', "%2B");
        let decoded = form_urlencoded::parse(value.as_bytes()).next();
        let value = decoded.map(|(value, _)| value.into_owned()).unwrap_or_default();
        if !options.take(name, &value)? {
            left.push(option);
        }
    }
    let query = if left.is_empty() { String::new() } else { format!("?{}", left.join("&")) };
    Ok((format!("{before}{query}"), options))
}

/// What connections ask of the server, and what they show it.
pub(super) fn settings(config: &PostgresConfig) -> TlsSettings {
    let has_roots = !config.sslrootcert.as_os_str().is_empty();
    TlsSettings {
        proof: match config.sslmode {
            SslMode::VerifyFull => Proof::SignatureAndName,
            SslMode::VerifyCa => Proof::Signature,
            // As libpq has it, for the sake of those who set it up before there were the two above.
            SslMode::Require if has_roots => Proof::Signature,
            _ => Proof::Nothing,
        },
        roots: if config.sslrootcert.as_os_str() == SYSTEM {
            Roots::System
        } else {
            Roots::File(config.sslrootcert.clone())
        },
        client: (!config.sslcert.as_os_str().is_empty())
            .then(|| (config.sslcert.clone(), config.sslkey.clone())),
    }
}

/// Says which key contradicts the others, and why.
pub(super) fn contradiction(config: &PostgresConfig) -> Option<(&'static str, String)> {
    let mode = config.sslmode;
    let is_set = |file: &PathBuf| !file.as_os_str().is_empty();
    let (roots, cert, key) =
        (is_set(&config.sslrootcert), is_set(&config.sslcert), is_set(&config.sslkey));
    let is_system = config.sslrootcert.as_os_str() == SYSTEM;
    let (at_fault, reason) = match mode {
        SslMode::VerifyCa | SslMode::VerifyFull if !roots => (
            "postgres.sslmode",
            "needs postgres.sslrootcert beside it: a PEM file of the authority that signed the server's certificate, or, with \
             verify-full, \"system\" for those that the system trusts"
                .to_owned(),
        ),
        _ if roots && mode.is_weak() => (
            "postgres.sslrootcert",
            format!(
                "has no effect with postgres.sslmode = \"{mode}\", which asks the server for no proof; set that to verify-full, \
                 or leave this out"
            ),
        ),
        _ if is_system && mode != SslMode::VerifyFull => (
            "postgres.sslrootcert",
            format!(
                "proves nothing with postgres.sslmode = \"{mode}\", for anybody can have a certificate of these authorities; set \
                 that to verify-full"
            ),
        ),
        _ if cert && !key => {
            ("postgres.sslcert", "needs postgres.sslkey beside it: the certificate's key".to_owned())
        }
        _ if key && !cert => {
            ("postgres.sslkey", "needs postgres.sslcert beside it: the key's certificate".to_owned())
        }
        SslMode::Disable if cert => (
            "postgres.sslcert",
            "has no effect with postgres.sslmode = \"disable\"; leave one out".to_owned(),
        ),
        _ => return None,
    };
    Some((at_fault, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(url: &str) -> (String, TlsOptions) {
        take_options(url).unwrap()
    }

    #[test]
    fn options_about_tls_are_taken_out_of_a_url() {
        let (url, options) = taken(
            "postgres://a:b?c@h/x?sslmode=verify-full&connect_timeout=3&sslrootcert=/c%20a+.pem",
        );
        assert_eq!(url, "postgres://a:b?c@h/x?connect_timeout=3");
        assert_eq!(options.mode, Some(SslMode::VerifyFull));
        assert_eq!(options.roots, Some("/c a+.pem".into()));
        assert_eq!(taken("postgres://h/x?sslmode=require").0, "postgres://h/x");
        for url in ["postgres://h/x", "postgres://a:b?sslmode=c@h/x", "postgres://h/x?user=sslmode"]
        {
            assert_eq!(taken(url), (url.to_owned(), TlsOptions::default()));
        }
    }

    #[test]
    fn mode_that_is_none_is_refused_without_its_value() {
        let reason = take_options("postgres://h/x?sslmode=hunter2").unwrap_err();
        assert!(reason.contains("verify-full") && !reason.contains("hunter2"), "{reason}");
    }

    #[test]
    fn sockets_of_this_machine_have_no_tls() {
        let socket = Host::Unix("/tmp".into());
        let far = Host::Tcp("h".to_owned());
        assert_eq!(SslMode::Require.of_driver(&[socket]), DriverMode::Disable);
        assert_eq!(SslMode::Require.of_driver(&[far]), DriverMode::Require);
    }
}
