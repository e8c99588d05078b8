//! What the tests share: services, a bench of their own each, the binary, an independent model.

pub(crate) mod acls;
pub(crate) mod bench;
pub(crate) mod certificates;
pub(crate) mod expected;
pub(crate) mod group;
pub(crate) mod hit;
pub(crate) mod http;
#[expect(dead_code, reason = "the tests of the provider itself, in actors/tests, use all of it")]
pub(crate) mod ip2location;
pub(crate) mod kafka;
#[path = "../../actors/src/enricher/database/fixture.rs"]
#[allow(dead_code, reason = "the tests of the reader need more kinds of values than these")]
pub(crate) mod mmdb;
pub(crate) mod model;
pub(crate) mod monitoring;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod random;
pub(crate) mod rollups;
pub(crate) mod scratch;
pub(crate) mod secure_kafka;
pub(crate) mod secure_postgres;
pub(crate) mod server;
pub(crate) mod traffic;

pub(crate) use bench::Bench;
pub(crate) use model::{Counts, Key};

use std::path::PathBuf;

/// Whether missing services or data are a failure.
pub(crate) fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| value == "true")
}

/// Says why a test does nothing, or fails it in CI.
pub(crate) fn skip(reason: &str) {
    assert!(!in_ci(), "{reason}");
    eprintln!("skipped: {reason}");
}

/// Says why a test does nothing where services run in containers, which offer no programs to start others with.
pub(crate) fn skip_in_a_container(reason: &str) {
    if std::env::var("HITSTREAM_SERVICES_KIND").is_ok_and(|kind| kind == "docker") {
        eprintln!("skipped: services run in containers; {reason}: HITSTREAM_SERVICES=local");
    } else {
        skip("no services: run `make services && . ./.services.env` first, or `make test`");
    }
}

/// A file of the real access logs, which live beside the repository.
pub(crate) fn data(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data")).join(name);
    if path.exists() {
        return Some(path);
    }
    skip(&format!("../shared/data/{name} is not beside the repository"));
    None
}
