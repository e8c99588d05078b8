//! One test's own topic, group and database, gone when it ends.

use std::fmt::Display;
use std::sync::atomic::{AtomicU32, Ordering};

use postgres::{Client, NoTls};

use super::hit::Sendable;
use super::kafka;
use super::model::{Counts, Key, Model};
use super::process::{Finished, Hitstream};
use super::server::Server;
use super::skip;

/// The tables whose sums are compared, and what is compared with what.
pub(crate) struct Tables {
    /// Final and open rows.
    pub(crate) on_time: Counts,
    /// Late rows.
    pub(crate) late: Counts,
}

pub(crate) struct Bench {
    pub(crate) topic: String,
    pub(crate) database: String,
    pub(crate) kafka_url: String,
    /// Of the server, with a role that may create databases.
    postgres_url: String,
    settings: Vec<(String, String)>,
}

impl Bench {
    /// A bench for the test called `name`; `None`, with a word, where no services run.
    pub(crate) fn new(name: &str) -> Option<Self> {
        Self::on(name, None, None)
    }

    /// A bench on servers of its own; `None` stands for the shared one.
    pub(crate) fn on(
        name: &str,
        kafka: Option<&Server>,
        postgres: Option<&Server>,
    ) -> Option<Self> {
        let shared = |name| std::env::var(name).ok();
        let kafka_url = kafka.map_or_else(|| shared("KAFKA_URL"), |own| Some(own.url().to_owned()));
        let postgres_url =
            postgres.map_or_else(|| shared("POSTGRES_URL"), |own| Some(own.url().to_owned()));
        Self::create(name, "", kafka_url, postgres_url)
    }

    /// A bench whose database has another encoding than UTF-8.
    pub(crate) fn in_encoding(name: &str, encoding: &str) -> Option<Self> {
        let options =
            format!(" ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'");
        let shared = |name| std::env::var(name).ok();
        Self::create(name, &options, shared("KAFKA_URL"), shared("POSTGRES_URL"))
    }

    /// A bench on servers at these URLs; where its commands find them may be told otherwise by settings.
    pub(crate) fn between(name: &str, kafka_url: String, postgres_url: String) -> Self {
        Self::made(name, "", kafka_url, postgres_url)
    }

    fn create(
        name: &str,
        options: &str,
        kafka_url: Option<String>,
        postgres_url: Option<String>,
    ) -> Option<Self> {
        let (Some(kafka_url), Some(postgres_url)) = (kafka_url, postgres_url) else {
            skip("no services: run `make services && . ./.services.env` first, or `make test`");
            return None;
        };
        Some(Self::made(name, options, kafka_url, postgres_url))
    }

