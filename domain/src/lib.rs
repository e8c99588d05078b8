//! The rules of hitstream, pure: no clock, no runtime, no driver beneath it.

pub mod decode;
pub mod event;
pub mod reject;
pub mod time;
