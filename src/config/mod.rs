//! The settings: built-in defaults, then a file, then the environment, then flags; checked as a whole
//! before anything is connected.

mod env_file;
mod error;
mod files;
mod http;
mod kafka;
mod keys;
mod layer;
mod layers;
mod meant;
mod postgres;
mod postgres_tls;
mod read;
mod read_back;
mod remarks;
mod secret;
mod secret_files;
mod sections;
mod stray;
mod tree;
mod validate;
mod values;
mod variables;

pub use error::{ConfigError, Problem};
pub use http::{HealthConfig, HttpConfig, Listen};
pub use kafka::{KafkaConfig, Properties, set_default};
pub use layers::{Layers, Loaded};
pub use postgres::PostgresConfig;
pub use postgres_tls::SslMode;
pub(crate) use remarks::{Remark, remarks};
pub(crate) use secret::masked_url;
pub use secret::{MASK, Secret};
pub use sections::{
    ActorsConfig, BudgetPeriod, Config, EnrichConfig, EventsConfig, FlushConfig, GeoProvider,
    InputConfig, Ip2LocationConfig, KeptIp, LogConfig, LogFormat, OnDataLoss, PrivacyConfig,
    RejectsConfig, RollupsConfig, ShutdownConfig, Start, WatermarkConfig, WindowConfig,
};
pub(crate) use values::duration::parse as parse_duration;
pub use values::{ByteSize, Parallelism};

/// The built-in settings, which are also their reference.
pub const DEFAULTS: &str = include_str!("../../config/hitstream.toml");

/// Finds the word that was most likely meant.
pub(crate) fn nearest<T: AsRef<str>>(word: &str, known: impl IntoIterator<Item = T>) -> Option<T> {
    known
        .into_iter()
        .map(|candidate| {
            (strsim::normalized_damerau_levenshtein(word, candidate.as_ref()), candidate)
        })
        .filter(|(similarity, _)| *similarity >= 0.6)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}
