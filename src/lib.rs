//! hitstream.

#![allow(dead_code)]

mod generate;
