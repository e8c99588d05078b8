//! The real graph of actors between a source and a store in memory.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests and their helpers may"
)]

mod counting;
mod enrich;
mod group;
mod memory_source;
mod memory_store;
mod rebalance;
mod stage;
mod trouble;

// What the domain's laws are judged by.
#[path = "../../../domain/tests/laws/model.rs"]
mod model;
#[path = "../../../domain/tests/laws/topic.rs"]
mod topic;
