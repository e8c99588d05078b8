//! `[postgres]`: how the database is reached, from either kind of URL.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use hitstream_actors::writer::postgres::TlsSettings;
use serde::{Deserialize, Serialize};
use tokio_postgres::config::Host;

use super::nearest;
use super::postgres_tls::{SslMode, TlsOptions, take_options};
use super::secret::{MASK, Secret, masked_url};
use super::values::one_of;

/// `[postgres]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresConfig {
    /// The URL as written; it may hold a password.
    pub url: Secret,
    /// Role; that of the URL where it names one.
    pub user: String,
    /// Password; that of the URL where it has one. Empty is none.
    pub password: Secret,
    /// Database; that of the URL where it names one.
    pub database: String,
    /// How secure connections are; that of the URL where it says.
    #[serde(deserialize_with = "one_of")]
    pub sslmode: SslMode,
    /// PEM file of the authorities that may have signed the server's certificate, or `system`; empty is none.
    pub sslrootcert: PathBuf,
    /// PEM file of this client's certificate; empty is none.
    pub sslcert: PathBuf,
    /// PEM file of its key.
    pub sslkey: PathBuf,
    /// Schema that holds the tables.
    pub schema: String,
    /// Most connections this instance opens.
    pub pool_size: NonZeroU32,
    #[serde(skip)]
    client: tokio_postgres::Config,
}

impl PostgresConfig {
    /// Gives the driver's configuration: URL, role, password and database brought together.
    pub fn client(&self) -> &tokio_postgres::Config {
        &self.client
    }

    /// Gives what connections ask of the server, and what they show it.
    pub fn tls(&self) -> TlsSettings {
        super::postgres_tls::settings(self)
    }

    /// Gives the role that connects.
    pub fn role(&self) -> &str {
        self.client.get_user().unwrap_or(&self.user)
    }

    /// Names the database for people, without role or password: `host:port/database`.
    pub fn target(&self) -> String {
        let hosts: Vec<String> = self
            .client
            .get_hosts()
            .iter()
            .enumerate()
            .map(|(i, host)| {
                let ports = self.client.get_ports();
                let port = ports.get(i).or(ports.first()).copied().unwrap_or(5432);
                match host {
                    Host::Tcp(name) => format!("{name}:{port}"),
                    #[cfg(unix)]
                    Host::Unix(path) => format!("{}:{port}", path.display()),
                }
            })
            .collect();
        format!("{}/{}", hosts.join(","), self.client.get_dbname().unwrap_or_default())
    }

    /// Brings URL and fields together; what the URL names comes first.
    pub(super) fn resolve(&mut self) -> Result<OfUrl, String> {
        let url = self.url.reveal().trim();
        let mut of_url = OfUrl::default();
        let (mut client, tls) = match url.strip_prefix("jdbc:") {
            Some(rest) => parse_jdbc(rest, &mut of_url)?,
            None if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                let (url, tls) = take_options(url)?;
                (parse_url(&url)?, tls)
            }
            None => return Err(SHAPES.into()),
        };
        // A name to be shown, and for a certificate to have.
        for address in client.get_hostaddrs().to_vec() {
            if client.get_hosts().len() < client.get_hostaddrs().len() {
                client.host(address.to_string());
            }
        }
        if client.get_hosts().is_empty() {
            client.host("localhost");
        }
        of_url.overrides.extend(tls.apply(self));
        client.ssl_mode(self.sslmode.of_driver(client.get_hosts()));
        let named = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        match named(client.get_user()) {
            Some(user) => {
                of_url.overrides.push(("postgres.user", user.clone()));
                self.user = user;
            }
            None => drop(client.user(&self.user)),
        }
        match client.get_password() {
            Some(password) => {
                of_url.overrides.push(("postgres.password", MASK.to_owned()));
                self.password = Secret::new(String::from_utf8_lossy(password));
            }
            None if self.password.is_empty() => {}
            None => drop(client.password(self.password.reveal())),
        }
        match named(client.get_dbname()) {
            Some(database) => {
                of_url.overrides.push(("postgres.database", database.clone()));
                self.database = database;
            }
            None => drop(client.dbname(&self.database)),
        }
        if client.get_application_name().is_none() {
            client.application_name("hitstream");
        }
        self.client = client;
        Ok(of_url)
    }
}

