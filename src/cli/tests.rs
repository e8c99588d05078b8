use clap::{CommandFactory, Parser};

use super::*;

/// A mistake a person can make, and what the answer must say.
struct Mistake {
    args: &'static str,
    file: &'static str,
    env_file: &'static str,
    env: &'static [(&'static str, &'static str)],
    says: &'static [&'static str],
}

const NONE: Mistake = Mistake { args: "run", file: "", env_file: "", env: &[], says: &[] };

/// Runs the pure part of a command line: arguments and settings. Gives exit code and report.
fn attempt(mistake: &Mistake) -> (u8, String) {
    let cli = match Cli::try_parse_from(["hitstream"].into_iter().chain(mistake.args.split(' '))) {
        Ok(cli) => cli,
        Err(e) => return (error::USAGE, usage::explain(&e, &[])),
    };
    let named =
        |name: &str, text: &str| (!text.is_empty()).then(|| (name.to_owned(), text.to_owned()));
    let layers = Layers {
        file: named("my.toml", mistake.file),
        env_file: named("stream.env", mistake.env_file),
        env: mistake
            .env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        flags: flags(&cli.global),
    };
    match layers.load() {
        Ok(loaded) => (error::DONE, format!("{:?}", loaded.config)),
        Err(e) => {
            let e = CliError::from(e);
            (e.exit_code(), e.report())
        }
    }
}

macro_rules! mistakes {
    ($($name:ident: $($field:ident = $value:expr),+;)+) => {$(
        #[test]
        fn $name() {
            let mistake = Mistake { $($field: $value,)+ ..NONE };
            let (code, report) = attempt(&mistake);
            assert_eq!(code, 64, "{report}");
            for word in mistake.says {
                assert!(report.contains(word), "no {word:?} in:\n{report}");
            }
            assert!(!report.contains("hunter2"), "a secret in:\n{report}");
        }
    )+};
}

