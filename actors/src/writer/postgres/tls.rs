//! TLS to PostgreSQL: what a connection asks of the server's certificate, as libpq's `sslmode` has it.
//!
//! The files are read again for each connection, so that certificates that were renewed are taken up without a restart.

mod trouble;
mod verifier;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::Socket;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres_rustls::MakeRustlsConnect;

pub(super) use self::trouble::trouble;
use self::verifier::Verifier;

/// What is asked of the server's certificate. Whether there is TLS at all, the driver's configuration says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Proof {
    /// Nothing: whoever answers is believed.
    #[default]
    Nothing,
    /// That one of the root certificates stands behind it, whatever its name (`verify-ca`).
    Signature,
    /// That, and the host's name (`verify-full`).
    SignatureAndName,
}

/// Whose signatures count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Roots {
    /// Those of the authorities that the system trusts.
    #[default]
    System,
    /// Those of the certificates in this PEM file.
    File(PathBuf),
}

/// How connections are made secure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// What the server has to prove.
    pub proof: Proof,
    /// `postgres.sslrootcert`; without effect where nothing has to be proved.
    pub roots: Roots,
    /// `postgres.sslcert` and `postgres.sslkey`: PEM files of this client's certificate, with what stands between it and
    /// the authority, and of its key.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// Why a file cannot be used for TLS.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// `postgres.sslrootcert`.
    #[error("sslrootcert: {0}")]
    Roots(String),
    /// `postgres.sslcert`.
    #[error("sslcert: {0}")]
    Certificate(String),
    /// `postgres.sslkey`.
    #[error("sslkey: {0}")]
    Key(String),
}

impl TlsError {
    /// Tells which setting is at fault, and why.
    pub fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Roots(reason) => ("sslrootcert", reason),
            Self::Certificate(reason) => ("sslcert", reason),
            Self::Key(reason) => ("sslkey", reason),
        }
    }
}

impl TlsSettings {
    /// Reads all files, to tell what is wrong with them before anything is connected.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub fn check(&self) -> Result<(), TlsError> {
        self.rustls().map(drop)
    }

    fn rustls(&self) -> Result<ClientConfig, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = self.verifier(&provider)?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Roots(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let Some((certificate, key)) = &self.client else {
            return Ok(builder.with_no_client_auth());
        };
        let chain = certificates(certificate).map_err(TlsError::Certificate)?;
        let key = private_key(key).map_err(TlsError::Key)?;
        builder.with_client_auth_cert(chain, key).map_err(|error| {
            TlsError::Key(format!("does not go with the certificate in sslcert ({error})"))
        })
    }

    fn verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Verifier, TlsError> {
        if self.proof == Proof::Nothing {
            return Ok(Verifier::credulous(provider));
        }
        let roots = Arc::new(self.roots().map_err(TlsError::Roots)?);
        let chain = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider));
        let chain = chain.build().map_err(|error| TlsError::Roots(error.to_string()))?;
        Ok(Verifier::new(provider, chain, self.proof == Proof::SignatureAndName))
    }

    fn roots(&self) -> Result<RootCertStore, String> {
        let mut store = RootCertStore::empty();
        match &self.roots {
            Roots::System => {
                let found = rustls_native_certs::load_native_certs();
                store.add_parsable_certificates(found.certs);
                if store.is_empty() {
                    return Err("the system has no certificates of authorities; install them (Debian: ca-certificates), or \
                         name a PEM file"
                        .to_owned());
                }
            }
            Roots::File(path) => {
                for certificate in certificates(path)? {
                    let added = store.add(certificate);
                    added.map_err(|error| about(path, "holds what is no certificate", &error))?;
                }
            }
        }
        Ok(store)
    }
}

/// Makes connections secure; for the driver and for pools.
#[derive(Clone, Debug)]
pub(super) struct Connector(pub(super) TlsSettings);

impl MakeTlsConnect<Socket> for Connector {
    type Stream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;
    type TlsConnect = <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect;
    type Error = TlsError;

