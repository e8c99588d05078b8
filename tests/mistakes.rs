//! Mistakes that people make: each answer says what is wrong, where, and what to do, in a line or two.

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::support::hit::Hit;
use crate::support::process::{Finished, Hitstream, wait_until};
use crate::support::scratch::Folder;
use crate::support::{Bench, kafka};

/// Longest that an answer may take.
const LIMIT: Duration = Duration::from_secs(30);
/// A password that no answer may show.
const CANARY: &str = "s3cr3t-canary";
/// How many mistakes are made at once: most of them wait.
const AT_ONCE: usize = 8;

/// What is there when the mistake is made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum On {
    /// No service.
    Nothing,
    /// Services with empty tables, and without a topic.
    Empty,
    /// A topic of two partitions, counted by a run that has ended.
    Counted,
    /// The same with an instance running.
    Running,
}

/// A mistake, and what the answer must say.
///
/// In texts `{folder}` stands for a folder with the file, if any, as `file`; `{topic}`, `{kafka}`, `{postgres}`
/// (`host:port`) and `{database}` for what the services have, `{nobody}` for an address where nobody answers, and
/// `{secret}` for a password.
struct Mistake {
    name: &'static str,
    on: On,
    arguments: &'static str,
    file: Option<&'static [u8]>,
    env: &'static [(&'static str, &'static str)],
    code: i32,
    says: &'static [&'static str],
}

const PLAIN: Mistake = Mistake {
    name: "",
    on: On::Nothing,
    arguments: "run",
    file: None,
    env: &[],
    code: 64,
    says: &[],
};

/// A mistake on the command line alone.
const fn typed(
    name: &'static str,
    arguments: &'static str,
    says: &'static [&'static str],
) -> Mistake {
    Mistake { name, arguments, says, ..PLAIN }
}

/// A mistake in a settings file.
const fn in_file(name: &'static str, text: &'static str, says: &'static [&'static str]) -> Mistake {
    Mistake {
        name,
        arguments: "run --config {folder}/file",
        file: Some(text.as_bytes()),
        says,
        ..PLAIN
    }
}

/// A mistake in the environment.
const fn in_env(
    name: &'static str,
    env: &'static [(&'static str, &'static str)],
    says: &'static [&'static str],
) -> Mistake {
    Mistake { name, env, says, ..PLAIN }
}

/// A mistake that shows only beside what is there.
const fn beside(
    on: On,
    name: &'static str,
    arguments: &'static str,
    says: &'static [&'static str],
) -> Mistake {
    Mistake { name, on, arguments, says, ..PLAIN }
}

/// A service that is not there, or refuses.
const fn away(
    name: &'static str,
    arguments: &'static str,
    env: &'static [(&'static str, &'static str)],
    says: &'static [&'static str],
) -> Mistake {
    Mistake { name, on: On::Counted, arguments, env, code: 69, says, ..PLAIN }
}

