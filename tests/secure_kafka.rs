//! Kafka over TLS, with names and passwords or with certificates: what gets in counts every row, what does not is told why.

use std::thread;

use crate::support::Bench;
use crate::support::certificates::ENCRYPTED_KEY_PASSWORD;
use crate::support::process::{Finished, Hitstream, wait_until};
use crate::support::secure_kafka::{ANYBODY, PASSWORD, SecureKafka, set};
use crate::support::traffic::Traffic;

/// Lets records in, runs to their end and compares every row; all of it by the bench's way.
fn counts_every_row(bench: &Bench) {
    bench.create_topic(2);
    // `generate` connects as `run` and `audit` do; the rows are compared with what it has sent.
    Traffic::send(bench, &["--count", "2000"]).settle(bench);
    bench.clean_audit();
    let status = bench.done(&["status", "--json"]).json();
    assert_eq!(status["lag_records"], 0, "{status}");
    let checked = bench.done(&["check", "--json"]).json();
    assert_eq!(checked["ok"], true, "{checked}");
}

#[test]
fn names_and_passwords_get_in_over_tls() {
    let Some(kafka) = SecureKafka::shared() else { return };
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let Some(mut bench) = kafka.bench("sasl") else { return };
        kafka.log_in(&mut bench, mechanism, ANYBODY, PASSWORD);
        counts_every_row(&bench);
    }
}

#[test]
fn certificates_get_in_over_mutual_tls() {
    let Some(kafka) = SecureKafka::shared() else { return };
    let Some(mut bench) = kafka.bench("mutual") else { return };
    kafka.show_certificate(&mut bench);
    counts_every_row(&bench);

    let Some(mut bench) = kafka.bench("mutual_encrypted") else { return };
    kafka.show_certificate(&mut bench);
    set(&mut bench, "SSL_CERTIFICATE_LOCATION", &kafka.file("encrypted.pem"));
    set(&mut bench, "SSL_KEY_LOCATION", &kafka.file("encrypted.key"));
    set(&mut bench, "SSL_KEY_PASSWORD", ENCRYPTED_KEY_PASSWORD);
    counts_every_row(&bench);
    let printed = bench.done(&["--print-config"]);
    assert!(printed.stdout.contains("\"ssl.key.password\" = \"***\""), "{printed}");
    assert!(printed.stdout.contains(&kafka.file("encrypted.key")), "{printed}");
    assert!(!printed.to_string().contains(ENCRYPTED_KEY_PASSWORD), "{printed}");
}

/// A way in that is none: how the bench is set up, and what every command has to say.
struct Refused {
    name: &'static str,
    set_up: fn(&SecureKafka, &mut Bench),
    says: &'static [&'static str],
    /// Whether a `run` without an end ends as well: where the brokers only hang up, it waits.
    ends_a_run: bool,
}

const UNTRUSTED: &[&str] = &["has a certificate that is not to be trusted", "ssl.ca.location"];

const REFUSED: &[Refused] = &[
    Refused {
        name: "another authority",
        set_up: |kafka, bench| {
            kafka.log_in(bench, "PLAIN", ANYBODY, PASSWORD);
            set(bench, "SSL_CA_LOCATION", &kafka.file("other-ca.pem"));
        },
        says: UNTRUSTED,
        ends_a_run: true,
    },
    Refused {
        name: "another host name",
        set_up: |kafka, bench| {
            kafka.log_in(bench, "PLAIN", ANYBODY, PASSWORD);
            bench.set("KAFKA_URL", kafka.sasl_by_address());
        },
        says: UNTRUSTED,
        ends_a_run: true,
    },
    Refused {
        name: "expired certificate",
        set_up: |kafka, bench| {
            kafka.show_certificate(bench);
            bench.set("KAFKA_URL", kafka.expired());
        },
        says: UNTRUSTED,
        ends_a_run: true,
    },
    Refused {
        name: "wrong password, PLAIN",
        set_up: |kafka, bench| kafka.log_in(bench, "PLAIN", ANYBODY, "s3cr3t-of-nobody"),
        says: &["refuses the credentials", "sasl.password"],
        ends_a_run: true,
    },
    Refused {
        name: "wrong password, SCRAM",
        set_up: |kafka, bench| kafka.log_in(bench, "SCRAM-SHA-512", ANYBODY, "s3cr3t-of-nobody"),
        says: &["refuses the credentials", "sasl.password"],
        ends_a_run: true,
    },
    Refused {
        name: "certificate of a stranger",
        set_up: |kafka, bench| {
            kafka.show_certificate(bench);
            set(bench, "SSL_CERTIFICATE_LOCATION", &kafka.file("stranger.pem"));
            set(bench, "SSL_KEY_LOCATION", &kafka.file("stranger.key"));
        },
        says: &["does not take this client's certificate", "ssl.certificate.location"],
        ends_a_run: true,
    },
    Refused {
        name: "no certificate where one is asked for",
        set_up: |kafka, bench| {
            bench.set("KAFKA_URL", kafka.mutual());
            set(bench, "SECURITY_PROTOCOL", "ssl");
            set(bench, "SSL_CA_LOCATION", &kafka.file("ca.pem"));
        },
        says: &["does not take this client's certificate", "ssl.certificate.location"],
        ends_a_run: true,
    },
    Refused {
        name: "plaintext to a port with TLS",
        set_up: |kafka, bench| bench.set("KAFKA_URL", kafka.sasl()),
        says: &["hangs up", "security.protocol"],
        ends_a_run: false,
    },
    Refused {
        name: "TLS to a port without",
        set_up: |kafka, bench| {
            kafka.log_in(bench, "PLAIN", ANYBODY, PASSWORD);
            bench.set("KAFKA_URL", kafka.inner());
        },
        says: &["speaks no TLS there", "security.protocol"],
        ends_a_run: false,
    },
];

