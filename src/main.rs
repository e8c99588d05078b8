//! The `hitstream` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    hitstream::cli::main()
}
