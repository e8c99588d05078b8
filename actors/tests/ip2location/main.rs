//! The provider against a server that plays the service, judged by what that server saw.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests and their helpers may"
)]

mod asking;
mod bench;
mod budget;
mod failing;
mod keeping;
mod postgres;
mod secret;
mod tls;

#[path = "../../../tests/support/ip2location.rs"]
mod server;
