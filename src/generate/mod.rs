//! Synthetic traffic, the same for the same seed, and what must come out of it.
//!
//! `traffic` draws each record from its number, with `random` and nothing else; `render` writes it from `names` and
//! `agents`, or makes it `malformed`; `partition` says where it goes. `command` sends it when `schedule` says so.
//! `model` counts what must come out, with none of the pipeline's code, and `tally` sees to it that it counts what
//! really is in the topic.

mod agents;
mod args;
mod command;
mod expected;
mod malformed;
mod model;
mod names;
mod partition;
mod random;
#[cfg(test)]
mod reading;
mod render;
mod schedule;
mod summary;
mod tally;
#[cfg(test)]
mod tests;
mod timestamp;
mod traffic;

pub use args::GenerateArgs;
pub use command::generate;