#[rustfmt::skip]
const MISTAKES: &[Mistake] = &[
    // The command line.
    typed("unknown command", "rnu", &["no command \"rnu\"", "did you mean \"run\"?", "`hitstream --help`"]),
    typed("command in capitals", "RUN", &["no command \"RUN\"", "did you mean \"run\"?"]),
    typed("no partitions", "run --create-topic --partitions 0", &["--partitions <N> = \"0\"", "must be between 1 and 100000"]),
    typed("partitions in words", "generate --count 1 --create-topic --partitions three", &["--partitions <N> = \"three\"", "must be a whole number"]),
    typed("share with two signs", "generate --count 1 --late 5%%", &["--late <SHARE> = \"5%%\"", "a percentage such as 1%"]),
    typed("start in another order", "generate --count 1 --start 17.05.2024", &["--start <TIME> = \"17.05.2024\"", "write UTC as 2024-05-17T12:00:00Z"]),
    typed("start in a month that is none", "generate --count 1 --start 2024-13-17T00:00:00Z", &["2024-13-17", "write UTC as 2024-05-17T12:00:00Z"]),
    typed("duration of the demo without a unit", "demo --duration 5", &["--duration <TIME> = \"5\"", "500ms, 30s or 5m"]),
    typed("more than the demo can do", "demo --rate 60000", &["--rate <N> = \"60000\"", "must be between 1 and 50000"]),
    typed("log format that is none", "run --log-format xml", &["--log-format <FORMAT> = \"xml\"", "auto, pretty, json"]),
    typed("manual of an unknown command", "man auditt", &["no command \"auditt\"", "did you mean \"audit\"?", "`hitstream --help`"]),
    typed("unknown option", "run --until-en", &["no option --until-en", "did you mean --until-end?", "`hitstream run --help`"]),
    typed("unknown option like no other", "audit --qqq", &["no option --qqq", "`hitstream audit --help`"]),
    typed("an argument too many", "audit extra", &["\"extra\" is one argument too many", "`hitstream audit --help`"]),
    typed("option without its value", "run --config", &["--config <FILE> is given no value", "`hitstream run --help`"]),
    typed("option without the one it needs", "run --json", &["--until-end is missing", "`hitstream run --help`"]),
    typed("unknown option beside JSON", "audit --json --qqq", &["{\"error\":\"no option --qqq", "`hitstream audit --help`"]),
    typed("settings that cannot be used for a demo in JSON", "demo --json --log-level nonsense", &["{\"error\":\"log.level = ", "error, warn, info"]),
    typed("import of a missing file in JSON", "import --json {folder}/absent.log", &["{folder}/absent.log cannot be read", "Name files"]),
    typed("traffic of no amount in JSON", "generate --json", &["say how much", "--count N"]),
    typed("partitions without creation", "run --partitions 3", &["--create-topic is missing"]),
    typed("import of nothing", "import", &["<FILE>... is missing", "`hitstream import --help`"]),
    typed("import in an unknown format", "import --format clf x", &["--format <FORMAT> = \"clf\"", "combined, common, jsonl"]),
    typed("completions for an unknown shell", "completions tcsh", &["<SHELL> = \"tcsh\"", "bash, elvish, fish"]),
    typed("generate without a count", "generate", &["say how much", "--count N", "--rate N"]),
    typed("negative count", "generate --count -1", &["-1", "no number below zero", "`hitstream generate --help`"]),
    typed("count in words", "generate --count many", &["--count <N> = \"many\"", "must be a whole number"]),
    typed("rate of zero", "generate --rate 0", &["--rate <N> = \"0\"", "must be 1 or more"]),
    typed("share beyond one", "generate --count 1 --late 2", &["--late <SHARE> = \"2\"", "from 0 to 1"]),
    typed("duration without a rate", "generate --count 1 --duration 1m", &["--duration needs --rate"]),
    typed("duration without a unit", "generate --rate 1 --duration 5", &["--duration <TIME> = \"5\"", "500ms, 30s or 5m"]),
    typed("start that is no time", "generate --count 1 --start tomorrow", &["--start <TIME> = \"tomorrow\"", "2024-05-17T12:00:00Z"]),
    typed("partition that is no number", "frontier --release=-1", &["--release <PARTITION> = \"-1\"", "must be between 0 and"]),
    typed("log level that is none", "run --log-level nonsense", &["log.level = \"nonsense\" (--log-level)", "error, warn, info, debug or trace"]),
    typed("settings file for the demo", "demo --config {folder}/file", &["--config does not go with demo", "services and settings of its own", "leave it out", "`hitstream run`"]),
    typed("environment file for the demo", "demo --env-file {folder}/absent --duration 1s", &["--env-file does not go with demo", "leave it out"]),
    typed("settings of the demo", "--print-config demo", &["--print-config does not go with demo", "leave it out"]),
    typed("place without health", "check --url http://127.0.0.1:8080", &["--health is missing", "`hitstream check --help`"]),
    typed("place that is no URL", "check --health --url 127.0.0.1:8080", &["--url \"127.0.0.1:8080\"", "write http://host:port"]),
    typed("health over TLS", "check --health --url https://u:s3cr3t-canary@127.0.0.1", &["--url \"https://***@127.0.0.1\"", "TLS", "write http://host:port"]),
    Mistake { arguments: "check --health", ..in_env("health of an instance that serves nothing", &[("HITSTREAM_HTTP__LISTEN", "off")], &["http.listen = \"off\"", "--url http://127.0.0.1:PORT"]) },
    Mistake { code: 69, ..typed("health of nobody", "check --health --url http://{nobody}", &["no instance answers at http://{nobody}", "Does one run", "http.listen"]) },
    typed("settings as JSON", "check --print-config --json", &["--print-config prints TOML", "leave one out"]),
    // Files that are named.
    typed("settings file that is not there", "--config {folder}/absent run", &["{folder}/absent (--config)", "No such file", "name another with --config"]),
    typed("directory as settings file", "--config {folder} run", &["{folder} (--config)", "Is a directory", "make it a text file"]),
    typed("environment file that is not there", "--env-file {folder}/absent run", &["{folder}/absent (--env-file)", "No such file", "name another with --env-file"]),
    in_env("settings file of a variable that is not there", &[("HITSTREAM_CONFIG", "{folder}/absent")], &["{folder}/absent (variable HITSTREAM_CONFIG)", "name another with variable HITSTREAM_CONFIG"]),
    Mistake { name: "environment file with a line that is none", arguments: "--env-file {folder}/file run", file: Some(b"KAFKA_TOPIC=t\ns3cr3t-canary is it\n"), says: &["file {folder}/file: line 2 is not KEY=VALUE", "#"], ..PLAIN },
    Mistake { name: "settings file that is no text", arguments: "--config {folder}/file run", file: Some(b"\xff\xfe\0"), says: &["{folder}/file (--config)", "valid UTF-8"], ..PLAIN },
    typed("import of a missing file", "import {folder}/absent.log", &["{folder}/absent.log cannot be read", "nothing was sent", "Name files"]),
    typed("import of a directory", "import {folder}", &["{folder} is a directory", "nothing was sent", "Name the files in it"]),
    typed("expectation in a folder that is not there", "generate --count 1 --expected {folder}/absent/e.json", &["--expected {folder}/absent/e.json cannot be written", "nothing was sent", "Name a file"]),
    // The settings file.
    in_file("section that stands twice", "[log]\nlevel = 'info'\n[log]\nlevel = 'info'", &["line 3, column 2", "duplicate key"]),
    in_file("malformed TOML", "[postgres]\npassword = \"s3cr3t-canary\nuser = 1", &["file {folder}/file", "line 2, column", "expected `\"`"]),
    in_file("value without quotes", "[window]\nsize = 5m", &["line 2, column 8", "must be quoted"]),
    in_file("unknown key", "[flush]\nmax_kyes = 5", &["flush.max_kyes (file {folder}/file)", "did you mean flush.max_keys?"]),
    in_file("unknown key like no other", "[flush]\nzzz = 5", &["flush.zzz (file {folder}/file)", "`hitstream --print-config` lists them all"]),
    in_file("misspelt section", "[windwo]\nsize = '5m'", &["windwo.size (file {folder}/file)", "did you mean window.size?"]),
    in_file("misspelt section with a value", "windw = 5", &["windw (file {folder}/file): no such key", "did you mean [window]?"]),
    in_file("misspelt section without a key", "[windw]", &["windw (file {folder}/file): no such section", "did you mean [window]?"]),
    Mistake { arguments: "--config {folder}/file --print-config", code: 0, ..in_file("sections without a key", "[window]\n[kafka.properties]\n[enrich.ip2location]", &["size = \"5m\""]) },
    in_file("section that is given a value", "window = '5m'", &["window (file {folder}/file)", "write [window]"]),
    in_file("unit that is none", "[window]\nsize = '5 minuten'", &["window.size = \"5 minuten\" (file {folder}/file)", "\"minuten\" is no unit", "500ms, 30s or 5m"]),
    in_file("number without a unit", "[window]\nsize = 5", &["window.size = 5 (file {folder}/file)", "500ms, 30s or 5m"]),
    in_file("negative duration", "[window]\nsize = '-5m'", &["window.size = \"-5m\"", "must not be negative", "500ms, 30s or 5m"]),
    in_file("window of zero", "[window]\nsize = '0s'", &["window.size = \"0s\"", "between 1ms and 365 days"]),
    in_file("slide beyond size", "[window]\nslide = '10m'", &["window.slide = \"10m\" (file {folder}/file)", "window.size (5m)"]),
    in_file("provider that is none", "[enrich]\nproviders = ['maxmind']", &["enrich.providers = ", "must be a list of \"database\" and \"ip2location\", or none"]),
    in_file("provider named twice", "[enrich]\nproviders = ['database', 'ip2location', 'database']", &["enrich.providers = ", "(file {folder}/file)", "names a provider twice", "name each once"]),
    in_file("no keys at all", "[flush]\nmax_keys = 0", &["flush.max_keys = 0", "must be 1 or more"]),
    in_file("negative size", "[flush]\nmax_bytes = -5", &["flush.max_bytes = -5", "64MiB"]),
    in_file("size without sense", "[flush]\nmax_bytes = '64 apples'", &["flush.max_bytes = \"64 apples\"", "64MiB"]),
    in_file("property that exactly-once depends on", "[kafka.properties]\n'enable.auto.commit' = true", &["kafka.properties.enable.auto.commit = true", "exactly-once", "leave it out"]),
    in_file("unknown property", "[kafka.properties]\n'sesion.timeout.ms' = 10", &["kafka.properties.sesion.timeout.ms (file {folder}/file)", "did you mean \"session.timeout.ms\"?"]),
    in_file("unknown property like no other", "[kafka.properties]\n'foo.bar' = 10", &["kafka.properties.foo.bar", "no such property", "CONFIGURATION.md"]),
    in_file("property with a wrong value", "[kafka.properties]\n'session.timeout.ms' = 'long'", &["kafka.properties.session.timeout.ms = \"long\"", "CONFIGURATION.md"]),
    in_file("property with a unit", "[kafka.properties]\n'session.timeout.ms' = '10s'", &["kafka.properties.session.timeout.ms = \"10s\" (file {folder}/file)", "would read 10", "of milliseconds, such as 10000"]),
    in_file("property with a unit of bytes", "[kafka.properties]\n'queued.max.messages.kbytes' = '64MB'", &["queued.max.messages.kbytes = \"64MB\"", "of kilobytes (1024 bytes), such as 62500"]),
    in_file("property beyond what it can hold", "[kafka.properties]\n'fetch.max.bytes' = 99999999999", &["fetch.max.bytes = 99999999999", "ten digits at most"]),
    in_file("property out of range", "[kafka.properties]\n'session.timeout.ms' = 0", &["kafka.properties.session.timeout.ms = 0", "1..3600000"]),
    in_file("heartbeat after the session", "[kafka.properties]\n'heartbeat.interval.ms' = 9000", &["heartbeat.interval.ms = 9000", "session (7000 ms)", "a third of session.timeout.ms"]),
    in_file("unknown SASL mechanism", "[kafka.properties]\n'security.protocol' = 'sasl_plaintext'\n'sasl.mechanism' = 'PLANE'", &["sasl.mechanism = \"PLANE\" (file {folder}/file)", "must be \"PLAIN\", \"SCRAM-SHA-256\" or \"SCRAM-SHA-512\""]),
    in_file("Kerberos for Kafka", "[kafka.properties]\n'security.protocol' = 'sasl_ssl'\n'sasl.mechanism' = 'GSSAPI'", &["sasl.mechanism = \"GSSAPI\"", "no other is built in"]),
    in_file("SASL mechanism left out", "[kafka.properties]\n'security.protocol' = 'sasl_plaintext'", &["security.protocol = \"sasl_plaintext\"", "needs \"sasl.mechanism\" beside it: \"PLAIN\""]),
    in_file("SASL without a password", "[kafka.properties]\n'security.protocol' = 'sasl_plaintext'\n'sasl.mechanism' = 'PLAIN'\n'sasl.username' = 'u'", &["needs \"sasl.password\" beside it"]),
    in_file("certificate without TLS for Kafka", "[kafka.properties]\n'ssl.ca.location' = '/ca.pem'", &["ssl.ca.location = \"/ca.pem\"", "no effect without TLS", "\"security.protocol\""]),
    in_file("certificate without its key for Kafka", "[kafka.properties]\n'security.protocol' = 'ssl'\n'ssl.certificate.location' = '/c.pem'", &["ssl.certificate.location = \"/c.pem\"", "needs \"ssl.key.location\" beside it"]),
    in_file("certificates for Kafka that are not there", "[kafka.properties]\n'security.protocol' = 'ssl'\n'ssl.ca.location' = '/nowhere/ca.pem'", &["ssl.ca.location = \"/nowhere/ca.pem\" (file {folder}/file)", "cannot be read: No such file"]),
    in_file("token for Kafka", "[kafka.properties]\n'sasl.oauthbearer.client.secret' = 's3cr3t-canary'", &["OAUTHBEARER, which is not built in"]),
    in_file("TLS for Kafka without a name", "[kafka.properties]\n'security.protocol' = 'SASL_SSL'\n'sasl.mechanism' = 'SCRAM-SHA-256'\n'sasl.password' = 's3cr3t-canary'", &["security.protocol = \"SASL_SSL\"", "needs \"sasl.username\" beside it"]),
    in_file("HTTP for everybody", "[http]\nlisten = '0.0.0.0:8080'", &["http.listen = \"0.0.0.0:8080\" (file {folder}/file)", "set http.token", "http.allow_remote = true", "127.0.0.1"]),
    in_file("port without an address", "[http]\nlisten = 8080", &["http.listen = 8080", "127.0.0.1:8080"]),
    in_file("host in place of an address", "[http]\nlisten = 'web-1:8080'", &["http.listen = \"web-1:8080\"", "an address of this machine and a port", "or off"]),
    in_file("stall of no time", "[health]\nstall = '0s'", &["health.stall = \"0s\" (file {folder}/file)", "between 1s and 1h"]),
    // The environment.
    in_env("misspelt variable", &[("HITSTREAM_WINDOW__SIZZE", "5m")], &["variable HITSTREAM_WINDOW__SIZZE", "did you mean HITSTREAM_WINDOW__SIZE?"]),
    in_env("variable with one underscore", &[("HITSTREAM_WINDOW_SIZE", "5m")], &["variable HITSTREAM_WINDOW_SIZE", "write HITSTREAM_WINDOW__SIZE"]),
    in_env("truth in other words", &[("HITSTREAM_EVENTS__STORE", "maybe")], &["events.store = \"maybe\" (variable HITSTREAM_EVENTS__STORE)", "true or false"]),
    in_env("count with an exponent", &[("HITSTREAM_FLUSH__MAX_KEYS", "1e6")], &["flush.max_keys = \"1e6\"", "must be a whole number"]),
    in_env("count that is too large", &[("HITSTREAM_FLUSH__MAX_KEYS", "99999999999999999999")], &["flush.max_keys = \"99999999999999999999\"", "of 18 digits at most"]),
    in_env("duration without end", &[("HITSTREAM_WATERMARK__DELAY", "inf")], &["watermark.delay = \"inf\"", "500ms, 30s or 5m"]),
    in_env("topic with a space", &[("KAFKA_TOPIC", "my topic")], &["kafka.topic = \"my topic\" (variable KAFKA_TOPIC)", "letters, digits"]),
    in_env("schema of PostgreSQL's own", &[("HITSTREAM_POSTGRES__SCHEMA", "pg_catalog")], &["postgres.schema = \"pg_catalog\"", "not beginning with a digit or pg_"]),
    in_env("beginning that is none", &[("HITSTREAM_KAFKA__START", "middle")], &["kafka.start = \"middle\"", "\"earliest\" or \"latest\""]),
    in_env("provider that is none", &[("HITSTREAM_ENRICH__PROVIDERS", "foo")], &["enrich.providers = \"foo\"", "\"database\" and \"ip2location\""]),
    in_env("broker's port beyond all", &[("KAFKA_URL", "broker:99999")], &["kafka.brokers = \"broker:99999\" (variable KAFKA_URL)", "from 1 to 65535"]),
    in_env("PostgreSQL's port beyond all", &[("POSTGRES_URL", "postgres://a:{secret}@h:99999/x")], &["postgres.url (variable POSTGRES_URL)", "`port`", "host:port"]),
    in_env("broker without a port number", &[("KAFKA_URL", "broker:nine")], &["kafka.brokers = \"broker:nine\" (variable KAFKA_URL)", "write host:port"]),
    in_env("database of another kind", &[("POSTGRES_URL", "mysql://a:{secret}@h/x")], &["postgres.url (variable POSTGRES_URL)", "write postgres://"]),
    in_env("JDBC for a database of another kind", &[("POSTGRES_URL", "jdbc:mysql://h/x?password={secret}")], &["postgres.url (variable POSTGRES_URL)", "jdbc:postgresql://"]),
    in_env("URL without a scheme", &[("POSTGRES_URL", "db:5432/x"), ("POSTGRES_PASSWORD", "{secret}")], &["postgres.url (variable POSTGRES_URL)", "write postgres://"]),
    in_env("port that is no number", &[("POSTGRES_URL", "postgres://a:{secret}@h:port/x")], &["postgres.url (variable POSTGRES_URL)", "`port`", "host:port"]),
    in_env("unknown option of PostgreSQL", &[("POSTGRES_URL", "postgres://h/x?service=hits")], &["postgres.url (variable POSTGRES_URL)", "an option service that is not known", "connect_timeout"]),
    in_env("schema as an option", &[("POSTGRES_URL", "postgres://h/x?currentSchema=hits")], &["an option currentSchema", "set postgres.schema (HITSTREAM_POSTGRES__SCHEMA)"]),
    in_env("two schemas", &[("POSTGRES_URL", "jdbc:postgresql://h/x?currentSchema=hits"), ("HITSTREAM_POSTGRES__SCHEMA", "other")], &["postgres.schema = \"other\" (variable HITSTREAM_POSTGRES__SCHEMA)", "currentSchema=hits", "leave one out"]),
    in_env("several schemas of a JDBC URL", &[("POSTGRES_URL", "jdbc:postgresql://h/x?currentSchema=hits,public")], &["postgres.schema = \"hits,public\" (in postgres.url (variable POSTGRES_URL))", "a-z"]),
    Mistake { arguments: "--print-config", code: 0, ..in_env("schema of a JDBC URL", &[("POSTGRES_URL", "jdbc:postgresql://h/x?currentSchema=hits")], &["schema = \"hits\"  # in postgres.url (variable POSTGRES_URL)"]) },
    in_env("cuts that are too rare for the default of idle partitions", &[("HITSTREAM_FLUSH__INTERVAL", "40s")], &["flush.interval = \"40s\" (variable HITSTREAM_FLUSH__INTERVAL)", "at most half of watermark.idle_timeout = \"1m\" (built-in default)"]),
    in_env("cuts that are too rare for idle partitions", &[("HITSTREAM_FLUSH__INTERVAL", "40s"), ("HITSTREAM_WATERMARK__IDLE_TIMEOUT", "1m")], &["watermark.idle_timeout = \"1m\" (variable HITSTREAM_WATERMARK__IDLE_TIMEOUT)", "at least twice flush.interval = \"40s\" (variable HITSTREAM_FLUSH__INTERVAL)"]),
    in_env("provider named twice in a variable", &[("HITSTREAM_ENRICH__PROVIDERS", "database,database")], &["enrich.providers = \"database,database\" (variable HITSTREAM_ENRICH__PROVIDERS)", "names a provider twice"]),
    in_env("blank in place of providers", &[("HITSTREAM_ENRICH__PROVIDERS", " ")], &["enrich.providers = \" \"", "or none"]),
    in_env("comma too many between providers", &[("HITSTREAM_ENRICH__PROVIDERS", "database,,ip2location")], &["enrich.providers = \"database,,ip2location\"", "or none"]),
    in_env("deadline beyond half a session", &[("HITSTREAM_ENRICH__PROVIDERS", "ip2location"), ("HITSTREAM_ENRICH__DEADLINE", "3500ms")], &["enrich.deadline = \"3500ms\" (variable HITSTREAM_ENRICH__DEADLINE)", "must be below 3s 500ms, half of the group's session", "lower it, or raise \"session.timeout.ms\" under [kafka.properties]"]),
    in_file("deadline beyond half of a session that was set", "[enrich]\nproviders = ['ip2location']\ndeadline = '1s'\n[kafka.properties]\n'session.timeout.ms' = 2000", &["enrich.deadline = \"1s\" (file {folder}/file)", "must be below 1s, half of the group's session"]),
    in_env("deadline beyond the time to end", &[("HITSTREAM_ENRICH__PROVIDERS", "database,ip2location"), ("HITSTREAM_ENRICH__DEADLINE", "2s"), ("HITSTREAM_SHUTDOWN__TIMEOUT", "2s")], &["enrich.deadline = \"2s\"", "must be below shutdown.timeout (2s)", "lower it, or raise that"]),
    // As everywhere, an empty variable is none at all.
    Mistake { arguments: "--print-config", code: 0, ..in_env("providers of an empty variable", &[("HITSTREAM_ENRICH__PROVIDERS", "")], &["providers = [\"database\"]"]) },
    in_env("variable of the former job with a prefix", &[("HITSTREAM_KAFKA_URL", "b:1")], &["variable HITSTREAM_KAFKA_URL: is no variable of hitstream's", "did you mean KAFKA_URL?"]),
    in_env("variable without its section", &[("HITSTREAM_TOPIC", "{secret}")], &["variable HITSTREAM_TOPIC", "did you mean HITSTREAM_KAFKA__TOPIC?"]),
    in_env("variable of a property with single underscores", &[("HITSTREAM_KAFKA_PROPERTIES_SESSION_TIMEOUT_MS", "1")], &["did you mean HITSTREAM_KAFKA__PROPERTIES__SESSION_TIMEOUT_MS?"]),
    in_env("variable like no other", &[("HITSTREAM_FOO", "1")], &["variable HITSTREAM_FOO: is no variable of hitstream's", "`hitstream --print-config` lists every key"]),
    Mistake { name: "misspelt variable in a file", arguments: "--env-file {folder}/file run", file: Some(b"HITSTREAM_LOGLEVEL=debug\n"), says: &["variable HITSTREAM_LOGLEVEL in {folder}/file", "did you mean HITSTREAM_LOG__LEVEL?"], ..PLAIN },
    in_env("token that is too short", &[("HITSTREAM_HTTP__TOKEN", "s3cr3t-canary")], &["http.token = \"***\" (variable HITSTREAM_HTTP__TOKEN)", "16 or more", "`openssl rand -hex 32`"]),
    in_env("token with a blank", &[("HITSTREAM_HTTP__TOKEN", "{secret} {secret}")], &["http.token = \"***\" (variable HITSTREAM_HTTP__TOKEN)", "without blanks"]),
    in_env("address that this machine has not", &[("HITSTREAM_HTTP__LISTEN", "192.0.2.1:8080"), ("HITSTREAM_HTTP__ALLOW_REMOTE", "true")], &["http.listen = \"192.0.2.1:8080\"", "no such address", "0.0.0.0"]),
    // Secrets where nothing expects them.
    in_env("pairs for PostgreSQL in place of a URL", &[("POSTGRES_URL", "host=h password={secret} user=u")], &["postgres.url (variable POSTGRES_URL)", "write postgres://"]),
    in_env("JDBC options after an &", &[("POSTGRES_URL", "jdbc:postgresql://h/x&password={secret}")], &["postgres.url (variable POSTGRES_URL)", "write options after a ?"]),
    in_env("JDBC options after a semicolon", &[("POSTGRES_URL", "jdbc:postgresql://h/x;user=a;password={secret}")], &["postgres.url (variable POSTGRES_URL)", "write options after a ?"]),
    in_env("JDBC options after the host", &[("POSTGRES_URL", "jdbc:postgresql://h;user=a;password={secret}/x")], &["postgres.url (variable POSTGRES_URL)", "write options after a ?"]),
    in_env("JDBC URL with a password and no host", &[("POSTGRES_URL", "jdbc:postgresql:u:{secret}/x")], &["postgres.url (variable POSTGRES_URL)", "write options after a ?"]),
    in_env("JDBC password with an &", &[("POSTGRES_URL", "jdbc:postgresql://h/x?user=a&password=b&{secret}")], &["postgres.url (variable POSTGRES_URL)", "%26 for & in a password"]),
    in_env("role with an @", &[("POSTGRES_URL", "postgres://me@corp:{secret}@h/x")], &["postgres.url (variable POSTGRES_URL)", "%40"]),
    in_env("role with an @ and password with a ?", &[("POSTGRES_URL", "postgres://me@corp:{secret}?{secret}@h/x")], &["postgres.url (variable POSTGRES_URL)", "%40"]),
    in_env("role and password with a slash between", &[("POSTGRES_URL", "postgres://u/{secret}@h/x")], &["postgres.url (variable POSTGRES_URL)", "%2F"]),
    in_env("password as an option's name", &[("POSTGRES_URL", "postgres://u@h/x?password=a&{secret}=b")], &["postgres.url (variable POSTGRES_URL)", "%26 for & in a password"]),
    in_env("misspelt property with a secret", &[("HITSTREAM_KAFKA__PROPERTIES__SASL_PASWORD", "{secret}")], &["kafka.properties.sasl.pasword (variable HITSTREAM_KAFKA__PROPERTIES__SASL_PASWORD)", "did you mean \"sasl.password\"?"]),
    in_env("section of properties left out", &[("HITSTREAM_KAFKA__SASL_PASSWORD", "{secret}")], &["variable HITSTREAM_KAFKA__SASL_PASSWORD", "no such key"]),
    in_env("broker with credentials", &[("KAFKA_URL", "u:{secret}@broker:9092")], &["kafka.brokers = \"***@broker:9092\" (variable KAFKA_URL)", "sasl.password"]),
    in_env("database's URL as broker", &[("KAFKA_URL", "postgres://u:{secret}@h/x")], &["kafka.brokers = \"postgres://***@h/x\"", "no Kafka protocol"]),
    in_file("list for a secret property", "[kafka.properties]\n'sasl.pasword' = ['s3cr3t-canary']", &["kafka.properties.sasl.pasword (file {folder}/file)", "a text in quotes"]),
    Mistake { arguments: "--print-config", code: 0, ..in_env("secrets in URLs that are accepted", &[("POSTGRES_URL", "jdbc:postgresql://h/x?user=a&password={secret}"), ("HITSTREAM_ENRICH__IP2LOCATION__BASE_URL", "https://x/?key={secret}")], &["url = \"jdbc:postgresql://h/x\"", "base_url = \"https://x/?***\""]) },
    in_env("property with credentials in a URL", &[("HITSTREAM_KAFKA__PROPERTIES__SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL", "https://u:{secret}@idp/")], &["token.endpoint.url = \"https://***@idp/\"", "OAUTHBEARER"]),
    in_env("TLS mode that is none", &[("POSTGRES_URL", "postgres://a:{secret}@h/x?sslmode=full")], &["postgres.url", "sslmode", "verify-ca or verify-full"]),
    in_env("proof without an authority", &[("POSTGRES_URL", "postgres://a:{secret}@h/x?sslmode=verify-full")], &["postgres.sslmode = \"verify-full\" (in postgres.url (variable POSTGRES_URL))", "needs postgres.sslrootcert"]),
    in_env("authority without proof", &[("POSTGRES_URL", "postgres://a:{secret}@h/x?sslrootcert=/ca.pem")], &["postgres.sslrootcert = \"/ca.pem\"", "no effect with postgres.sslmode = \"prefer\"", "verify-full"]),
    in_env("everybody's authorities for any name", &[("POSTGRES_URL", "jdbc:postgresql://h/x?sslmode=verify-ca&sslrootcert=system")], &["postgres.sslrootcert = \"system\"", "proves nothing", "verify-full"]),
    in_file("authority that is not there", "[postgres]\nsslmode = 'verify-full'\nsslrootcert = '/nowhere/ca.pem'", &["postgres.sslrootcert = \"/nowhere/ca.pem\" (file {folder}/file)", "cannot be read: No such file"]),
    in_env("authority that is no certificate", &[("HITSTREAM_POSTGRES__SSLMODE", "verify-full"), ("HITSTREAM_POSTGRES__SSLROOTCERT", "{folder}/file")], &["postgres.sslrootcert = \"{folder}/file\" (variable HITSTREAM_POSTGRES__SSLROOTCERT)", "holds no certificate", "PEM"]),
    in_file("certificate without a key", "[postgres]\nsslcert = '/c.pem'", &["postgres.sslcert = \"/c.pem\"", "needs postgres.sslkey beside it"]),
    in_env("TLS by half", &[("HITSTREAM_POSTGRES__SSLMODE", "verify_full")], &["postgres.sslmode = \"verify_full\" (variable HITSTREAM_POSTGRES__SSLMODE)", "must be \"disable\" or"]),
    Mistake { name: "PostgreSQL of the demo that is not there", arguments: "demo --duration 1s", env: &[("HITSTREAM_PG_BIN", "{folder}")], says: &["HITSTREAM_PG_BIN is {folder}", "initdb", "set it to the folder"], ..PLAIN },
    // What is there, and does not fit.
    beside(On::Empty, "topic that is not there", "run --until-end", &["topic \"{topic}\" does not exist at {kafka}", "--create-topic", "KAFKA_TOPIC"]),
    beside(On::Empty, "import into a topic that is not there", "import {folder}/file", &["topic {topic} does not exist", "--create-topic", "KAFKA_TOPIC"]),
    beside(On::Empty, "status before any run", "status", &["no pipeline has run in schema public of {postgres}/{database}", "`hitstream run`"]),
    beside(On::Empty, "frontier before any run", "frontier", &["no pipeline has run in schema \"public\"", "`hitstream run`"]),
    beside(On::Empty, "audit before any run", "audit", &["topic \"{topic}\" does not exist", "`hitstream run"]),
    Mistake { env: &[("POSTGRES_URL", "{url}?options=-c%20default_transaction_read_only%3Don"), ("HITSTREAM_POSTGRES__SCHEMA", "other")], ..beside(On::Counted, "database that takes no writes", "migrate", &["schema \"other\" takes no writes", "Point POSTGRES_URL to the primary", "default_transaction_read_only"]) },
    beside(On::Counted, "partitions that differ from the topic's", "generate --count 1 --create-topic --partitions 3", &["topic {topic} exists with 2 partitions, not 3", "leave out --partitions"]),
    beside(On::Counted, "expectation of a topic that is not empty", "generate --count 1 --expected {folder}/e.json", &["topic {topic} has held records", "leave out --expected"]),
    beside(On::Counted, "release of an unknown partition", "frontier --release 7", &["no partition 7", "`hitstream frontier` lists"]),
    Mistake { env: &[("HITSTREAM_WINDOW__SIZE", "10m")], ..beside(On::Counted, "changed window settings", "run --until-end", &["window.size is 600 s here and 300 s there", "Set them back", "`hitstream migrate --close-open`"]) },
    Mistake { env: &[("KAFKA_TOPIC", "{topic}_other")], ..beside(On::Counted, "another topic in the same schema", "run --until-end", &["kafka.topic", "\"{topic}_other\" here", "set postgres.schema"]) },
    Mistake { file: Some(b""), code: 0, ..beside(On::Counted, "import of an empty file", "import {folder}/file", &["0 records", "no line in 1 file"]) },
    Mistake { file: Some(b"\x7fELF\x02\x01\0\0\n\xff\xfe\0\n"), code: 1, ..beside(On::Counted, "import of a binary file", "import --strict {folder}/file", &["2 of 2 lines could not be read", "access logs (combined, common) or JSON lines"]) },
    beside(On::Running, "windows closed under a running instance", "migrate --close-open", &["an instance of this pipeline is connected", "Stop all instances"]),
    // Services that are not there, or refuse.
    away("wrong broker port", "audit", &[("KAFKA_URL", "{nobody}")], &["Kafka at {nobody} does not answer", "refused", "KAFKA_URL"]),
    away("database as broker", "audit", &[("KAFKA_URL", "{postgres}")], &["Kafka at {postgres} does not answer as Kafka does", "no Kafka broker", "TLS"]),
    away("credentials for a broker that asks for none", "audit", &[("HITSTREAM_KAFKA__PROPERTIES__SECURITY_PROTOCOL", "sasl_plaintext"), ("HITSTREAM_KAFKA__PROPERTIES__SASL_MECHANISM", "PLAIN"), ("HITSTREAM_KAFKA__PROPERTIES__SASL_USERNAME", "u"), ("HITSTREAM_KAFKA__PROPERTIES__SASL_PASSWORD", "{secret}")], &["Kafka at {kafka} does not take SASL with PLAIN", "Leave security.protocol out"]),
    away("wrong broker port in JSON", "run --until-end --json", &[("KAFKA_URL", "{nobody}")], &["Kafka at {nobody} does not answer"]),
    away("broker that is not found", "run --until-end", &[("KAFKA_URL", "nowhere.invalid:9092")], &["Kafka at nowhere.invalid:9092 does not answer", "resolve", "KAFKA_URL"]),
    away("wrong broker port for records", "generate --count 1", &[("KAFKA_URL", "{nobody}")], &["Kafka at {nobody} does not answer: ", "refused. Is it running, and does KAFKA_URL (or kafka.brokers) name it?"]),
    away("broker that is not found, for records", "import {folder}/file", &[("KAFKA_URL", "nowhere.invalid:9092")], &["Kafka at nowhere.invalid:9092 does not answer: ", "resolve", "Is it running, and does KAFKA_URL (or kafka.brokers) name it?"]),
    away("database as broker for records", "generate --count 1", &[("KAFKA_URL", "{postgres}")], &["Kafka at {postgres} does not answer as Kafka does", "no Kafka broker", "TLS"]),
    away("credentials for a broker that asks for none, for records", "import {folder}/file", &[("HITSTREAM_KAFKA__PROPERTIES__SECURITY_PROTOCOL", "sasl_plaintext"), ("HITSTREAM_KAFKA__PROPERTIES__SASL_MECHANISM", "PLAIN"), ("HITSTREAM_KAFKA__PROPERTIES__SASL_USERNAME", "u"), ("HITSTREAM_KAFKA__PROPERTIES__SASL_PASSWORD", "{secret}")], &["Kafka at {kafka} does not take SASL with PLAIN", "Leave security.protocol out"]),
    away("wrong port of PostgreSQL", "migrate", &[("POSTGRES_URL", "postgres://a:{secret}@{nobody}/x")], &["PostgreSQL at {nobody}/x does not answer", "refused", "POSTGRES_URL"]),
    away("PostgreSQL that is not found", "migrate", &[("POSTGRES_URL", "postgres://a:{secret}@nowhere.invalid/x")], &["PostgreSQL at nowhere.invalid:5432/x does not answer", "lookup", "POSTGRES_URL"]),
    away("wrong password", "run", &[("POSTGRES_URL", "postgres://hitstream:{secret}@{postgres}/{database}")], &["PostgreSQL at {postgres}/{database}", "password authentication failed", "Check POSTGRES_URL"]),
    away("unknown role", "run", &[("POSTGRES_URL", "postgres://absent:{secret}@{postgres}/{database}")], &["PostgreSQL at {postgres}/{database}", "\"absent\"", "POSTGRES_USER"]),
    away("unknown database", "run", &[("POSTGRES_URL", "{url}_absent")], &["PostgreSQL at {postgres}/{database}_absent", "does not exist", "POSTGRES_DB"]),
];

