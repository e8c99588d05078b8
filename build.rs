//! Tells the program which revision it is built of, as the variable `HITSTREAM_REVISION` of its compilation.
//!
//! The variable of that name in the environment decides. Without it git is asked, where this folder is a checkout of its
//! own; elsewhere, such as in a source archive, the revision is `unknown`. Only this package is compiled anew after a
//! commit: the other crates do not know the revision.

use std::path::Path;
use std::process::Command;

const VARIABLE: &str = "HITSTREAM_REVISION";
/// What a build reads; a change to anything else makes no other program.
const SOURCES: [&str; 11] = [
    "Cargo.lock",
    "Cargo.toml",
    "build.rs",
    "src",
    "actors/Cargo.toml",
    "actors/data",
    "actors/src",
    "config/hitstream.toml",
    "config/migrations",
    "domain/Cargo.toml",
    "domain/src",
];

#[allow(dead_code, reason = "tests take this file in for the rest of it")]
fn main() {
    let given = std::env::var(VARIABLE).ok();
    for line in instructions(Path::new("."), given.as_deref()) {
        println!("{line}");
    }
}

/// What cargo has to know: the revision, and what it depends on.
pub(crate) fn instructions(folder: &Path, given: Option<&str>) -> Vec<String> {
    let mut lines = vec![format!("cargo:rerun-if-env-changed={VARIABLE}")];
    // With this line alone cargo does not look at the files of the package.
    lines.push("cargo:rerun-if-changed=build.rs".to_owned());
    let given = given.map(str::trim).filter(|given| !given.is_empty());
    let revision = given.map(str::to_owned).or_else(|| {
        let git = Git::of(folder)?;
        lines.extend(git.moved_by().iter().map(|path| format!("cargo:rerun-if-changed={path}")));
        lines.extend(SOURCES.map(|path| format!("cargo:rerun-if-changed={path}")));
        git.revision()
    });
    // A line break would begin another instruction.
    let revision = revision.as_deref().and_then(|text| text.lines().next()).unwrap_or("unknown");
    lines.push(format!("cargo:rustc-env={VARIABLE}={revision}"));
    lines
}

/// A checkout.
struct Git<'a>(&'a Path);

impl<'a> Git<'a> {
    /// `None` where the folder is no checkout, or only lies in that of something else.
    fn of(folder: &'a Path) -> Option<Self> {
        let top = Self(folder).says(&["rev-parse", "--show-toplevel"])?;
        let is_its_own = Path::new(&top).canonicalize().ok()? == folder.canonicalize().ok()?;
        is_its_own.then_some(Self(folder))
    }

    /// The commit, and whether something was changed since.
    fn revision(&self) -> Option<String> {
        let commit = self.says(&["rev-parse", "--short=12", "HEAD"])?;
        let changes = self.says(&[&["status", "--porcelain", "--"], &SOURCES[..]].concat())?;
        Some(if changes.is_empty() { commit } else { commit + "-dirty" })
    }

    /// The files that change when another commit is checked out or made. Those of a worktree lie elsewhere.
    fn moved_by(&self) -> Vec<String> {
        let branch = self.says(&["symbolic-ref", "--quiet", "HEAD"]);
        let mut names = vec!["HEAD", "packed-refs"];
        names.extend(branch.as_deref());
        let paths = names.iter().filter_map(|name| self.says(&["rev-parse", "--git-path", name]));
        // What is not there would make cargo run this each time; a branch that is only packed is noticed by its log.
        let log = self.says(&["rev-parse", "--git-path", "logs/HEAD"]);
        paths.chain(log).filter(|path| self.0.join(path).exists()).collect()
    }

    fn says(&self, arguments: &[&str]) -> Option<String> {
        // Only looks: taking the lock of the index could fail what somebody else does.
        let mut git = Command::new("git");
        let said = git.arg("--no-optional-locks").args(arguments).current_dir(self.0).output();
        let said = said.ok().filter(|said| said.status.success())?;
        Some(String::from_utf8(said.stdout).ok()?.trim().to_owned())
    }
}
