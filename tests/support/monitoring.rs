//! Prometheus and its tools, as `scripts/monitoring.sh` finds or fetches them.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::http::get;
use super::process::wait_until;
use super::scratch::Folder;
use super::skip;

pub(crate) const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/monitoring.sh");
/// What it answers where something cannot be had.
const UNAVAILABLE: i32 = 69;

/// Where a tool is; `None`, with a word, where it cannot be had.
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    let said = Command::new(SCRIPT).args(["tool", name]).output().unwrap();
    if said.status.code() == Some(UNAVAILABLE) {
        skip(String::from_utf8_lossy(&said.stderr).trim());
        return None;
    }
    assert!(said.status.success(), "{said:?}");
    Some(String::from_utf8(said.stdout).unwrap().trim().into())
}

/// An address where nobody listens yet.
fn free_address() -> String {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    free.local_addr().unwrap().to_string()
}

/// An Alertmanager with the project's configuration.
pub(crate) struct Alertmanager {
    child: Child,
    amtool: PathBuf,
    url: String,
    _folder: Folder,
}

impl Alertmanager {
    /// Starts one that is alone.
    pub(crate) fn start() -> Option<Self> {
        let amtool = tool("amtool")?;
        let folder = Folder::new();
        let address = free_address();
        let config = concat!(env!("CARGO_MANIFEST_DIR"), "/config/alertmanager/alertmanager.yml");
        let child = Command::new(SCRIPT)
            .arg("alertmanager")
            .arg(format!("--config.file={config}"))
            .arg(format!("--storage.path={}", folder.path("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--cluster.listen-address=")
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.path("log")).unwrap())
            .spawn()
            .unwrap();
        let url = format!("http://{address}");
        let mut alertmanager = Self { child, amtool, url, _folder: folder };
        let mut is_unavailable = false;
        wait_until("the Alertmanager is ready", || {
            let ended = alertmanager.child.try_wait().unwrap();
            let log = std::fs::read_to_string(alertmanager._folder.path("log")).unwrap();
            is_unavailable = ended.and_then(|ended| ended.code()) == Some(UNAVAILABLE);
            if is_unavailable {
                skip(log.trim());
                return true;
            }
            assert!(ended.is_none(), "{ended:?}: {log}");
            std::net::TcpStream::connect(&address).is_ok()
                && get(&address, "/-/ready").status == 200
        });
        (!is_unavailable).then_some(alertmanager)
    }

    /// Tells it of an alert that fires: its labels, as `name=value`.
    pub(crate) fn fire(&self, labels: &[&str]) {
        self.amtool(&[&["alert", "add"], labels].concat());
    }

    /// The alerts that it holds back, or those that it does not: `name label…` of each, in order.
    pub(crate) fn alerts(&self, state: &str) -> Vec<String> {
        let said = self.amtool(&["alert", "query", state, "-o", "json"]);
        let alerts: Vec<serde_json::Value> = serde_json::from_str(&said).unwrap();
        let words = |alert: &serde_json::Value| {
            let labels = alert["labels"].as_object().unwrap();
            let name = labels["alertname"].as_str().unwrap().to_owned();
            let others =
                labels.iter().filter(|(label, _)| *label != "alertname" && *label != "job");
            let others = others.map(|(_, value)| value.as_str().unwrap().to_owned());
            [name].into_iter().chain(others).collect::<Vec<_>>().join(" ")
        };
        let mut found: Vec<String> = alerts.iter().map(words).collect();
        found.sort();
        found
    }

    fn amtool(&self, arguments: &[&str]) -> String {
        let url = format!("--alertmanager.url={}", self.url);
        let said = Command::new(&self.amtool).arg(url).args(arguments).output().unwrap();
        assert!(said.status.success(), "{arguments:?}: {said:?}");
        String::from_utf8(said.stdout).unwrap()
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        // Where it has ended already there is nothing to do.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A Prometheus with the project's configuration and rules, for some instances.
pub(crate) struct Prometheus {
    child: Child,
    address: String,
    _folder: Folder,
}

impl Prometheus {
    /// Starts one that looks at each of `targets` every second.
    pub(crate) fn start(targets: &[&str]) -> Option<Self> {
        let program = tool("prometheus")?;
        let folder = Folder::new();
        let config = concat!(env!("CARGO_MANIFEST_DIR"), "/config/prometheus");
        let text = std::fs::read_to_string(format!("{config}/prometheus.yml")).unwrap();
        let instances = "dns_sd_configs:
      - names: [hitstream]
        type: A
        port: 8080
        refresh_interval: 5s
";
        let quoted: Vec<String> = targets.iter().map(|target| format!("{target:?}")).collect();
        let targets = format!("static_configs: [{{targets: [{}]}}]\n", quoted.join(", "));
        let mine = [
            (instances, targets.as_str()),
            ("rules/*.yml", &format!("{config}/rules/*.yml")),
            ("scrape_interval: 5s", "scrape_interval: 1s"),
            ("scrape_timeout: 4s", "scrape_timeout: 1s"),
            ("evaluation_interval: 15s", "evaluation_interval: 1s"),
            // Nobody listens there.
            ("alertmanager:9093", "127.0.0.1:9"),
        ];
        let text = mine.iter().fold(text, |text, (from, to)| {
            assert!(text.contains(from), "no {from} in prometheus.yml");
            text.replace(from, to)
        });
        let file = folder.path("prometheus.yml");
        std::fs::write(&file, text).unwrap();
        let address = free_address();
        let child = Command::new(program)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.path("log")).unwrap())
            .spawn()
            .unwrap();
        let mut prometheus = Self { child, address, _folder: folder };
        wait_until("Prometheus is ready", || {
            let ended = prometheus.child.try_wait().unwrap();
            let log = || std::fs::read_to_string(prometheus._folder.path("log"));
            assert!(ended.is_none(), "{ended:?}: {:?}", log());
            std::net::TcpStream::connect(&prometheus.address).is_ok()
                && get(&prometheus.address, "/-/ready").status == 200
        });
        Some(prometheus)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // Where it has ended already there is nothing to do.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
