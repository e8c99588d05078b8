//! The Makefile: each target is run, or else looked at, with the reason why it is not run.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::readme::{blocks, read, root};
use crate::support::Bench;
use crate::support::scratch::Folder;

/// Targets that a test of this file runs.
const RUN: &[&str] = &["help", "demo", "services", "services-status", "services-stop"];

/// Targets of which only the recipe and the scripts behind it are looked at, and why.
const LOOKED_AT: &[(&str, &str)] = &[
    ("build", "compiles for minutes"),
    ("test", "is what runs this test"),
    ("ci", "runs `make test`"),
    ("lint", "compiles everything once more; CI runs it beside the tests"),
    ("doc", "compiles everything once more; CI runs it beside the tests"),
    ("deny", "may need the network; CI runs it beside the tests"),
    ("golden", "compiles, for itself alone; a test of hitstream-domain compares the same values"),
    ("bench", "compiles for minutes, and measures nothing beside tests that run"),
    ("bench-spark", "takes twenty minutes"),
    ("bench-domain", "compiles for minutes, and measures nothing beside tests that run"),
    ("monitoring", "may need the network; CI runs it beside the tests"),
    ("deployment", "may need the network; CI runs it beside the tests"),
    ("containers", "compiles for minutes, and wants root and the network"),
    ("clean", "removes what was built, this test as well"),
];

/// Whether a test of this file runs the target or looks at it.
pub(crate) fn is_covered(target: &str) -> bool {
    RUN.contains(&target) || LOOKED_AT.iter().any(|(looked_at, _)| *looked_at == target)
}

/// The repository as a checkout of its own, of links: what targets leave behind is in it alone.
struct Checkout(Folder);

impl Checkout {
    fn new() -> Self {
        let folder = Folder::new();
        for entry in std::fs::read_dir(root()).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            if name != "target" && name != ".git" && !name.starts_with(".services") {
                std::os::unix::fs::symlink(entry.path(), folder.path(&name)).unwrap();
            }
        }
        Self(folder)
    }

    /// Runs lines of a shell in it, with the programs that are built already, and no services from outside.
    fn shell(&self, lines: &str) -> Output {
        let built = Path::new(env!("CARGO_BIN_EXE_hitstream")).parent().unwrap();
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", lines]).current_dir(self.0.path(""));
        let outer = ["KAFKA_", "POSTGRES_", "MAKE", "MFLAGS", "HITSTREAM_SERVICES_DIR"];
        for (name, _) in
            std::env::vars().filter(|(name, _)| outer.iter().any(|o| name.starts_with(o)))
        {
            bash.env_remove(name);
        }
        bash.env("HITSTREAM_BUILT", built).output().unwrap()
    }

    /// What lines that must end well say.
    fn says(&self, lines: &str) -> String {
        let output = self.shell(lines);
        assert!(output.status.success(), "{lines}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        // Where none were started it does nothing.
        drop(self.shell("scripts/services.sh stop"));
    }
}

/// The targets of the Makefile.
fn targets() -> BTreeSet<String> {
    let makefile = read(root().join("Makefile"));
    let heads = makefile.lines().filter_map(|line| line.split_once(':'));
    let is_target = |name: &str| name.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    heads.map(|(name, _)| name.to_owned()).filter(|name| is_target(name)).collect()
}

#[test]
fn every_target_is_listed_and_covered() {
    let listed = Checkout::new().says("make");
    for target in targets() {
        assert!(listed.contains(&format!("  make {target} ")), "{target} is not in {listed}");
        assert!(is_covered(&target), "no test runs {target} or looks at it");
    }
    // Those of the README that stand within its text.
    let readme = read(root().join("README.md"));
    let named = readme.split('`').filter_map(|code| code.strip_prefix("make "));
    let named: Vec<&str> = named.filter_map(|code| code.split_whitespace().next()).collect();
    assert!(named.len() > 5, "{named:?}");
    for target in named {
        assert!(targets().contains(target), "the README has `make {target}`");
    }
}

#[test]
fn recipes_that_are_not_run_name_scripts_that_say_what_they_do() {
    let checkout = Checkout::new();
    let mut scripts = BTreeSet::new();
    for (target, why) in LOOKED_AT {
        let recipe = checkout.says(&format!("make --no-print-directory -n {target}"));
        assert!(!recipe.trim().is_empty(), "{target}, which {why}, does nothing");
        for word in recipe.split_whitespace() {
            if ["scripts/", ".ci/", "tests/"].iter().any(|folder| word.starts_with(folder)) {
                scripts.insert(word.to_owned());
            }
        }
    }
    assert!(scripts.contains("scripts/test.sh") && scripts.contains(".ci/run"), "{scripts:?}");
    scripts
        .extend(["scripts/setup.sh", "scripts/built.sh", "scripts/failures.sh"].map(str::to_owned));
    for script in scripts {
        let mode = std::fs::metadata(root().join(&script)).unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{script} cannot be run");
        let help = checkout.says(&format!("{script} --help"));
        let is_prose = help.starts_with(char::is_uppercase) && !help.contains("set -");
        assert!(is_prose, "{script} --help: {help}");
    }
}

