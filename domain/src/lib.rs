//! The rules of hitstream, pure: no clock, no runtime, no driver beneath it.
//!
//! A record's value becomes an [`event::Event`] at an instant of event [`time`], or a [`reject::Reject`], in [`decode`]; its
//! partition's [`watermark`] places it in its [`window`]s, on time or late; [`rollup`] sums it; [`progress`] keeps the
//! books; the [`frontier`] over all partitions that are not [`idle`] says which windows are final. [`geo`] is about where
//! visitors are, [`client`] about who they are behind proxies, and [`privacy`] about what of that is kept.

pub mod client;
pub mod decode;
pub mod event;
pub mod frontier;
pub mod geo;
mod headers;
pub mod idle;
pub mod privacy;
pub mod progress;
pub mod reject;
pub mod rollup;
pub mod text;
pub mod time;
pub mod watermark;
pub mod window;
