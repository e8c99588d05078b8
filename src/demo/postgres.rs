//! A PostgreSQL of the demo's own, from the system's binaries: reached through a socket in the demo's folder alone.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio_postgres::{Client, NoTls};

use super::child::Process;
use super::folder::is_root;

/// The oldest release with what hitstream needs.
const OLDEST: u32 = 15;
/// Where Debian and Ubuntu keep the servers, a folder for each release.
const DEBIAN: &str = "/usr/lib/postgresql";
/// The superuser of the cluster, and the account that root runs the server as.
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
    /// Makes a cluster in `folder` and starts its server; returns when it has its database.
    pub(super) fn start(folder: &Path) -> Result<Self> {
        let binaries = binaries()?;
        let (home, logs) = (folder.join("postgres"), folder);
        std::fs::create_dir(&home)?;
        if is_root() {
            // The server refuses to run as root; its account must reach its own part of the folder.
            run(Command::new("chown").args([ROLE, &text(&home)]))?;
            run(Command::new("chmod").args(["711", &text(folder)]))?;
        }
        let (data, socket) = (home.join("data"), home.join("socket"));
        let mut initdb = Command::new("setpriv");
        as_server(&mut initdb).arg(binaries.join("initdb")).arg("-D").arg(&data);
        initdb.args(["-U", ROLE, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
        run(initdb.current_dir("/"))?;
        run(as_server(&mut Command::new("setpriv")).args(["mkdir", "-m", "700", &text(&socket)]))?;
        // QUIT has it end its sessions and itself at once.
        let process = Process::start("postgres", "QUIT", logs, |server| {
            as_server(server).arg(binaries.join("postgres")).arg("-D").arg(&data);
            server.arg("-k").arg(&socket).args(["-c", "listen_addresses="]).current_dir("/");
        })?;
        let mut postgres = Self { process, socket };
        postgres.create_database()?;
        Ok(postgres)
    }

    /// How hitstream connects.
    pub(super) fn url(&self) -> String {
        let socket = text(&self.socket).replace('%', "%25").replace('/', "%2F");
        format!("postgres://{ROLE}@{socket}/{DATABASE}")
    }

    /// How a person looks inside.
    pub(super) fn psql(&self) -> String {
        format!("psql -h {} -U {ROLE} {DATABASE}", self.socket.display())
    }

    /// Fails when the server has ended.
    pub(super) fn must_live(&mut self) -> Result<()> {
        self.process.must_live()
    }

    /// Ends it in order.
    pub(super) fn stop(mut self) -> Result<()> {
        self.process.stop("INT", STOP_LIMIT).map(drop)
    }

    fn create_database(&mut self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let begin = Instant::now();
        loop {
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
                bail!("postgres does not answer: {error}\n{}", self.process.last_words());
            }
            std::thread::sleep(LOOK);
        }
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
            return Ok(folder);
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
    std::env::split_paths(&path).find(|folder| holds_server(folder))
}

fn holds_server(folder: &Path) -> bool {
    folder.join("initdb").exists() && folder.join("postgres").exists()
}

/// Continues a `setpriv` command line with the account of the server, where it must not be our own.
fn as_server(setpriv: &mut Command) -> &mut Command {
    if is_root() {
        setpriv.args(["--reuid", ROLE, "--regid", ROLE, "--init-groups"]);
    }
    setpriv.arg("--")
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?} cannot be run"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
