//! The whole pipeline on a real Kafka and a real PostgreSQL: `make services && . ./.services.env`, or `make test`.
//!
//! Each test has a topic, a group and a database of its own and runs the binary as a user does. Without services a test
//! says so and passes; with `CI=true` it fails.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its support as well"
)]

mod audit;
mod bad_input;
mod check;
mod command_line;
mod crash;
mod demo;
mod faults;
mod frozen;
mod generate;
mod geo;
mod geo_database;
mod geo_refused;
mod geo_remote;
mod group;
mod http;
mod idle;
mod import;
mod instances;
mod lag;
mod least_privilege;
mod make;
mod metrics;
mod mistakes;
mod monitoring;
mod outage;
mod privacy;
mod reach;
mod readme;
mod refused;
mod revision;
mod secrets;
mod secure_kafka;
mod secure_postgres;
mod settings;
mod spark;
mod status;
mod support;
mod systemd;
mod tables;
mod topic;
mod upgrade;
