//! The `hitstream` binary.

fn main() {}