/// Makes the mistake and judges the answer; gives what is wrong with that.
fn make(mistake: &Mistake, bench: Option<&Bench>, nobody: &str) -> Vec<String> {
    let folder = Folder::new();
    let place = folder.path("file").parent().unwrap().to_str().unwrap().to_owned();
    fs::write(folder.path("file"), mistake.file.unwrap_or(b"{}\n")).unwrap();
    let of_bench = |give: fn(&Bench) -> String| bench.map(give).unwrap_or_default();
    let known = [
        ("{folder}", place),
        ("{secret}", CANARY.to_owned()),
        ("{nobody}", nobody.to_owned()),
        ("{topic}", of_bench(|bench| bench.topic.clone())),
        ("{kafka}", of_bench(|bench| bench.kafka_url.clone())),
        ("{postgres}", of_bench(Bench::postgres_address)),
        ("{database}", of_bench(|bench| bench.database.clone())),
        ("{url}", of_bench(Bench::database_url)),
    ];
    let fill = |text: &str| {
        known.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
    };
    let arguments: Vec<String> = mistake.arguments.split_whitespace().map(fill).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut command =
        bench.map_or_else(|| Hitstream::new(&arguments), |bench| bench.hitstream(&arguments));
    for (name, value) in mistake.env {
        command.env(name, &fill(value));
    }
    let begin = Instant::now();
    let finished = command.finish();
    let mut faults = faults(&finished, mistake);
    if begin.elapsed() > LIMIT {
        faults.push(format!("takes {:?}", begin.elapsed()));
    }
    let is_json = mistake.arguments.contains("--json");
    let said = if mistake.code < 64 || is_json { &finished.stdout } else { &finished.stderr };
    let missing = mistake.says.iter().map(|word| fill(word)).filter(|word| !said.contains(word));
    faults.extend(missing.map(|word| format!("does not say {word:?}")));
    faults.iter().map(|fault| format!("{}: {fault}: {finished}", mistake.name)).collect()
}

