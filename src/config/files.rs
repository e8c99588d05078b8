//! Files that settings name for secure connections: whether they can be used, before anything is connected.

use std::path::Path;

use super::error::{ConfigError, Problem};
use super::kafka;
use super::layers::Loaded;
use super::postgres::PostgresConfig;

impl Loaded {
    /// Looks into the files that the settings name for TLS.
    ///
    /// # Errors
    /// Each that is missing, unreadable, or not what it has to be.
    pub fn check_files(&self) -> Result<(), ConfigError> {
        let mut problems: Vec<Problem> = Vec::new();
        for (property, path) in kafka::files(&self.config.kafka.properties) {
            if let Err(error) = readable(Path::new(path)) {
                let reason =
                    format!("cannot be read: {error}; name a file that this user may read");
                problems.push(self.problem(&format!("kafka.properties.{property}"), reason));
            }
        }
        problems.extend(
            of_postgres(&self.config.postgres).map(|(key, reason)| self.problem(key, reason)),
        );
        if problems.is_empty() { Ok(()) } else { Err(ConfigError(problems)) }
    }
}

/// Authorities may be a folder of files, which OpenSSL looks into by itself.
fn readable(path: &Path) -> std::io::Result<()> {
    if path.is_dir() { std::fs::read_dir(path).map(drop) } else { std::fs::read(path).map(drop) }
}

fn of_postgres(config: &PostgresConfig) -> Option<(&'static str, String)> {
    let error = config.tls().check().err()?;
    let (setting, reason) = error.parts();
    let key = match setting {
        "sslcert" => "postgres.sslcert",
        "sslkey" => "postgres.sslkey",
        _ => "postgres.sslrootcert",
    };
    Some((key, reason.to_owned()))
}