#[test]
fn what_does_not_get_in_is_told_why() {
    let Some(kafka) = SecureKafka::shared() else { return };
    // Each waits most of its time: for answers that do not come.
    thread::scope(|scope| {
        for refused in REFUSED {
            scope.spawn(|| refused.is_told(kafka));
        }
    });
}

impl Refused {
    /// Asserts that every command says why it does not get in.
    fn is_told(&self, kafka: &SecureKafka) {
        let Self { name, set_up, says, ends_a_run } = *self;
        let Some(mut bench) = kafka.bench("refused") else { return };
        bench.create_topic(1);
        set_up(kafka, &mut bench);
        for arguments in
            [&["check"][..], &["run", "--until-end"], &["run"], &["generate", "--count", "1"]]
        {
            if !ends_a_run && *arguments == ["run"] {
                let mut running = bench.hitstream(arguments).start();
                wait_until(says[0], || running.stderr().contains(says[0]));
                let ended = running.stop();
                assert!(!ended.stderr.contains("not committed in time"), "{name}: {ended}");
                continue;
            }
            let finished = bench.hitstream(arguments).finish();
            told(name, arguments, &finished, says);
        }
    }
}

/// Asserts that a command ends with 69 and two lines at most, of which one says all this.
fn told(name: &str, arguments: &[&str], finished: &Finished, says: &[&str]) {
    assert_eq!(finished.code, Some(69), "{name}, {arguments:?}: {finished}");
    let is_check = arguments == ["check"];
    let text = if is_check { &finished.stdout } else { &finished.stderr };
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('{')).collect();
    if !is_check {
        assert_eq!(lines.len(), 1, "{name}, {arguments:?}: {finished}");
    }
    let joined = lines.join("\n");
    for word in says.iter().chain(&["Kafka at"]) {
        assert!(joined.contains(word), "{name}, {arguments:?} does not say {word:?}: {finished}");
    }
    for secret in [PASSWORD, "s3cr3t-of-nobody"] {
        assert!(!finished.to_string().contains(secret), "{name}: {finished}");
    }
}

#[test]
fn file_that_is_no_key_or_certificate_is_named_with_what_to_do() {
    let Some(kafka) = SecureKafka::shared() else { return };
    let no_pem = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let encrypted = kafka.file("encrypted.key");
    for (property, file, password, says) in [
        ("SSL_KEY_LOCATION", &*encrypted, None, "encrypted: set ssl.key.password"),
        ("SSL_KEY_LOCATION", &*encrypted, Some("wrong"), "encrypted: set ssl.key.password"),
        ("SSL_KEY_LOCATION", no_pem, None, "no private key in PEM"),
        ("SSL_CERTIFICATE_LOCATION", no_pem, None, "no certificate in PEM"),
        ("SSL_CA_LOCATION", no_pem, None, "no certificates in PEM"),
    ] {
        let Some(mut bench) = kafka.bench("unusable") else { return };
        kafka.show_certificate(&mut bench);
        set(&mut bench, property, file);
        if let Some(password) = password {
            set(&mut bench, "SSL_KEY_PASSWORD", password);
        }
        let names = format!(
            "the file of {} in [kafka.properties]",
            property.to_lowercase().replace('_', ".")
        );
        for arguments in [&["check"][..], &["run"], &["generate", "--count", "1"]] {
            let finished = bench.hitstream(arguments).finish();
            assert_eq!(finished.code, Some(64), "{finished}");
            for word in [&*names, says] {
                assert!(
                    finished.to_string().contains(word),
                    "{arguments:?}, no {word:?}: {finished}"
                );
            }
        }
    }
}

#[test]
fn file_that_cannot_be_used_is_named_before_anything_is_connected() {
    for (property, protocol) in [
        ("SSL_CA_LOCATION", "ssl"),
        ("SSL_CERTIFICATE_LOCATION", "ssl"),
        ("SSL_KEY_LOCATION", "sasl_ssl"),
    ] {
        let mut command = Hitstream::new(&["run"]);
        let properties = "HITSTREAM_KAFKA__PROPERTIES__";
        command.env(&format!("{properties}SECURITY_PROTOCOL"), protocol);
        for (name, value) in
            [("SASL_MECHANISM", "PLAIN"), ("SASL_USERNAME", "u"), ("SASL_PASSWORD", "p")]
        {
            command.env(&format!("{properties}{name}"), value);
        }
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        for pair in ["SSL_CERTIFICATE_LOCATION", "SSL_KEY_LOCATION"] {
            command.env(&format!("{properties}{pair}"), file);
        }
        command.env(&format!("{properties}{property}"), "/nowhere/absent.pem");
        let finished = command.finish();
        assert_eq!(finished.code, Some(64), "{finished}");
        let key = property.to_lowercase().replace('_', ".");
        for word in [
            format!(
                "kafka.properties.{key} = \"/nowhere/absent.pem\" (variable {properties}{property})"
            ),
            "cannot be read: No such file".to_owned(),
        ] {
            assert!(finished.stderr.contains(&word), "no {word:?} in {finished}");
        }
    }
}