/// What no answer may be like.
fn faults(finished: &Finished, mistake: &Mistake) -> Vec<String> {
    let code = mistake.code;
    let mut faults = Vec::new();
    let mut must = |holds: bool, fault: &str| {
        if !holds {
            faults.push(fault.to_owned());
        }
    };
    must(finished.code == Some(code), "has another exit code");
    let lines: Vec<&str> = finished.stderr.lines().filter(|line| !line.starts_with('{')).collect();
    if code >= 64 && mistake.arguments.contains("--json") {
        let told = serde_json::from_str::<serde_json::Value>(&finished.stdout);
        must(told.is_ok_and(|told| told["error"].is_string()), "is no error in JSON");
        must(lines.is_empty(), "says something beside its JSON");
    } else if code >= 64 {
        must(finished.stdout.is_empty(), "uses standard output");
        must((1..=2).contains(&lines.len()), "is not one line, or two");
        must(
            lines.iter().all(|line| line.strip_prefix("error: ").is_some_and(|it| !it.is_empty())),
            "has lines that are no error",
        );
    }
    let all = format!("{}{}", finished.stdout, finished.stderr);
    let shown = [CANARY, "panicked", "RUST_BACKTRACE", "Some(", "Error {", "Err(", "Os {"];
    for word in shown {
        must(!all.contains(word), &format!("shows {word:?}"));
    }
    faults
}