    fn made(name: &str, options: &str, kafka_url: String, postgres_url: String) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let topic = format!("hs_{name}_{}_{number}", std::process::id());
        // Instances of many tests run at a time.
        let settings = vec![("HITSTREAM_HTTP__LISTEN".to_owned(), "127.0.0.1:0".to_owned())];
        let bench = Self { database: topic.clone(), topic, kafka_url, postgres_url, settings };
        let create = format!("CREATE DATABASE {}{options}", bench.database);
        Client::connect(&bench.postgres_url, NoTls).unwrap().batch_execute(&create).unwrap();
        bench
    }

    /// Adds a setting, as an environment variable.
    pub(crate) fn with(mut self, name: &str, value: impl Display) -> Self {
        self.set(name, value);
        self
    }

    /// Sets or changes a setting.
    pub(crate) fn set(&mut self, name: &str, value: impl Display) {
        self.settings.retain(|(known, _)| known != name);
        self.settings.push((name.to_owned(), value.to_string()));
    }

    /// Leaves a setting at its default.
    pub(crate) fn unset(&mut self, name: &str) {
        self.settings.retain(|(known, _)| known != name);
    }

    /// The URL of the bench's own database.
    pub(crate) fn database_url(&self) -> String {
        let (server, _) = self.postgres_url.rsplit_once('/').unwrap();
        format!("{server}/{}", self.database)
    }

    /// The server's `host:port`.
    pub(crate) fn postgres_address(&self) -> String {
        let (_, place) = self.postgres_url.rsplit_once('@').unwrap();
        place.split('/').next().unwrap().to_owned()
    }

    /// A connection to the bench's own database.
    pub(crate) fn sql(&self) -> Client {
        Client::connect(&self.database_url(), NoTls).unwrap()
    }

    /// Creates the topic, one that takes what no producer of good manners sends.
    pub(crate) fn create_topic(&self, partitions: i32) {
        kafka::create(&self.kafka_url, &self.topic, partitions);
    }

    /// Sends records to one partition.
    pub(crate) fn send(&self, partition: i32, records: &[Sendable]) {
        kafka::send(&self.kafka_url, &self.topic, partition, &borrowed(records));
    }

    /// Sends records to one partition in one transaction.
    pub(crate) fn send_in_transaction(&self, partition: i32, records: &[Sendable]) {
        kafka::send_in_transaction(&self.kafka_url, &self.topic, partition, &borrowed(records));
    }

    /// One number from the bench's own database.
    pub(crate) fn count(&self, query: &str) -> i64 {
        self.sql().query_one(query, &[]).unwrap().get(0)
    }

    /// The binary, about to be started with this bench's settings and nothing else from the environment.
    pub(crate) fn hitstream(&self, arguments: &[&str]) -> Hitstream {
        let mut hitstream = Hitstream::new(arguments);
        hitstream
            .env("KAFKA_URL", &self.kafka_url)
            .env("KAFKA_TOPIC", &self.topic)
            .env("KAFKA_GROUP", &self.topic)
            .env("POSTGRES_URL", &self.database_url())
            .env("HITSTREAM_ACTORS__THREADS", "2");
        if !self.settings.iter().any(|(name, _)| name.ends_with("PROPERTIES__GROUP_PROTOCOL")) {
            hitstream.env("HITSTREAM_KAFKA__PROPERTIES__SESSION_TIMEOUT_MS", "6000");
        }
        for (name, value) in &self.settings {
            hitstream.env(name, value);
        }
        hitstream
    }

    /// Runs the binary to its end, which must be a good one.
    pub(crate) fn done(&self, arguments: &[&str]) -> Finished {
        let finished = self.hitstream(arguments).finish();
        assert_eq!(finished.code, Some(0), "hitstream {arguments:?}: {finished}");
        finished
    }

    /// Runs the pipeline to the end of the topic and audits it; gives the audit.
    pub(crate) fn run_until_end(&self) -> serde_json::Value {
        self.done(&["run", "--until-end"]);
        self.clean_audit()
    }

    /// Audits; all must be accounted for.
    pub(crate) fn clean_audit(&self) -> serde_json::Value {
        let audit = self.done(&["audit", "--json"]).json();
        assert_eq!(audit["ok"], true, "{audit}");
        assert_eq!((&audit["lost"], &audit["doubled"]), (&0.into(), &0.into()), "{audit}");
        audit
    }

    /// Reads the result tables.
    pub(crate) fn tables(&self) -> Tables {
        let mut sql = self.sql();
        let mut read = |rows: &str| {
            let query = format!(
                "SELECT (extract(epoch FROM window_start) * 1000000)::bigint, host, referrer, num_hits FROM {rows}"
            );
            let mut counts = Counts::new();
            for row in sql.query(&query, &[]).unwrap() {
                let key = Key { window_start: row.get(0), host: row.get(1), referrer: row.get(2) };
                let hits: i64 = row.get(3);
                assert_eq!(
                    counts.insert(key.clone(), hits),
                    None,
                    "{rows} has two rows of {key:?}"
                );
            }
            counts
        };
        let late = read("late_web_traffic");
        Tables { on_time: read("live_web_traffic"), late }
    }

    /// Compares the result tables, row by row, with what the model makes of the topic.
    pub(crate) fn assert_equals(&self, model: &Model) {
        let Tables { on_time, late } = self.tables();
        assert_same("final and open", &on_time, &model.on_time);
        assert_same("late", &late, &model.late);
        let mut sql = self.sql();
        let rejected: i64 =
            sql.query_one("SELECT count(*) FROM rejected_events", &[]).unwrap().get(0);
        assert_eq!(rejected, model.rejected, "rejected records");
    }

    /// The model of what is in this bench's topic now.
    pub(crate) fn model(&self, size_secs: i64, slide_secs: i64) -> Model {
        Model::of(&kafka::read(&self.kafka_url, &self.topic), size_secs, slide_secs, 60)
    }
}

fn borrowed(records: &[Sendable]) -> Vec<(Option<&[u8]>, Option<i64>)> {
    records.iter().map(|(value, timestamp)| (value.as_deref(), *timestamp)).collect()
}

/// Compares sums key by key and shows the first differences.
pub(crate) fn assert_same(what: &str, found: &Counts, expected: &Counts) {
    let keys: std::collections::BTreeSet<&Key> = found.keys().chain(expected.keys()).collect();
    let different: Vec<String> = keys
        .into_iter()
        .filter(|key| found.get(key) != expected.get(key))
        .map(|key| format!("{key:?}: {:?} found, {:?} expected", found.get(key), expected.get(key)))
        .collect();
    assert!(
        different.is_empty(),
        "{what}: {} rows differ, such as\n{}",
        different.len(),
        different[..different.len().min(5)].join("\n")
    );
}

impl Drop for Bench {
    fn drop(&mut self) {
        // Whatever is left behind is in a place of its own: no reason to fail.
        if let Ok(mut client) = Client::connect(&self.postgres_url, NoTls) {
            let drop_database = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.database);
            if let Err(error) = client.batch_execute(&drop_database) {
                eprintln!("database {} stays behind: {error}", self.database);
            }
        }
        kafka::delete(&self.kafka_url, &self.topic);
    }
}
