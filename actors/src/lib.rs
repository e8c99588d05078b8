//! The actor system of hitstream.