mistakes! {
    unknown_key_field_is_refused: args = "import --key user x", says = &["user", "host, ip, none"];
    no_partitions_are_refused: args = "import --create-topic --partitions 0 x", says = &["--partitions", "between 1 and 100000"];

    key_in_the_wrong_section_leads_to_the_right_one:
        file = "[flush]\nslide = '5m'", says = &["flush.slide", "did you mean window.slide?"];
    key_by_another_programs_name: env = &[("HITSTREAM_KAFKA__BOOTSTRAP", "b:1"), ("HITSTREAM_POSTGRES__HOST", "h")], says = &["did you mean HITSTREAM_KAFKA__BROKERS?", "did you mean HITSTREAM_POSTGRES__URL?"];
    key_like_none_lists_its_section: file = "[window]\ninterval = '5m'", says = &["window.interval (file my.toml): no such key; [window] has size, slide; "];
    property_outside_its_section: env = &[("HITSTREAM_KAFKA__SASL_PASSWORD", "hunter2")], says = &["did you mean HITSTREAM_KAFKA__PROPERTIES__SASL_PASSWORD?"];
    proxies_without_a_header: env = &[("HITSTREAM_INPUT__TRUSTED_PROXIES", "foo")], says = &["error: input.trusted_proxies = \"foo\" (variable HITSTREAM_INPUT__TRUSTED_PROXIES): has no effect without input.client_header"];
    section_without_keys_is_explained: file = "kafka = 'localhost'", says = &["kafka", "is a section"];
    broken_file_is_named_by_line_without_its_text:
        file = "[postgres]\npassword = \"hunter2\nuser = 1", says = &["file my.toml: ", "line 2"];
    all_unknown_keys_are_reported_at_once:
        file = "[flush]\na_b_c = 1\n[zzz]\nqqq = 1", says = &["flush.a_b_c", "zzz.qqq", "--print-config"];

    wrong_line_of_an_environment_file_is_named:
        env_file = "KAFKA_TOPIC=t\nhunter2 is my password\n", says = &["file stream.env: line 2 is not KEY=VALUE"];
    wrong_value_in_an_environment_file_names_variable_and_file:
        env_file = "HITSTREAM_FLUSH__INTERVAL=never", says = &["flush.interval = \"never\" (variable HITSTREAM_FLUSH__INTERVAL in stream.env)"];

    negative_number: file = "[enrich]\nworkers = -1", says = &["enrich.workers = -1", "not negative"];
    fraction_of_a_count: file = "[flush]\nmax_keys = 1.5", says = &["flush.max_keys = 1.5", "whole number"];
    truth_for_a_count: file = "[flush]\nmax_keys = true", says = &["flush.max_keys = true", "whole number"];
    number_for_a_truth: file = "[events]\nstore = 1", says = &["events.store = 1", "true or false"];
    list_for_a_text: file = "[kafka]\nbrokers = ['a:1', 'b:2']", says = &["kafka.brokers", "a text in quotes"];
    word_out_of_a_closed_set: file = "[kafka]\nstart = 'beginning'", says = &["kafka.start = \"beginning\"", "\"earliest\" or \"latest\""];
    duration_of_zero: file = "[flush]\ninterval = '0s'", says = &["flush.interval = \"0s\"", "between 1ms and 1h"];
    duration_below_a_millisecond: file = "[window]\nsize = '1500us'\nslide = '1500us'", says = &["window.size", "whole milliseconds"];
    size_too_small: file = "[flush]\nmax_bytes = '1KiB'", says = &["flush.max_bytes", "between 64KiB and 64GiB"];

    size_below_the_default_slide: env = &[("HITSTREAM_WINDOW__SIZE", "1m")], says = &["window.slide = \"5m\" (built-in default)", "window.size (1m)"];
    slide_far_below_size: file = "[window]\nsize = '1h'\nslide = '1s'", says = &["window.slide", "1440 windows"];
    idle_timeout_below_the_flush_interval:
        file = "[flush]\ninterval = '2m'", says = &["watermark.idle_timeout", "flush.interval"];

    broker_with_another_protocol: env = &[("KAFKA_URL", "http://broker:9092")], says = &["http://", "host:port"];
    broker_with_tls: env = &[("KAFKA_URL", "plaintext://a:1,SSL://b:2")], says = &["kafka.brokers = \"plaintext://a:1,SSL://b:2\"", "set that to \"ssl\""];
    broker_with_sasl_over_tls: env = &[("KAFKA_URL", "sasl_ssl://b:2")], says = &["kafka.brokers", "set that to \"sasl_ssl\""];
    brokers_with_a_semicolon: env = &[("KAFKA_URL", "a:1;b:2")], says = &["kafka.brokers = \"a:1;b:2\"", "separated by commas"];
    topic_that_kafka_refuses: env = &[("KAFKA_TOPIC", "web traffic")], says = &["kafka.topic = \"web traffic\"", "249"];
    property_with_a_wrong_value: file = "[kafka.properties]\nsession.timeout.ms = 'long'", says = &["session.timeout.ms", "long"];
    property_of_our_own: file = "[kafka.properties]\n'group.id' = 'g'", says = &["group.id", "kafka.group"];
    session_shorter_than_the_default_heartbeat:
        env = &[("HITSTREAM_KAFKA__PROPERTIES__SESSION_TIMEOUT_MS", "900")], says = &["session.timeout.ms = \"900\"", "1000 ms"];
    session_longer_than_the_poll_interval:
        file = "[kafka.properties]\n'session.timeout.ms' = 400000", says = &["kafka.properties.session.timeout.ms = 400000", "max.poll.interval.ms must be"];
    session_where_the_brokers_decide_on_it:
        file = "[kafka.properties]\n'group.protocol' = 'consumer'\n'session.timeout.ms' = 9000", says = &["session.timeout.ms = 9000", "the brokers decide"];
    secret_property_with_a_wrong_value:
        file = "[kafka.properties]\n'sasl.oauthbearer.method' = 'hunter3'\n'ssl.key.password' = ''\n'sasl.mechanisms' = 'PLAIN'", says = &["sasl.oauthbearer.method"];

    url_with_an_unknown_option: env = &[("POSTGRES_URL", "postgres://h/x?password=hunter2&shema=y")], says = &["postgres.url (variable POSTGRES_URL)", "an option that is not known", "application_name"];
    schema_that_needs_quotes: env = &[("HITSTREAM_POSTGRES__SCHEMA", "My Schema")], says = &["postgres.schema", "a-z"];
    pool_too_small_for_commits_and_moves: file = "[postgres]\npool_size = 1", says = &["postgres.pool_size = 1", "between 2"];
}