/// What there is to say of a URL.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct OfUrl {
    /// Options of a JDBC URL that have no meaning here.
    pub(super) passed_over: Vec<String>,
    /// Schema that a JDBC URL names.
    pub(super) schema: Option<String>,
    /// Keys whose settings do not apply, for the URL names something else; with that, the password masked.
    pub(super) overrides: Vec<(&'static str, String)>,
}

const SHAPES: &str = "is no PostgreSQL URL; write postgres://user:password@host:port/database \
                      or jdbc:postgresql://host:port/database";

/// What the driver takes.
const OPTIONS: &[&str] = &[
    "user",
    "password",
    "dbname",
    "host",
    "port",
    "hostaddr",
    "options",
    "application_name",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "channel_binding",
    "connect_timeout",
    "tcp_user_timeout",
    "keepalives",
    "target_session_attrs",
];

const MISPLACED: &str = "has a character where a password or an option may have slipped into role, host or database: write options \
     after a ?, with & between them, and %40, %2F, %3A, %3F, %26, %3B and %3D for @, /, :, ?, &, ; and = in names and passwords";

/// Gives a URL that was accepted, without what may be secret in it.
pub(super) fn shown(url: &str) -> String {
    masked_url(url).trim_end_matches(&format!("?{MASK}")).to_owned()
}

/// Reads a URL whose part before the options is `scheme://` and what [`check_place`] accepts.
fn parse_url(url: &str) -> Result<tokio_postgres::Config, String> {
    check_place(url.split_once("//").map_or(url, |(_, place)| place))?;
    url.parse().map_err(|e: tokio_postgres::Error| {
        let cause =
            std::error::Error::source(&e).map_or_else(|| e.to_string(), ToString::to_string);
        if cause.contains("unknown option") {
            return unknown_option(url, cause.split('`').nth(1).unwrap_or_default());
        }
        format!(
            "cannot be read: {cause}; write postgres://user:password@host:port/database, with %40, %2F, %3A and %3F for \
             @, /, : and ? in a password"
        )
    })
}

/// Names an option that the driver does not know, unless its name may be what follows an & or a ? in a password.
fn unknown_option(url: &str, name: &str) -> String {
    let (_, options) = url.split_once('?').unwrap_or_default();
    let (before, _) = options.split_once(&format!("{name}=")).unwrap_or((options, ""));
    let is_word =
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    let may_be_secret = !is_word || options.contains('@') || before.contains("pass");
    let which = if may_be_secret { String::new() } else { format!(" {name}") };
    let meant = match nearest(name, OPTIONS.iter().copied()) {
        Some(near) if !may_be_secret => format!("; did you mean {near}?"),
        _ if name.to_lowercase().contains("schema") || name == "search_path" => {
            "; set postgres.schema (HITSTREAM_POSTGRES__SCHEMA) instead".to_owned()
        }
        _ => String::new(),
    };
    format!(
        "has an option{which} that is not known{meant}{}; write %26 for & in a password",
        if meant.is_empty() {
            format!("; known are {}", OPTIONS.join(", "))
        } else {
            String::new()
        }
    )
}

/// Refuses what the driver would take as a name and show, where it is more likely a slip with a secret in it: role, host
/// and database stand in many messages.
fn check_place(place: &str) -> Result<(), String> {
    let (credentials, place) = place.split_once('@').unwrap_or(("", place));
    let role = credentials.split(':').next().unwrap_or_default();
    let (place, _) = place.split_once('?').unwrap_or((place, ""));
    let (hosts, database) = place.split_once('/').unwrap_or((place, ""));
    let is_misplaced = role.contains(['/', '?', '#', '&', ';', '='])
        || hosts.contains(['@', '#', '&', ';', '='])
        || database.contains(['@', '#', '&', ';', '=', ':']);
    if is_misplaced { Err(MISPLACED.to_owned()) } else { Ok(()) }
}

