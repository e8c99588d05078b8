//! `[kafka]`: brokers, topic, group, and librdkafka's own properties.

use std::collections::BTreeMap;
use std::fmt;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;
use serde::{Deserialize, Serialize, Serializer};

use super::read_back;
use super::secret::{MASK, masked_url};
use super::sections::{OnDataLoss, Start};
use super::values::one_of;

/// `[kafka]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaConfig {
    /// Brokers to start from, `host:port`, separated by commas.
    pub brokers: String,
    /// Topic of the hits.
    pub topic: String,
    /// Consumer group.
    pub group: String,
    /// Where a pipeline without progress begins.
    #[serde(deserialize_with = "one_of")]
    pub start: Start,
    /// What to do when unread records are gone from the broker.
    #[serde(deserialize_with = "one_of")]
    pub on_data_loss: OnDataLoss,
    /// Further properties of librdkafka.
    pub properties: Properties,
}

impl KafkaConfig {
    /// Gives a client configuration with the brokers, `client.id` and the user's properties, and no more.
    /// Use [`set_default`] for what a user may change and `set` for what must hold.
    pub fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.brokers).set("client.id", "hitstream");
        for (key, value) in &self.properties.0 {
            client.set(key, value);
        }
        client
    }
}

/// Sets a property unless the user did.
pub fn set_default(client: &mut ClientConfig, key: &str, value: &str) {
    if client.get(key).is_none() {
        client.set(key, value);
    }
}

/// Properties of librdkafka by name; the values of secret ones are masked when printed.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct Properties(BTreeMap<String, String>);

impl Properties {
    /// Gives a property's value.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Lists name and value, secrets included.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    fn masked(&self) -> impl Iterator<Item = (&str, String)> {
        self.iter().map(|(key, value)| (key, shown(key, value)))
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.masked()).finish()
    }
}

impl Serialize for Properties {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.masked())
    }
}

/// Gives a property's value fit to be shown.
pub(super) fn shown(property: &str, value: &str) -> String {
    if is_secret(property) {
        MASK.to_owned()
    } else if value.contains("://") || property.ends_with("url") {
        masked_url(value)
    } else {
        value.to_owned()
    }
}

/// Whether nobody may see the property's value.
pub(super) fn is_secret(property: &str) -> bool {
    // What `kinit` is called with may hold a password.
    let secret =
        ["pass", "secret", ".key", "pem", "oauthbearer.config", "jaas", "assertion", "kinit"];
    // Where a key lies is none.
    !property.ends_with(".location") && secret.iter().any(|word| property.contains(word))
}

/// Why a property is refused.
pub(super) struct Refusal {
    pub(super) reason: String,
    /// Whether it is one at all: the value of a misspelt one may be a secret.
    pub(super) is_known: bool,
}

impl<T: Into<String>> From<T> for Refusal {
    fn from(reason: T) -> Self {
        Self { reason: reason.into(), is_known: true }
    }
}

/// Checks one property without connecting: what hitstream sets itself is refused, the rest is
/// librdkafka's to judge.
pub(super) fn check_property(key: &str, value: &str) -> Result<(), Refusal> {
    match key {
        "bootstrap.servers" | "metadata.broker.list" => {
            return Err("set kafka.brokers instead".into());
        }
        "group.id" => return Err("set kafka.group instead".into()),
        "auto.offset.reset" => return Err("set kafka.start and kafka.on_data_loss instead".into()),
        "enable.auto.commit"
        | "enable.auto.offset.store"
        | "enable.partition.eof"
        | "transactional.id" => {
            return Err("is set by hitstream; exactly-once depends on it, so leave it out".into());
        }
        "sasl.mechanism" | "sasl.mechanisms" if !MECHANISMS.contains(&value) => {
            return Err(format!("must be {}; no other is built in", mechanisms()).into());
        }
        _ => {}
    }
    match ClientConfig::new().set(key, value).create_native_config() {
        Ok(_) if lacking(key).is_some() => Err(not_built_in(key)),
        Ok(taken) => read_back::check(&taken, key, value).map_err(Refusal::from),
        Err(KafkaError::ClientConfig(code, description, ..)) => {
            // librdkafka's text repeats the value, which may be a secret.
            let unknown = code == RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN;
            if !unknown && lacking(key).is_some() {
                return Err(not_built_in(key));
            }
            let reason = match (unknown, nearest_property(key)) {
                (true, Some(near)) => {
                    format!("librdkafka has no such property; did you mean {near:?}?")
                }
                (true, None) => format!("librdkafka has no such property; {REFERENCE}"),
                (false, _) if shown(key, value) != value => {
                    format!("librdkafka refuses this value; {REFERENCE}")
                }
                (false, _) => format!("{}; {REFERENCE}", description.trim()),
            };
            Err(Refusal { reason, is_known: !unknown })
        }
        Err(_) => Err("librdkafka refuses this value".into()),
    }
}

/// The SASL mechanisms that are built in.
const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

/// Those that there are, to choose from.
fn mechanisms() -> String {
    let [plain, short, long] = MECHANISMS;
    format!("{plain:?}, {short:?} or {long:?}")
}

