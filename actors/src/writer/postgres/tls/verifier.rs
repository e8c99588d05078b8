//! Judges a server's certificate no more strictly than was asked for.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

/// Asks for a signature, for a name, or for nothing.
#[derive(Debug)]
pub(super) struct Verifier {
    provider: Arc<CryptoProvider>,
    /// `None` believes whoever answers.
    chain: Option<Arc<WebPkiServerVerifier>>,
    asks_for_name: bool,
}

impl Verifier {
    /// Believes whoever answers.
    pub(super) fn credulous(provider: &Arc<CryptoProvider>) -> Self {
        Self { provider: Arc::clone(provider), chain: None, asks_for_name: false }
    }

    /// Asks for what `chain` asks for, its name only where that is wanted.
    pub(super) fn new(
        provider: &Arc<CryptoProvider>,
        chain: Arc<WebPkiServerVerifier>,
        asks_for_name: bool,
    ) -> Self {
        Self { provider: Arc::clone(provider), chain: Some(chain), asks_for_name }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        use CertificateError::{NotValidForName, NotValidForNameContext};
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        match chain.verify_server_cert(certificate, between, name, ocsp, now) {
            // The name is looked at last, after all else was found right.
            Err(Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }))
                if !self.asks_for_name =>
            {
                Ok(ServerCertVerified::assertion())
            }
            judged => judged,
        }
    }

    // That the server has the certificate's key is always asked for: SCRAM is bound to that certificate.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
