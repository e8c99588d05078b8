//! hitstream turns a Kafka topic of raw web hits into PostgreSQL tables that are right, live and final.
//!
//! This crate is the outermost layer: what a person types, sets and reads. The rules are in
//! `hitstream_domain`, the pipeline in `hitstream_actors`.
//!
//! | module | what |
//! |---|---|
//! | [`cli`] | command line, exit codes, logging, and which command does what |
//! | [`config`] | the settings: defaults, file, environment, checks |
//! | [`demo`] | everything embedded, to be looked at |
//! | [`run`] | the pipeline, wired up and watched |
//! | [`migrate`], [`audit`] | the tables: bringing them up, proving them right against their ledger and Kafka |
//! | [`status`], [`frontier`] | where the pipeline stands, what holds windows open |
//! | [`check`] | settings, Kafka and PostgreSQL: whether a run would start |
//! | [`http`] | what a running instance says of itself, and asking it |
//! | [`produce`] | writing records to the topic; used by `import` and `generate` |
//! | [`import`] | access logs and JSON lines into the topic |
//! | [`generate`] | synthetic traffic into the topic, and what must come out of it |

pub mod audit;
pub mod check;
pub mod cli;
pub mod config;
mod database;
pub mod demo;
pub mod frontier;
pub mod generate;
pub mod http;
pub mod import;
mod memory;
pub mod migrate;
pub mod produce;
pub mod run;
pub mod status;
mod topic;
mod wiring;

/// The revision that this is built of, as `build.rs` tells: of `HITSTREAM_REVISION`, of git, or `unknown`.
pub(crate) const REVISION: &str = env!("HITSTREAM_REVISION");