/// Reads what follows `jdbc:`. pgjdbc keeps credentials and options in the query, form-encoded.
fn parse_jdbc(
    rest: &str,
    of_url: &mut OfUrl,
) -> Result<(tokio_postgres::Config, TlsOptions), String> {
    let place = rest.strip_prefix("postgresql:").ok_or(SHAPES)?;
    let (place, query) = place.split_once('?').unwrap_or((place, ""));
    let mut client = match place.strip_prefix("//") {
        Some(place) => parse_url(&format!("postgresql://{place}"))?,
        // jdbc:postgresql:database and jdbc:postgresql:/ mean the local server.
        None if place.contains('@') => return Err(MISPLACED.to_owned()),
        None => parse_url(&format!("postgresql:///{}", place.trim_start_matches('/')))?,
    };
    // A name that is none, or has no value, may be what follows an & in a password.
    let is_option = |option: &str| match option.split_once('=') {
        Some((name, _)) => name.chars().all(|c| c.is_ascii_alphabetic()),
        None => option.is_empty() || option == "ssl",
    };
    if !query.split('&').all(is_option) {
        return Err(
            "has an option that is not NAME=VALUE; write %26 for & in a password".to_owned()
        );
    }
    let mut tls = TlsOptions::default();
    for (option, value) in form_urlencoded::parse(query.as_bytes()) {
        if tls.take(&option, &value)? {
            continue;
        }
        match option.as_ref() {
            "user" => drop(client.user(value.as_ref())),
            "password" => drop(client.password(value.as_bytes())),
            "ApplicationName" => drop(client.application_name(value.as_ref())),
            "options" => drop(client.options(value.as_ref())),
            "connectTimeout" => {
                let seconds = value
                    .parse()
                    .map_err(|_| "has a connectTimeout that is no number of seconds")?;
                client.connect_timeout(Duration::from_secs(seconds));
            }
            // As pgjdbc has it: all that can be proved, unless sslmode says otherwise.
            "ssl" if value != "false" => drop(tls.mode.get_or_insert(SslMode::VerifyFull)),
            "currentSchema" => of_url.schema = Some(value.into_owned()),
            _ => of_url.passed_over.push(option.into_owned()),
        }
    }
    Ok((client, tls))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(url: &str) -> PostgresConfig {
        let mut config = PostgresConfig {
            url: Secret::new(url),
            user: "u".into(),
            password: Secret::new("p"),
            database: "d".into(),
            sslmode: SslMode::Prefer,
            sslrootcert: PathBuf::new(),
            sslcert: PathBuf::new(),
            sslkey: PathBuf::new(),
            schema: "public".into(),
            pool_size: NonZeroU32::MIN,
            client: tokio_postgres::Config::default(),
        };
        config.resolve().unwrap();
        config
    }

    fn parts(url: &str) -> (String, String, String) {
        let config = resolved(url);
        let password = String::from_utf8(config.client().get_password().unwrap().to_vec()).unwrap();
        (config.target(), config.client().get_user().unwrap().to_owned(), password)
    }

    fn own(target: &str, user: &str, password: &str) -> (String, String, String) {
        (target.into(), user.into(), password.into())
    }

    #[test]
    fn credentials_of_the_url_come_first() {
        assert_eq!(parts("postgres://a:b%40c@h:1/x"), own("h:1/x", "a", "b@c"));
        assert_eq!(parts("postgresql://h"), own("h:5432/d", "u", "p"));
        assert_eq!(parts("postgres://a@h/"), own("h:5432/d", "a", "p"));
    }

    #[test]
    fn jdbc_urls_of_the_former_job_work_as_they_are() {
        assert_eq!(
            parts("jdbc:postgresql://db:5433/x?user=a&password=b%26+c"),
            own("db:5433/x", "a", "b& c")
        );
        assert_eq!(parts("jdbc:postgresql://db/x"), own("db:5432/x", "u", "p"));
        assert_eq!(parts("jdbc:postgresql:x"), own("localhost:5432/x", "u", "p"));
        assert_eq!(parts("jdbc:postgresql://h1:1,h2:2/x"), own("h1:1,h2:2/x", "u", "p"));
    }

    #[test]
    fn jdbc_options_without_meaning_here_are_named_not_fatal() {
        let mut config = resolved("postgres://h");
        config.url = Secret::new("jdbc:postgresql://h/x?reWriteBatchedInserts=true&sslmode=allow");
        assert_eq!(config.resolve().unwrap().passed_over, ["reWriteBatchedInserts"]);
        assert_eq!(config.sslmode, SslMode::Allow);
        config.url = Secret::new("jdbc:postgresql://h/x?currentSchema=hits");
        let of_url = config.resolve().unwrap();
        assert_eq!((of_url.passed_over.len(), of_url.schema.as_deref()), (0, Some("hits")));
    }

    #[test]
    fn unknown_option_is_named_unless_it_may_be_secret() {
        let reason = |options: &str| {
            let mut config = resolved("postgres://h");
            config.url = Secret::new(format!("postgres://h/x?{options}"));
            config.resolve().unwrap_err()
        };
        for (options, says) in [
            ("sslcrl=/crl.pem", "has an option sslcrl that is not known; did you mean sslcert?"),
            ("service=hits", "has an option service that is not known; known are user, "),
            ("application-name=x", "did you mean application_name?"),
            (
                "currentSchema=hits",
                "has an option currentSchema that is not known; set postgres.schema",
            ),
            ("user=a&search_path=hits", "set postgres.schema"),
        ] {
            assert!(reason(options).contains(says), "{options}: {}", reason(options));
        }
        assert!(!reason("password=a&hunter2=x").contains("hunter2"));
    }

    #[test]
    fn address_without_a_name_stands_for_one() {
        let config = resolved("postgres:///x?hostaddr=127.0.0.1");
        assert_eq!(config.target(), "127.0.0.1:5432/x");
        assert_eq!(resolved("postgres://h/x?hostaddr=127.0.0.1").target(), "h:5432/x");
    }

    #[test]
    fn secret_in_the_wrong_place_is_refused_and_not_repeated() {
        for url in [
            "host=h password=hunter2 user=u",
            "jdbc:postgresql://h/x&password=hunter2",
            "jdbc:postgresql://h/x;user=a;password=hunter2",
            "jdbc:postgresql://h;password=hunter2/x",
            "jdbc:postgresql:u:hunter2/x",
            "jdbc:postgresql:u/hunter2@h/x",
            "jdbc:postgresql://h/x?password=hun&ter2",
            "jdbc:postgresql://h/x?password=hun&hunter2=1",
            "postgres://me@corp:hunter2@h/x",
            "postgres://me@corp:se?hunter2@h/x",
            "postgres://u/hunter2@h/x",
            "postgres://h/x&password=hunter2",
            "postgres://h/x?password=hun&hunter2=z",
        ] {
            let mut config = resolved("postgres://h");
            config.url = Secret::new(url);
            let reason = config.resolve().unwrap_err();
            assert!(!reason.contains("hunter2"), "{url}: {reason}");
            assert!(reason.contains("write"), "{url}: {reason}");
        }
        assert_eq!(parts("postgres://a:b?c;&=/@h:1/x%3Ay"), own("h:1/x:y", "a", "b?c;&=/"));
    }

    #[test]
    fn shown_urls_carry_no_secret() {
        assert_eq!(shown("postgres://a:b@h:1/x?password=z"), "postgres://***@h:1/x");
        assert_eq!(shown("jdbc:postgresql://h/x?password=z"), "jdbc:postgresql://h/x");
        assert_eq!(shown("postgres://a:b?c@h:1/x"), "postgres://***");
        let printed = format!("{:?}", resolved("postgres://a:hunter2@h/x"));
        assert!(!printed.contains("hunter2"), "{printed}");
    }
}