#[test]
fn defaults_hold_without_any_setting() {
    let (code, printed) = attempt(&NONE);
    assert_eq!(code, 0, "{printed}");
    assert!(
        printed.contains("localhost:9093") && printed.contains("web_traffic_topic"),
        "{printed}"
    );
}

fn loaded(file: &str, env_file: &str, env: &[(&str, &str)]) -> Loaded {
    let named = |text: &str| (!text.is_empty()).then(|| ("f".to_owned(), text.to_owned()));
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Layers { file: named(file), env_file: named(env_file), env, flags: vec![] }.load().unwrap()
}

#[test]
fn later_layers_win_and_empty_variables_count_as_not_set() {
    let group = |file: &str, env_file: &str, env: &[(&str, &str)]| {
        loaded(file, env_file, env).config.kafka.group
    };
    let file = "[kafka]\ngroup = 'file'";
    assert_eq!(group("", "", &[]), "web_traffic_group");
    assert_eq!(group(file, "", &[]), "file");
    assert_eq!(group(file, "KAFKA_GROUP=envfile\nHOST_PORT=1", &[]), "envfile");
    assert_eq!(group(file, "KAFKA_GROUP=envfile", &[("KAFKA_GROUP", "env")]), "env");
    assert_eq!(
        group(file, "", &[("KAFKA_GROUP", "env"), ("HITSTREAM_KAFKA__GROUP", "exact")]),
        "exact"
    );
    assert_eq!(group(file, "HITSTREAM_KAFKA__GROUP=envfile", &[("KAFKA_GROUP", "env")]), "env");
    assert_eq!(group(file, "", &[("KAFKA_GROUP", ""), ("HITSTREAM_KAFKA__GROUP", "")]), "file");
}

#[test]
fn variable_that_is_set_but_empty_is_remarked_on_once() {
    let empty = [
        ("KAFKA_URL", ""),
        ("KAFKA_URL", ""),
        ("HITSTREAM_FLUSH__INTERVAL", ""),
        ("HITSTREAM_CONFIG", ""),
        // Nothing is what these are without being set, and what others set is none of our business.
        ("POSTGRES_PASSWORD", ""),
        ("HITSTREAM_PORT", ""),
        ("PATH", ""),
        ("KAFKA_GROUP", "g"),
    ];
    assert_eq!(
        loaded("", "KAFKA_TOPIC=\nKAFKA_URL=k:1", &empty).remarks,
        ["HITSTREAM_CONFIG", "HITSTREAM_FLUSH__INTERVAL", "KAFKA_TOPIC in f", "KAFKA_URL"]
            .map(|name| format!("variable {name} is set but empty; it counts as not set"))
    );
    let password = loaded("[postgres]\npassword = 'hunter2'", "", &[("POSTGRES_PASSWORD", "")]);
    assert_eq!(password.remarks.len(), 1, "here it makes a difference");
}

