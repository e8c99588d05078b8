//! A PostgreSQL of the demo's own, from the system's binaries: reached through a socket in the demo's folder alone.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio_postgres::{Client, NoTls};

use super::account::{self, as_server};
use super::child::Process;
use super::folder::Folder;

/// The oldest release with what hitstream needs.
const OLDEST: u32 = 15;
/// Where Debian and Ubuntu keep the servers, a folder for each release.
const DEBIAN: &str = "/usr/lib/postgresql";
/// The superuser of the cluster.
const ROLE: &str = "postgres";
const DATABASE: &str = "hitstream";
const START_LIMIT: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);

/// A running server.
pub(super) struct Postgres {
    process: Process,
    socket: PathBuf,
}

impl Postgres {
    /// Makes a cluster in `folder` and starts its server; returns when it has its database. Fails at once when `stop` is
    /// raised before.
    pub(super) fn start(folder: &Folder, stop: &AtomicBool) -> Result<Self> {
        let binaries = binaries()?;
        account::prepare(folder, &binaries)?;
        let (data, socket) = (folder.server().join("data"), folder.sockets());
        Process::start("initdb", "KILL", folder.path(), |initdb| {
            as_server(initdb).arg(binaries.join("initdb")).arg("-D").arg(&data);
            initdb.args(["-U", ROLE, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
            initdb.current_dir("/");
        })?
        .finish(stop)?;
        // QUIT has it end its sessions and itself at once.
        let process = Process::start("postgres", "QUIT", folder.path(), |server| {
            as_server(server).arg(binaries.join("postgres")).arg("-D").arg(&data);
            server.arg("-k").arg(listed(&socket)).args(["-c", "listen_addresses="]);
            server.current_dir("/");
        })?;
        let mut postgres = Self { process, socket };
        postgres.create_database(stop)?;
        Ok(postgres)
    }

    /// How hitstream connects.
    pub(super) fn url(&self) -> String {
        let bytes = self.socket.as_os_str().as_bytes();
        let socket: String = bytes.iter().map(|byte| format!("%{byte:02X}")).collect();
        format!("postgres://{ROLE}@{socket}/{DATABASE}")
    }

    /// How a person looks inside, from a shell.
    pub(super) fn psql(&self) -> String {
        // The port too: PGPORT may name another one.
        let socket = in_shell(&self.socket.display().to_string());
        format!("psql -h {socket} -p 5432 -U {ROLE} {DATABASE}")
    }

    /// Fails when the server has ended.
    pub(super) fn must_live(&mut self) -> Result<()> {
        self.process.must_live()
    }

    /// Ends it in order.
    pub(super) fn stop(mut self) -> Result<()> {
        self.process.stop("INT", STOP_LIMIT).map(drop)
    }

    fn create_database(&mut self, stop: &AtomicBool) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let begin = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            let creating = async {
                let client = connect(&self.socket).await?;
                client.batch_execute(&format!("CREATE DATABASE {DATABASE}")).await
            };
            let error = match runtime.block_on(creating) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            self.process.must_live()?;
            if begin.elapsed() > START_LIMIT {
                bail!(self.process.told(&format!("postgres does not answer: {error}")));
            }
            std::thread::sleep(LOOK);
        }
        bail!("the start of postgres was interrupted")
    }
}

async fn connect(socket: &Path) -> Result<Client, tokio_postgres::Error> {
    let mut config = tokio_postgres::Config::new();
    config.host_path(socket).user(ROLE).dbname(ROLE);
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// The newest server that is installed.
fn binaries() -> Result<PathBuf> {
    let named = std::env::var_os("HITSTREAM_PG_BIN").filter(|name| !name.is_empty());
    if let Some(folder) = named.map(PathBuf::from) {
        if holds_server(&folder) {
            // The programs are started elsewhere.
            return Ok(std::path::absolute(folder)?);
        }
        bail!(
            "HITSTREAM_PG_BIN is {}, where there are no initdb and postgres; set it to the folder that holds them, or leave \
             it out",
            folder.display()
        );
    }
    let installed = std::fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let mut releases: Vec<(u32, PathBuf)> = installed
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .filter(|(release, path)| *release >= OLDEST && path.join("bin/initdb").exists())
        .collect();
    releases.sort();
    let newest = releases.pop().map(|(_, path)| path.join("bin"));
    newest.or_else(on_path).with_context(|| {
        format!(
            "no PostgreSQL server from {OLDEST} on is installed. On Debian or Ubuntu: apt-get install postgresql; elsewhere \
             set HITSTREAM_PG_BIN to the folder that holds initdb and postgres"
        )
    })
}

fn on_path() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folder = std::env::split_paths(&path).find(|folder| holds_server(folder))?;
    std::path::absolute(folder).ok()
}

fn holds_server(folder: &Path) -> bool {
    folder.join("initdb").exists() && folder.join("postgres").exists()
}

/// A list of this one folder, as the server's setting has it.
fn listed(folder: &Path) -> OsString {
    let mut list = b"\"".to_vec();
    for byte in folder.as_os_str().as_bytes() {
        list.extend(if *byte == b'"' { &b"\"\""[..] } else { std::slice::from_ref(byte) });
    }
    list.push(b'"');
    OsString::from_vec(list)
}

/// A word as a shell takes it, in quotes where it needs them.
fn in_shell(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn odd_paths_are_quoted_for_a_shell() {
        assert_eq!(in_shell("/tmp/hitstream-demo-1/socket"), "/tmp/hitstream-demo-1/socket");
        for word in ["/a b", "/it's", "/$HOME", "/a\"b\\c", "/*", "/a;b", "~"] {
            let echo = format!("printf %s {}", in_shell(word));
            let echoed = Command::new("sh").args(["-c", &echo]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&echoed.stdout), word);
        }
    }

    #[test]
    fn list_of_folders_has_its_quotes_doubled() {
        assert_eq!(listed(Path::new("/a \"b\"")), r#""/a ""b""""#);
    }
}
