//! `[postgres]`: how the database is reached, from either kind of URL.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_postgres::config::{Host, SslMode};

use super::secret::{MASK, Secret};

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
        let mut client = match url.strip_prefix("jdbc:") {
            Some(rest) => parse_jdbc(rest, &mut of_url.passed_over)?,
            None if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                parse_url(url)?
            }
            None => return Err(SHAPES.into()),
        };
        if client.get_hosts().is_empty() && client.get_hostaddrs().is_empty() {
            client.host("localhost");
        }
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
        if client.get_ssl_mode() == SslMode::Require {
            return Err(NO_TLS.into());
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
    /// Keys whose settings do not apply, for the URL names something else; with that, the password masked.
    pub(super) overrides: Vec<(&'static str, String)>,
}

const SHAPES: &str = "is no PostgreSQL URL; write postgres://user:password@host:port/database \
                      or jdbc:postgresql://host:port/database";

const SSL_MODES: &str =
    "has an sslmode that is not supported; use disable or prefer where the network may be trusted";

const NO_TLS: &str = "asks for TLS (sslmode=require, or ssl in a JDBC URL), which this version cannot do; use sslmode=prefer \
                      or disable where the network may be trusted";

/// Gives a URL fit to be shown: without credentials and options.
pub(super) fn masked_url(url: &str) -> String {
    let (shown, options) = url.split_once('?').unwrap_or((url, ""));
    // An @ after the ? may end a password that has a ? in it.
    if options.contains('@') && !shown.contains('@') {
        let scheme = shown.split_once("//").map_or("", |(scheme, _)| scheme);
        return format!("{scheme}//{MASK}");
    }
    match (shown.split_once("//"), shown.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, place))) => format!("{scheme}//{MASK}@{place}"),
        (None, Some((_, place))) => format!("{MASK}@{place}"),
        _ => shown.to_owned(),
    }
}

fn parse_url(url: &str) -> Result<tokio_postgres::Config, String> {
    url.parse().map_err(|e: tokio_postgres::Error| {
        let cause =
            std::error::Error::source(&e).map_or_else(|| e.to_string(), ToString::to_string);
        if cause.contains("`sslmode`") {
            return SSL_MODES.to_owned();
        }
        format!(
            "cannot be read: {cause}; write postgres://user:password@host:port/database, with %40, %2F, %3A and %3F for \
             @, /, : and ? in a password"
        )
    })
}

/// Reads what follows `jdbc:`. pgjdbc keeps credentials and options in the query, form-encoded.
fn parse_jdbc(rest: &str, passed_over: &mut Vec<String>) -> Result<tokio_postgres::Config, String> {
    let place = rest.strip_prefix("postgresql:").ok_or(SHAPES)?;
    let (place, query) = place.split_once('?').unwrap_or((place, ""));
    let mut client = match place.strip_prefix("//") {
        Some(place) => parse_url(&format!("postgresql://{place}"))?,
        // jdbc:postgresql:database and jdbc:postgresql:/ mean the local server.
        None => parse_url(&format!("postgresql:///{}", place.trim_start_matches('/')))?,
    };
    for (option, value) in form_urlencoded::parse(query.as_bytes()) {
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
            "sslmode" => drop(client.ssl_mode(ssl_mode(&value)?)),
            "ssl" if value != "false" => drop(client.ssl_mode(SslMode::Require)),
            _ => passed_over.push(option.into_owned()),
        }
    }
    Ok(client)
}

fn ssl_mode(value: &str) -> Result<SslMode, String> {
    match value {
        "disable" => Ok(SslMode::Disable),
        "allow" | "prefer" => Ok(SslMode::Prefer),
        "require" => Ok(SslMode::Require),
        _ => Err(SSL_MODES.to_owned()),
    }
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
        assert_eq!(config.client().get_ssl_mode(), SslMode::Prefer);
        config.url = Secret::new("jdbc:postgresql://h/x?sslmode=verify-full");
        assert!(config.resolve().unwrap_err().contains("sslmode"));
    }

    #[test]
    fn tls_that_is_asked_for_is_never_left_out() {
        for url in ["postgres://h/x?sslmode=require", "jdbc:postgresql://h/x?ssl=true"] {
            let mut config = resolved("postgres://h");
            config.url = Secret::new(url);
            assert!(config.resolve().unwrap_err().contains("TLS"), "{url}");
        }
    }

    #[test]
    fn shown_urls_carry_no_secret() {
        assert_eq!(masked_url("postgres://a:b@c@h:1/x?password=z"), "postgres://***@h:1/x");
        assert_eq!(masked_url("jdbc:postgresql://h/x?password=z"), "jdbc:postgresql://h/x");
        assert_eq!(masked_url("postgres://a:b?c@h:1/x"), "postgres://***");
        let printed = format!("{:?}", resolved("postgres://a:hunter2@h/x"));
        assert!(!printed.contains("hunter2"), "{printed}");
    }
}