#[test]
fn value_out_of_range_is_the_only_complaint() {
    for (file, complaint) in [
        (
            "[window]\nsize = '0s'",
            "window.size = \"0s\" (file my.toml): must be between 1ms and 365 days",
        ),
        (
            "[window]\nsize = '400days'",
            "window.size = \"400days\" (file my.toml): must be between 1ms and 365 days",
        ),
        (
            "[window]\nslide = '0s'",
            "window.slide = \"0s\" (file my.toml): must be between 1ms and 365 days",
        ),
        (
            "[window]\nslide = '400days'",
            "window.slide = \"400days\" (file my.toml): must be between 1ms and 365 days",
        ),
        (
            "[flush]\ninterval = '2h'",
            "flush.interval = \"2h\" (file my.toml): must be between 1ms and 1h",
        ),
        (
            "[watermark]\nidle_timeout = '0s'",
            "watermark.idle_timeout = \"0s\" (file my.toml): must be between 100ms and 365 days",
        ),
        (
            "[shutdown]\ntimeout = '2days'",
            "shutdown.timeout = \"2days\" (file my.toml): must be between 100ms and 1 day",
        ),
    ] {
        assert_eq!(attempt(&Mistake { file, ..NONE }), (64, format!("error: {complaint}")));
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once_and_nothing_is_compared_with_it() {
    let file = "[window]\nsize = '5 minuten'\nslide = '10m'\n[flush]\ninterval = 'never'\nmax_keys = 0\n\
         max_events = 1.5\nmax_kyes = 1\n[watermark]\nidle_timeout = '100ms'\ndelay = '400days'";
    let env = &[("KAFKA_TOPIC", "web traffic"), ("POSTGRES_URL", "mysql://h/x")];
    let (code, report) = attempt(&Mistake { file, env, ..NONE });
    assert_eq!(code, 64);
    let keys = report.lines().map(|line| line.split(" = ").next().unwrap_or(line));
    let keys = keys.map(|key| key.split(" (variable POSTGRES_URL)").next().unwrap_or(key));
    let mut keys: Vec<&str> = keys.collect();
    keys.sort_unstable();
    let expected = [
        "error: flush.interval",
        "error: flush.max_events",
        "error: flush.max_keys",
        "error: flush.max_kyes (file my.toml): no such key; did you mean flush.max_keys?",
        "error: kafka.topic",
        "error: postgres.url",
        "error: watermark.delay",
        "error: window.size",
    ];
    assert_eq!(keys, expected, "{report}");
}

#[test]
fn names_of_the_former_job_work_as_they_are() {
    let config = loaded(
        "",
        "",
        &[
            ("KAFKA_URL", "kafka:9093"),
            ("KAFKA_TOPIC", "t"),
            ("POSTGRES_URL", "jdbc:postgresql://db:5432/hits"),
            ("POSTGRES_USER", "u"),
            ("POSTGRES_PASSWORD", "hunter2"),
            ("POSTGRES_DB", "unused, the URL names one"),
            ("IP_CODING_KEY", "hunter2"),
            // What others set is none of our business.
            ("HITSTREAM_SERVICE_HOST", "10.0.0.1"),
            ("HITSTREAM_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ],
    )
    .config;
    assert_eq!((config.kafka.brokers.as_str(), config.kafka.topic.as_str()), ("kafka:9093", "t"));
    assert_eq!(config.postgres.target(), "db:5432/hits");
    assert_eq!(config.postgres.client().get_user(), Some("u"));
    assert_eq!(config.postgres.client().get_password(), Some(&b"hunter2"[..]));
    assert_eq!(config.enrich.ip2location.key.reveal(), "hunter2");
    let printed = format!("{config:?}{}", serde_json::to_string(&config).unwrap());
    assert!(!printed.contains("hunter2"), "{printed}");
}

#[test]
fn properties_pass_through_however_they_are_written() {
    let file = "[kafka.properties]\n'linger.ms' = 7\nsession.timeout.ms = '9000'\nclient.id = 'a'";
    let env = [("HITSTREAM_KAFKA__PROPERTIES__CLIENT_ID", "b")];
    let client = loaded(file, "", &env).config.kafka.client();
    assert_eq!(client.get("linger.ms"), Some("7"));
    assert_eq!(client.get("session.timeout.ms"), Some("9000"));
    assert_eq!(client.get("client.id"), Some("b"));
    assert_eq!(client.get("bootstrap.servers"), Some("localhost:9093"));
}

#[test]
fn printed_settings_are_settings_again() {
    let env = [
        ("HITSTREAM_KAFKA__PROPERTIES__LINGER_MS", "7"),
        ("POSTGRES_URL", "postgres://a:hunter2@h/x"),
    ];
    let printed = loaded("[flush]\nmax_keys = 9", "", &env).describe();
    assert!(printed.starts_with("# What has no remark is the built-in default"), "{printed}");
    assert!(printed.contains("max_keys = 9  # file f\n"), "{printed}");
    assert!(
        printed.contains("url = \"postgres://***@h/x\"  # variable POSTGRES_URL\n"),
        "{printed}"
    );
    let again = loaded(&printed, "", &[]).config;
    assert_eq!(again.flush.max_keys.get(), 9);
    assert_eq!(again.kafka.properties.get("linger.ms"), Some("7"));
}

#[test]
fn secret_that_looks_like_a_url_is_masked_all_the_same() {
    let env = [
        ("HITSTREAM_KAFKA__PROPERTIES__SASL_PASSWORD", "hunter2://x"),
        ("POSTGRES_PASSWORD", "hunter2://y"),
        ("IP_CODING_KEY", "hunter2://z"),
    ];
    let printed = loaded("", "", &env).describe();
    assert!(printed.contains("\"sasl.password\" = \"***\""), "{printed}");
    assert!(!printed.contains("hunter2"), "{printed}");
}

#[test]
fn what_the_url_names_is_shown_as_what_applies() {
    let own = [
        ("POSTGRES_USER", "mine"),
        ("POSTGRES_PASSWORD", "hunter2"),
        ("POSTGRES_DB", "hits"),
        ("POSTGRES_URL", "postgres://a:hunter3@h/x"),
    ];
    let printed = loaded("", "", &own).describe();
    for line in [
        "user = \"a\"  # in postgres.url (variable POSTGRES_URL)\n",
        "password = \"***\"  # in postgres.url (variable POSTGRES_URL)\n",
        "database = \"x\"  # in postgres.url (variable POSTGRES_URL)\n",
    ] {
        assert!(printed.contains(line), "no {line:?} in {printed}");
    }
    let file = "[postgres]\nurl = 'jdbc:postgresql://h/x?user=a'\ndatabase = 'hits'";
    let printed = loaded(file, "", &own[..2]).describe();
    for line in [
        "user = \"a\"  # in postgres.url (file f)\n",
        "password = \"***\"  # variable POSTGRES_PASSWORD\n",
        "database = \"x\"  # in postgres.url (file f)\n",
    ] {
        assert!(printed.contains(line), "no {line:?} in {printed}");
    }
    assert!(!printed.contains("hunter"), "{printed}");
    let printed = loaded("", "", &own[..3]).describe();
    assert!(printed.contains("user = \"mine\"  # variable POSTGRES_USER\n"), "{printed}");
}

#[test]
fn help_has_examples_for_every_command() {
    Cli::command().debug_assert();
    for command in Cli::command().get_subcommands_mut() {
        let help = command.render_long_help().to_string();
        assert!(help.contains("Examples:\n  "), "{help}");
    }
}

#[test]
fn every_cause_has_its_exit_code() {
    let codes = [
        Outcome::Done.exit_code(),
        Outcome::No.exit_code(),
        CliError::Usage(String::new()).exit_code(),
        CliError::Mismatch(String::new()).exit_code(),
        CliError::Unreachable(String::new()).exit_code(),
        CliError::Output(std::io::ErrorKind::StorageFull.into()).exit_code(),
        CliError::Bug(anyhow::anyhow!("x")).exit_code(),
    ];
    assert_eq!(codes, [0, 1, 64, 64, 69, 69, 70]);
    assert!(
        CliError::Bug(anyhow::anyhow!("x"))
            .report()
            .starts_with("error: this is a bug in hitstream")
    );
}
