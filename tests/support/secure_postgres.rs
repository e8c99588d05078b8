//! A PostgreSQL that takes nobody without TLS, and one role only with a certificate.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use postgres::{Client, NoTls};

use super::certificates::{Authority, Certified};
use super::process::wait_until;
use super::scratch::Folder;
use super::server::Server;
use super::{Bench, skip_in_a_container};

/// The password of [`NAMED`].
pub(crate) const PASSWORD: &str = "s3cr3t-of-postgres";
/// Logs in with its password.
pub(crate) const NAMED: &str = "named";
/// Logs in with a certificate.
pub(crate) const SHOWN: &str = "shown";

const ACCESS: &str = "local all all trust\n\
     hostssl all shown 127.0.0.1/32 cert\n\
     hostssl all all 127.0.0.1/32 scram-sha-256\n";

pub(crate) struct SecurePostgres {
    server: Server,
    ours: Authority,
    /// What clients have.
    folder: Folder,
    data: PathBuf,
    port: String,
}

impl SecurePostgres {
    /// Starts it with a certificate for `localhost`; `None`, with a word, where that cannot be.
    pub(crate) fn start() -> Option<Self> {
        let server = Server::start("postgres")?;
        let Some(data) = server.fact("data") else {
            skip_in_a_container("these tests need a PostgreSQL of this machine's");
            return None;
        };
        let port = server.fact("port").unwrap();
        let (ours, other) = (Authority::new("ours"), Authority::new("other"));
        let folder = Folder::new();
        let write = |name: &str, text: &str| fs::write(folder.path(name), text).unwrap();
        write("ca.pem", &ours.pem);
        write("other-ca.pem", &other.pem);
        for (name, Certified { certificate, key }) in
            [("client", ours.client(SHOWN)), ("stranger", other.client(SHOWN))]
        {
            write(&format!("{name}.pem"), &certificate);
            write(&format!("{name}.key"), &key);
        }
        let postgres = Self { server, ours, folder, data: data.into(), port };
        postgres.put("ca.crt", &postgres.ours.pem);
        postgres.put("pg_hba.conf", ACCESS);
        postgres.certify(&postgres.ours.server(&["localhost"]));
        let mut sql = postgres.sql();
        sql.batch_execute(&format!(
            "CREATE ROLE {NAMED} LOGIN SUPERUSER PASSWORD '{PASSWORD}'; CREATE ROLE {SHOWN} LOGIN SUPERUSER"
        ))
        .unwrap();
        for setting in ["ssl_ca_file = 'ca.crt'", "ssl = 'on'"] {
            sql.batch_execute(&format!("ALTER SYSTEM SET {setting}")).unwrap();
        }
        postgres.reload();
        wait_until("it has TLS", || {
            let row = sql.query_one("SELECT current_setting('ssl')", &[]).unwrap();
            row.get::<_, &str>(0) == "on"
        });
        Some(postgres)
    }

    /// Gives the server a certificate whose time is over.
    pub(crate) fn expire(&self) {
        self.certify(&self.ours.expired(&["localhost"]));
        self.reload();
    }

    /// A bench here and on the shared Kafka; its commands come by this host and these options of a URL.
    pub(crate) fn bench(&self, name: &str, role: &str, host: &str, options: &str) -> Bench {
        let kafka = std::env::var("KAFKA_URL").unwrap();
        let mut bench = Bench::between(name, kafka, self.socket_url());
        let url = self.url(role, host, &bench.database, options);
        bench.set("POSTGRES_URL", url);
        bench
    }

    /// The URL of a database here, with `{folder}` in its options filled in.
    fn url(&self, role: &str, host: &str, database: &str, options: &str) -> String {
        let options = options.replace("{folder}", &self.file(""));
        format!("postgres://{role}@{host}:{}/{database}?{options}", self.port)
    }

    /// A file of what clients have.
    pub(crate) fn file(&self, name: &str) -> String {
        self.folder.path(name).to_str().unwrap().trim_end_matches('/').to_owned()
    }

    pub(crate) fn port(&self) -> &str {
        &self.port
    }

    /// A connection as the superuser, over a socket of this machine's.
    pub(crate) fn sql(&self) -> Client {
        Client::connect(&self.socket_url(), NoTls).unwrap()
    }

    fn socket_url(&self) -> String {
        let socket = self.server.fact("socket").unwrap().replace('/', "%2F");
        format!("postgres://postgres@{socket}:{}/postgres", self.port)
    }

    fn certify(&self, certified: &Certified) {
        self.put("server.crt", &certified.certificate);
        self.put("server.key", &certified.key);
    }

    /// Writes a file that only the server's user may read.
    fn put(&self, name: &str, text: &str) {
        let owner = fs::metadata(&self.data).unwrap();
        let path = Path::new(&self.data).join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
    }

    /// Has it read its files again; the next connection meets what they say.
    fn reload(&self) {
        let mut sql = self.sql();
        let loaded = "SELECT pg_conf_load_time()::text";
        let before: String = sql.query_one(loaded, &[]).unwrap().get(0);
        sql.batch_execute("SELECT pg_reload_conf()").unwrap();
        wait_until("the server reads its files again", || {
            // A session has read them when its own time is another, and the server before that.
            let now: String = sql.query_one(loaded, &[]).unwrap().get(0);
            now != before
        });
    }
}
