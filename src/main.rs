//! The `hitstream` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    // By itself OpenSSL takes itself down when the process ends, under the feet of librdkafka's threads that still shake hands
    // with a broker. Whoever starts it first may tell it not to, and this does.
    openssl_sys::init();
    hitstream::cli::main()
}
