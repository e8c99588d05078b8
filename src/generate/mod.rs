//! Synthetic traffic, the same for the same seed, and what must come out of it.
//!
//! [`traffic`] draws each record from its number, with [`random`] and nothing else; [`render`] writes it from
//! [`names`] and [`agents`], or makes it [`malformed`]; [`partition`] says where it goes. [`model`] counts what must
//! come out, with none of the pipeline's code.

mod agents;
mod malformed;
mod model;
mod names;
mod partition;
mod random;
mod render;
mod schedule;
mod tally;
mod timestamp;
mod traffic;
