//! A Kafka that lets nobody in unknown: TLS with names and passwords, TLS with client certificates, and an authorizer. One
//! for all tests that need it; it ends with them.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::certificates::{Authority, Certified};
use super::process::wait_until;
use super::{Bench, skip, skip_in_a_container};

/// Starts the broker, and ends it with its folder as soon as nobody holds the other end of standard input any more: that
/// of a process that was killed is closed as well.
const UNTIL_WE_END: &str =
    "folder=$1; shift; \"$@\" </dev/null & read -r _; kill -9 $!; wait; rm -rf \"$folder\"";

/// Everybody who may log in by name, and with what.
pub(crate) const PASSWORD: &str = "s3cr3t-of-kafka";
/// May do everything on every topic and group.
pub(crate) const ANYBODY: &str = "anybody";

pub(crate) struct SecureKafka {
    folder: PathBuf,
    /// Listeners: `INNER` in plaintext, where the tests are at home and may do everything; the others say what they ask for.
    inner: u16,
    sasl: u16,
    mutual: u16,
    expired: u16,
    _shell: Child,
}

impl SecureKafka {
    /// The one of this process; `None`, with a word, where no broker can be started.
    pub(crate) fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<SecureKafka>> = OnceLock::new();
        let shared = SHARED.get_or_init(Self::start).as_ref();
        if shared.is_none() {
            skip_in_a_container("these tests need a Java and a Kafka of this machine's");
        }
        shared
    }

    fn start() -> Option<Self> {
        let java = std::env::var_os("HITSTREAM_JAVA")?;
        let classes = std::env::var_os("HITSTREAM_KAFKA_CLASSPATH")?;
        let folder = std::env::temp_dir().join(format!("hitstream-kafka-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        certify(&folder);
        let [inner, sasl, mutual, expired, controller] = free_ports();
        let properties = properties(&folder, [inner, sasl, mutual, expired, controller]);
        let file = folder.join("server.properties");
        fs::write(&file, properties).unwrap();
        let log = File::create(folder.join("log")).unwrap();
        let logging = concat!(
            "-Dlog4j2.configurationFile=",
            env!("CARGO_MANIFEST_DIR"),
            "/scripts/kafka/log4j2.properties"
        );
        let options =
            ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Xmx400m", logging];
        let scram = |mechanism: &str| format!("{mechanism}=[name={ANYBODY},password={PASSWORD}]");
        let formatted = Command::new(&java)
            .args(options)
            .arg("-cp")
            .arg(&classes)
            .args([
                "kafka.tools.StorageTool",
                "format",
                "--cluster-id",
                "hHitstreamSecureKafka1",
                "--config",
            ])
            .arg(&file)
            .args(["--add-scram", &scram("SCRAM-SHA-256"), "--add-scram", &scram("SCRAM-SHA-512")])
            .output()
            .unwrap();
        assert!(formatted.status.success(), "{formatted:?}");
        let shell = Command::new("sh")
            .args(["-c", UNTIL_WE_END, "sh"])
            .arg(&folder)
            .arg(&java)
            .args(options)
            .arg("-cp")
            .arg(&classes)
            .arg("kafka.Kafka")
            .arg(&file)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let kafka = Self { folder, inner, sasl, mutual, expired, _shell: shell };
        let client: BaseConsumer =
            ClientConfig::new().set("bootstrap.servers", kafka.inner()).create().unwrap();
        wait_until("the secure Kafka answers", || {
            let answer = client.fetch_metadata(None, Duration::from_secs(1));
            answer.is_ok_and(|metadata| !metadata.brokers().is_empty())
        });
        Some(kafka)
    }

    /// Where tests may do everything without being asked.
    pub(crate) fn inner(&self) -> String {
        format!("127.0.0.1:{}", self.inner)
    }

    /// TLS, with name and password.
    pub(crate) fn sasl(&self) -> String {
        format!("localhost:{}", self.sasl)
    }

    /// The same by an address that its certificate has not.
    pub(crate) fn sasl_by_address(&self) -> String {
        format!("127.0.0.1:{}", self.sasl)
    }

    /// TLS, with a certificate of the client's.
    pub(crate) fn mutual(&self) -> String {
        format!("localhost:{}", self.mutual)
    }

    /// TLS with a certificate whose time is over.
    pub(crate) fn expired(&self) -> String {
        format!("localhost:{}", self.expired)
    }

    /// A file with what there is to trust: `ca`, or `other`; a client's `client.pem` and `client.key`, …
    pub(crate) fn file(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }

    /// A bench on this Kafka and the shared PostgreSQL, whose commands are nobody yet.
    pub(crate) fn bench(&self, name: &str) -> Option<Bench> {
        let Some(postgres) = std::env::var("POSTGRES_URL").ok() else {
            skip("no services: run `make services && . ./.services.env` first, or `make test`");
            return None;
        };
        Some(Bench::between(name, self.inner(), postgres))
    }

    /// Lets a bench's commands log in by name and password.
    pub(crate) fn log_in(&self, bench: &mut Bench, mechanism: &str, user: &str, password: &str) {
        bench.set("KAFKA_URL", self.sasl());
        set(bench, "SECURITY_PROTOCOL", "sasl_ssl");
        set(bench, "SSL_CA_LOCATION", &self.file("ca.pem"));
        set(bench, "SASL_MECHANISM", mechanism);
        set(bench, "SASL_USERNAME", user);
        set(bench, "SASL_PASSWORD", password);
    }

    /// Lets a bench's commands show a certificate.
    pub(crate) fn show_certificate(&self, bench: &mut Bench) {
        bench.set("KAFKA_URL", self.mutual());
        set(bench, "SECURITY_PROTOCOL", "ssl");
        set(bench, "SSL_CA_LOCATION", &self.file("ca.pem"));
        set(bench, "SSL_CERTIFICATE_LOCATION", &self.file("client.pem"));
        set(bench, "SSL_KEY_LOCATION", &self.file("client.key"));
    }
}

/// Sets a property of librdkafka.
pub(crate) fn set(bench: &mut Bench, property: &str, value: &str) {
    bench.set(&format!("HITSTREAM_KAFKA__PROPERTIES__{property}"), value);
}

fn free_ports() -> [u16; 5] {
    // All bound at a time, or two could be the same.
    let listeners = [(); 5].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

fn certify(folder: &std::path::Path) {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
    // A key store in PEM form is the key followed by the certificate.
    let store = |Certified { certificate, key }| format!("{key}{certificate}");
    write("ca.pem", &ours.pem);
    write("other-ca.pem", &other.pem);
    write("broker.pem", &store(ours.server(&["localhost"])));
    write("expired.pem", &store(ours.expired(&["localhost"])));
    let encrypted = ours.client_with_encrypted_key(ANYBODY);
    write("encrypted.pem", &encrypted.certificate);
    write("encrypted.key", &encrypted.key);
    for (name, Certified { certificate, key }) in
        [("client", ours.client(ANYBODY)), ("stranger", other.client(ANYBODY))]
    {
        write(&format!("{name}.pem"), &certificate);
        write(&format!("{name}.key"), &key);
    }
}

fn properties(folder: &std::path::Path, ports: [u16; 5]) -> String {
    let [inner, sasl, mutual, expired, controller] = ports;
    let folder = folder.display();
    let users: String = [ANYBODY, "runner", "writer", "creator", "nobody"]
        .map(|user| format!(" user_{user}=\"{PASSWORD}\""))
        .concat();
    let modules = "org.apache.kafka.common.security";
    let store = |listener: &str, file: &str| {
        format!(
            "listener.name.{listener}.ssl.keystore.type=PEM\n\
             listener.name.{listener}.ssl.keystore.location={folder}/{file}\n\
             listener.name.{listener}.ssl.truststore.type=PEM\n\
             listener.name.{listener}.ssl.truststore.location={folder}/ca.pem\n"
        )
    };
    let stores = [
        store("sasl", "broker.pem"),
        store("mutual", "broker.pem"),
        store("expired", "expired.pem"),
    ]
    .concat();
    format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.listener.names=CONTROLLER\n\
         inter.broker.listener.name=INNER\n\
         listeners=INNER://127.0.0.1:{inner},SASL://127.0.0.1:{sasl},MUTUAL://127.0.0.1:{mutual},\
         EXPIRED://127.0.0.1:{expired},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=INNER://127.0.0.1:{inner},SASL://localhost:{sasl},MUTUAL://localhost:{mutual},\
         EXPIRED://localhost:{expired}\n\
         listener.security.protocol.map=INNER:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_SSL,MUTUAL:SSL,EXPIRED:SSL\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         {stores}\
         listener.name.mutual.ssl.client.auth=required\n\
         listener.name.sasl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512\n\
         listener.name.sasl.plain.sasl.jaas.config={modules}.plain.PlainLoginModule required{users};\n\
         listener.name.sasl.scram-sha-256.sasl.jaas.config={modules}.scram.ScramLoginModule required;\n\
         listener.name.sasl.scram-sha-512.sasl.jaas.config={modules}.scram.ScramLoginModule required;\n\
         ssl.principal.mapping.rules=RULE:^CN=([^,]+).*$/$1/\n\
         authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
         super.users=User:ANONYMOUS;User:{ANYBODY}\n\
         offsets.topic.replication.factor=1\n\
         offsets.topic.num.partitions=4\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         transaction.state.log.num.partitions=4\n\
         share.coordinator.state.topic.replication.factor=1\n\
         share.coordinator.state.topic.min.isr=1\n\
         group.initial.rebalance.delay.ms=0\n\
         group.min.session.timeout.ms=1000\n\
         auto.create.topics.enable=false\n\
         message.max.bytes=10485760\n\
         log.retention.ms=-1\n\
         log.message.timestamp.after.max.ms=9223372036854775807\n\
         log.cleaner.dedupe.buffer.size=4194304\n\
         log.dirs={folder}/data\n"
    )
}