#[test]
fn scripts_refuse_what_they_do_not_know() {
    let checkout = Checkout::new();
    for (line, code, says) in [
        ("scripts/services.sh nonsense", 64, "scripts/services.sh start"),
        ("scripts/services.sh start nonsense", 1, "'nonsense' is no service: kafka or postgres"),
        ("scripts/setup.sh nonsense", 64, "'nonsense' is nothing this script knows"),
        ("HITSTREAM_BUILT=/absent scripts/built.sh", 1, "HITSTREAM_BUILT is /absent"),
        (
            "HITSTREAM_BUILT=/bin scripts/built.sh -p sh -p hitstream-bench",
            1,
            "no program hitstream-bench",
        ),
        ("scripts/failures.sh", 64, "has to be named: scripts/failures.sh LOG"),
        ("scripts/deployment.sh nonsense", 64, "scripts/deployment.sh check"),
        ("tests/containers.sh nonsense", 64, "tests/containers.sh --official"),
        ("make nonsense", 2, "nonsense"),
    ] {
        let output = checkout.shell(line);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{line}: {said}");
        assert!(said.contains(says), "{line}: {said}");
    }
}

#[test]
fn failures_are_told_once_more_without_backtraces() {
    let checkout = Checkout::new();
    let said = "what it said\n".repeat(20);
    let log = format!(
        "test a::b ... FAILED\n\nfailures:\n\n---- a::b stdout ----\n\nbefore it\nthread 'a::b' (7) panicked at tests/a.rs:1:2:\n\
         {said}\n  left: 2\n right: 1\nstack backtrace:\n   0: core::panicking\n             at ./library/core.rs:80:14\n\
         note: Some details\n\n\nfailures:\n    a::b\n"
    );
    std::fs::write(checkout.0.path("log"), log).unwrap();
    let told = checkout.says("scripts/failures.sh log");
    let (first, last) = (
        "why a::b failed:\n    thread 'a::b' (7) panicked at tests/a.rs:1:2:\n    what it said\n",
        "    what it said\n      left: 2\n     right: 1\n",
    );
    assert!(told.starts_with(first) && told.ends_with(last), "{told}");
    assert_eq!(
        (told.matches("what it said").count(), told.matches("[…]").count()),
        (11, 1),
        "{told}"
    );
    std::fs::write(checkout.0.path("log"), "test a::b ... ok\n").unwrap();
    assert_eq!(checkout.says("scripts/failures.sh log"), "");
}

#[test]
fn demo_of_the_readme_runs() {
    let line = r#"make demo ARGS="--duration 30s --rate 20000""#;
    assert!(read(root().join("README.md")).contains(line));
    // Shorter, and less: the tests beside it need the machine.
    let line = line.replace("30s", "2s").replace("20000", "500");
    let said = Checkout::new().says(&line);
    assert!(said.starts_with("ok: nothing lost, nothing doubled\n"), "{said}");
}

#[test]
fn services_of_the_readme_start_answer_and_stop() {
    // Where there are none for the others, these may not be had either.
    if Bench::new("make").is_none() {
        return;
    }
    let readme = blocks(&read(root().join("README.md")), &["sh"]);
    let lines = readme.iter().find(|block| block.contains("make services &&")).unwrap();
    let checkout = Checkout::new();
    // Its own lines, with a build that is only looked at.
    let said = checkout.says(&format!(
        r#"make() {{ if [[ $1 == build ]]; then set -- -n build; fi; command make --no-print-directory "$@"; }}
{lines}
command -v hitstream
echo "$KAFKA_URL $POSTGRES_URL"
hitstream check || test $? = 64 # there is no topic yet
make services-status
make services-stop
if make services-status; then exit 1; fi
test ! -e .services.env && test ! -e .services"#
    ));
    assert!(said.contains(env!("CARGO_BIN_EXE_hitstream")), "{said}");
    assert_eq!(said.matches("answers on 127.0.0.1:").count(), 2, "{said}");
    assert_eq!(said.matches("stopped, data removed").count(), 2, "{said}");
    assert_eq!(said.matches("not started").count(), 2, "{said}");
    assert!(said.contains("kafka       ok") && said.contains("postgres    ok"), "{said}");
}