    fn make_tls_connect(&mut self, host: &str) -> Result<Self::TlsConnect, Self::Error> {
        let mut connect = MakeRustlsConnect::new(self.0.rustls()?);
        let made = MakeTlsConnect::<Socket>::make_tls_connect(&mut connect, host);
        made.map_err(|never| match never {})
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| about(path, "is no PEM file", &error))?;
    if found.is_empty() {
        let shown = path.display();
        return Err(format!(
            "file {shown} holds no certificate; it has to be in PEM form (-----BEGIN CERTIFICATE-----)"
        ));
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let text = read(path)?;
    let shown = path.display();
    let words = String::from_utf8_lossy(&text);
    // The older form says so in a header beneath an ordinary first line.
    if words.contains("BEGIN ENCRYPTED PRIVATE KEY") || words.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(format!(
            "the key in file {shown} is encrypted, which is not supported; decrypt it (openssl pkey -in FILE -out NEW) into \
             a file that only this user may read"
        ));
    }
    // JDBC's keys are in DER form.
    let key = PrivateKeyDer::from_pem_slice(&text);
    key.or_else(|_| PrivateKeyDer::try_from(text)).map_err(|_| {
        format!("file {shown} holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)")
    })
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| about(path, "cannot be read", &error))
}

fn about(path: &Path, what: &str, error: &dyn std::fmt::Display) -> String {
    format!("file {} {what}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};

    use super::*;

    /// A folder of this test's own, gone when it ends.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("hitstream-tls-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            std::fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
            let path = self.0.join(name);
            std::fs::write(&path, text).unwrap();
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            drop(std::fs::remove_dir_all(&self.0));
        }
    }

    fn of_client(certificate: &Path, key: &Path) -> TlsSettings {
        let client = Some((certificate.to_owned(), key.to_owned()));
        TlsSettings { client, ..TlsSettings::default() }
    }

    #[test]
    fn certificate_and_its_key_are_taken_in_each_form() {
        let folder = Folder::new("taken");
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["client".to_owned()]).unwrap();
        let certificate = folder.file("pem", cert.pem());
        for key in [signing_key.serialize_pem().into_bytes(), signing_key.serialize_der()] {
            let key = folder.file("key", key);
            assert_eq!(of_client(&certificate, &key).check(), Ok(()));
        }
        let roots = TlsSettings {
            proof: Proof::SignatureAndName,
            roots: Roots::File(certificate),
            client: None,
        };
        assert_eq!(roots.check(), Ok(()));
    }

    #[test]
    fn file_that_cannot_be_used_is_told_with_its_setting() {
        let folder = Folder::new("refused");
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["client".to_owned()]).unwrap();
        let certificate = folder.file("pem", cert.pem());
        let key = folder.file("key", signing_key.serialize_pem());
        let other = folder.file("other", KeyPair::generate().unwrap().serialize_pem());
        let encrypted =
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let encrypted = folder.file("encrypted", encrypted);
        let empty = folder.file("empty", "");
        let absent = folder.0.join("absent");
        for (certificate, key, setting, says) in [
            (&absent, &key, "sslcert", "absent cannot be read: No such file"),
            (&key, &key, "sslcert", "holds no certificate"),
            (&certificate, &absent, "sslkey", "absent cannot be read: No such file"),
            (&certificate, &empty, "sslkey", "holds no private key"),
            (&certificate, &encrypted, "sslkey", "is encrypted"),
            (&certificate, &other, "sslkey", "does not go with the certificate"),
        ] {
            let error = of_client(certificate, key).check().unwrap_err();
            let (at_fault, reason) = error.parts();
            assert!(at_fault == setting && reason.contains(says), "{error}");
        }
        let roots =
            TlsSettings { proof: Proof::Signature, roots: Roots::File(empty), client: None };
        assert!(roots.check().unwrap_err().to_string().contains("sslrootcert: file"));
    }
}