/// Makes all mistakes of a kind, some at once, and fails with all answers that fall short.
fn make_all(on: On, bench: Option<&Bench>) {
    let mistakes: Vec<&Mistake> = MISTAKES.iter().filter(|mistake| mistake.on == on).collect();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut faults = Vec::new();
    for some in mistakes.chunks(AT_ONCE) {
        std::thread::scope(|scope| {
            let made: Vec<_> =
                some.iter().map(|mistake| scope.spawn(|| make(mistake, bench, &nobody))).collect();
            faults.extend(made.into_iter().flat_map(|made| made.join().unwrap()));
        });
    }
    assert!(faults.is_empty(), "{} answers fall short:\n{}", faults.len(), faults.join("\n"));
}

/// A bench whose topic is counted, with a window still open.
fn counted(name: &str) -> Option<Bench> {
    let bench = Bench::new(name)?;
    bench.create_topic(2);
    bench.send(0, &[Hit::at(0).host("h").record(), Hit::at(600).host("h").record()]);
    bench.run_until_end();
    Some(bench)
}

#[test]
fn mistakes_are_answered_without_any_service() {
    make_all(On::Nothing, None);
}

#[test]
fn mistakes_are_answered_before_the_first_run() {
    let Some(bench) = Bench::new("mistakes_empty") else { return };
    // One of them would make the tables beside the others.
    bench.done(&["migrate"]);
    make_all(On::Empty, Some(&bench));
}

#[test]
fn mistakes_are_answered_beside_tables_that_do_not_fit() {
    let Some(bench) = counted("mistakes") else { return };
    let other = format!("{}_other", bench.topic);
    kafka::create(&bench.kafka_url, &other, 1);
    let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        make_all(On::Counted, Some(&bench));
    }));
    kafka::delete(&bench.kafka_url, &other);
    if let Err(failed) = made {
        std::panic::resume_unwind(failed);
    }
}

#[test]
fn mistakes_are_answered_beside_a_running_instance() {
    let Some(bench) = counted("mistakes_running") else { return };
    let running = bench.hitstream(&["run"]).start();
    wait_until("it shows that it runs", || {
        // Its first connection, which looks after the tables, holds no such lock.
        let query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock' AND granted \
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        bench.count(query) > 0
    });
    make_all(On::Running, Some(&bench));
    running.stop();
}