/// How the brokers are spoken to.
const PROTOCOL: &str = "security.protocol";

/// Checks what logging in with SASL needs; gives the property at fault, and why.
pub(super) fn check_sasl(properties: &Properties) -> Result<(), (&'static str, String)> {
    if !protocol(properties).starts_with("sasl") {
        return Ok(());
    }
    if ["sasl.mechanism", "sasl.mechanisms"].iter().all(|key| properties.get(key).is_none()) {
        return Err((PROTOCOL, format!("needs \"sasl.mechanism\" beside it: {}", mechanisms())));
    }
    let credentials = ["sasl.username", "sasl.password"];
    match credentials.iter().find(|key| properties.get(key).is_none()) {
        Some(missing) => Err((PROTOCOL, format!("needs {missing:?} beside it"))),
        None => Ok(()),
    }
}

/// Checks what goes with TLS; gives the property at fault, and why.
pub(super) fn check_tls(properties: &Properties) -> Result<(), (String, String)> {
    let is_set = |key: &str| properties.get(key).is_some();
    if !protocol(properties).ends_with("ssl") {
        let idle = properties.iter().map(|(key, _)| key).find(|key| key.starts_with("ssl."));
        return idle.map_or(Ok(()), |key| {
            let reason = "has no effect without TLS; set \"security.protocol\" to \"ssl\", or to \"sasl_ssl\" with a name \
                          and a password, or leave it out";
            Err((key.to_owned(), reason.to_owned()))
        });
    }
    let pair = ["ssl.certificate", "ssl.key"].map(|name| {
        ["location", "pem"].map(|kind| format!("{name}.{kind}")).into_iter().find(|key| is_set(key))
    });
    let lacks = |other: &str| {
        let which = format!("needs {other:?} beside it: a certificate and its key go together");
        Err(which)
    };
    match pair {
        [Some(key), None] => lacks("ssl.key.location").map_err(|reason| (key, reason)),
        [None, Some(key)] => lacks("ssl.certificate.location").map_err(|reason| (key, reason)),
        _ => Ok(()),
    }
}

/// Gives `security.protocol` in lower case.
pub(super) fn protocol(properties: &Properties) -> String {
    properties.get(PROTOCOL).unwrap_or("plaintext").to_lowercase()
}

/// Gives the properties that name files, with the files.
pub(super) fn files(properties: &Properties) -> impl Iterator<Item = (&str, &str)> {
    const FILES: &[&str] = &[
        "ssl.ca.location",
        "ssl.certificate.location",
        "ssl.crl.location",
        "ssl.key.location",
        "ssl.keystore.location",
    ];
    // librdkafka looks for the system's certificates itself.
    properties.iter().filter(|(key, value)| FILES.contains(key) && *value != "probe")
}

/// Names what a property is about that this build of librdkafka has not; some it takes all the same.
fn lacking(key: &str) -> Option<&'static str> {
    match key {
        _ if key.contains("oauthbearer") || key.starts_with("https.") => Some("OAUTHBEARER"),
        _ if key.starts_with("sasl.kerberos.") => Some("Kerberos"),
        _ => None,
    }
}

fn not_built_in(key: &str) -> Refusal {
    let what = lacking(key).unwrap_or(key);
    let [plain, short, long] = MECHANISMS;
    format!(
        "is about {what}, which is not built in; leave it out: {plain}, {short}, {long} and client certificates can be had"
    )
    .into()
}

const REFERENCE: &str = "librdkafka's CONFIGURATION.md says what it takes";

/// Tells whether people set this property.
pub(super) fn is_usual(property: &str) -> bool {
    USUAL_PROPERTIES.contains(&property)
}

fn nearest_property(key: &str) -> Option<&'static str> {
    super::nearest(key, USUAL_PROPERTIES.iter().copied())
}

/// What people set; librdkafka cannot list its properties through its safe bindings.
const USUAL_PROPERTIES: &[&str] = &[
    "acks",
    "batch.num.messages",
    "batch.size",
    "broker.address.family",
    "client.dns.lookup",
    "client.id",
    "client.rack",
    "compression.codec",
    "compression.level",
    "compression.type",
    "debug",
    "fetch.error.backoff.ms",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.queue.backoff.ms",
    "fetch.wait.max.ms",
    "group.instance.id",
    "heartbeat.interval.ms",
    "isolation.level",
    "linger.ms",
    "max.in.flight.requests.per.connection",
    "max.partition.fetch.bytes",
    "max.poll.interval.ms",
    "message.max.bytes",
    "message.timeout.ms",
    "metadata.max.age.ms",
    "partition.assignment.strategy",
    "partitioner",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "receive.message.max.bytes",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "request.timeout.ms",
    "retries",
    "retry.backoff.ms",
    "sasl.mechanism",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "session.timeout.ms",
    "socket.keepalive.enable",
    "socket.receive.buffer.bytes",
    "socket.send.buffer.bytes",
    "socket.timeout.ms",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.endpoint.identification.algorithm",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "statistics.interval.ms",
];
