//! HTTPS, with a certificate that a setting says to trust.

use std::path::PathBuf;
use std::sync::Arc;

use hitstream_actors::enricher::ip2location::{Ip2Location, Ip2LocationError, Probe, probe};
use hitstream_domain::geo::GeoStatus;
use rcgen::generate_simple_self_signed;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::bench::{Bench, country, ip};
use crate::server::{Ip2LocationServer, Reply};

/// A server for this name, and its certificate in PEM form.
fn https(name: &str) -> (Ip2LocationServer, String) {
    let certified = generate_simple_self_signed([name.to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let wrap = Arc::new(move |plain| -> Box<dyn crate::server::Connection> {
        Box::new(StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), plain))
    });
    (Ip2LocationServer::over("https", wrap, |_| Reply::located("DE")), certified.cert.pem())
}

/// A file of this test's own, gone when it ends.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let name = format!("hitstream-{}-{name}.pem", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

#[tokio::test]
async fn certificate_that_a_setting_names_is_trusted() {
    let (server, pem) = https("localhost");
    let file = File::new("trusted", &pem);
    let bench = Bench::on(server).with(|settings| settings.root_ca = Some(file.0.clone()));
    assert_eq!(country(bench.start().locate(ip(1), 1).await), Ok("DE".into()));
    assert_eq!(bench.server.seen().len(), 1);
}

/// A server that this root does not vouch for is not asked.
async fn assert_not_trusted(server: Ip2LocationServer, root: &File) {
    let bench = Bench::on(server).with(|settings| {
        settings.root_ca = Some(root.0.clone());
        settings.retries = 0;
    });
    assert_eq!(bench.start().locate(ip(1), 1).await, Err(GeoStatus::Error));
    let Ok(Probe::Network(reason)) = probe(bench.settings.clone(), ip(1)).await else { panic!() };
    assert!(reason.contains("certificate"), "{reason}");
    assert!(bench.server.seen().is_empty(), "no key went out");
}

#[tokio::test]
async fn certificate_for_another_host_is_not() {
    let (server, pem) = https("elsewhere.test");
    assert_not_trusted(server, &File::new("elsewhere", &pem)).await;
}

#[tokio::test]
async fn certificate_that_nobody_named_is_not() {
    let (server, _) = https("localhost");
    let (_, other) = https("localhost");
    assert_not_trusted(server, &File::new("other", &other)).await;
}

#[tokio::test]
async fn file_without_certificates_is_refused_at_start() {
    let file = File::new("empty", "nothing\n");
    for path in [file.0.clone(), PathBuf::from("/nowhere/root.pem")] {
        let bench =
            Bench::on(https("localhost").0).with(|settings| settings.root_ca = Some(path.clone()));
        let started =
            Ip2Location::start(bench.settings.clone(), bench.store.clone(), bench.metrics.clone());
        let error = started.unwrap_err();
        assert!(matches!(error, Ip2LocationError::RootCa(..)), "{error}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
}
