//! Which revision a build says it is of: in a checkout, in a worktree of it, without git, and as whoever builds it says.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::readme::root;
use crate::support::Bench;
use crate::support::http::{address, get};
use crate::support::process::Hitstream;
use crate::support::scratch::Folder;

#[path = "../build.rs"]
mod build;

/// What a build in this folder is told.
fn told(folder: &Path, given: Option<&str>) -> (String, Vec<String>) {
    let (mut revision, mut looked_at) = (None, Vec::new());
    for line in build::instructions(folder, given) {
        let (order, value) = line.strip_prefix("cargo:").unwrap().split_once('=').unwrap();
        match order {
            "rustc-env" => revision = value.strip_prefix("HITSTREAM_REVISION=").map(str::to_owned),
            "rerun-if-changed" => looked_at.push(value.to_owned()),
            order => assert_eq!((order, value), ("rerun-if-env-changed", "HITSTREAM_REVISION")),
        }
    }
    (revision.unwrap(), looked_at)
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut git = Command::new("git");
    git.current_dir(folder).args(["-c", "user.name=n", "-c", "user.email=e@example.com"]);
    let said = git.args(arguments).output().unwrap();
    assert!(said.status.success(), "git {arguments:?}: {said:?}");
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}

/// A checkout with one commit of something that a build reads.
fn checkout() -> (Folder, PathBuf) {
    let folder = Folder::new();
    let top = folder.path("top");
    std::fs::create_dir_all(top.join("src")).unwrap();
    std::fs::write(top.join("src/main.rs"), "fn main() {}\n").unwrap();
    git(&top, &["init", "-q", "-b", "main"]);
    commit(&top, "one");
    (folder, top)
}

fn commit(top: &Path, message: &str) {
    git(top, &["add", "-A"]);
    git(top, &["commit", "-q", "--allow-empty", "-m", message]);
}

#[test]
fn checkout_tells_its_commit_and_whether_it_was_changed() {
    let (_folder, top) = checkout();
    let commit = git(&top, &["rev-parse", "--short=12", "HEAD"]);
    assert_eq!(told(&top, None).0, commit);
    std::fs::write(top.join("notes"), "no build reads this").unwrap();
    assert_eq!(told(&top, None).0, commit);
    std::fs::write(top.join("src/main.rs"), "fn main() { }\n").unwrap();
    assert_eq!(told(&top, None).0, format!("{commit}-dirty"));
    git(&top, &["checkout", "-q", "src"]);
    std::fs::write(top.join("src/new.rs"), "").unwrap();
    assert_eq!(told(&top, None).0, format!("{commit}-dirty"), "a new file is a change as well");
    // Whoever builds it elsewhere from an archive knows better than git.
    assert_eq!(told(&top, Some(" v7\nbut not this")).0, "v7");
    assert_eq!(told(&top, Some(" ")).0, format!("{commit}-dirty"), "an empty one is none");
}

#[test]
fn revision_is_looked_for_again_when_another_commit_is_there_and_not_each_time() {
    let (folder, top) = checkout();
    let tree = folder.path("tree");
    git(&top, &["worktree", "add", "-q", "-b", "beside", tree.to_str().unwrap()]);
    for place in [&top, &tree] {
        // Until git puts the branch into a file with others, and after that.
        for is_packed in [false, true] {
            if is_packed {
                git(place, &["pack-refs", "--all"]);
            }
            let (revision, looked_at) = told(place, None);
            let of_git: Vec<PathBuf> = looked_at
                .iter()
                .filter(|path| path.contains(".git"))
                .map(|path| place.join(path))
                .collect();
            let seen = |paths: &[PathBuf]| -> Vec<Vec<u8>> {
                paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
            };
            let before = seen(&of_git);
            commit(place, "another");
            assert_ne!(seen(&of_git), before, "a commit changes none of {of_git:?}");
            assert_ne!(told(place, None).0, revision);
        }
    }
    assert!(
        told(&root(), None).1.iter().any(|path| path == "src"),
        "else it could say nothing of changes"
    );
}

#[test]
fn without_git_the_revision_is_unknown_or_as_it_is_given() {
    let folder = Folder::new();
    let bare = folder.path("bare");
    std::fs::create_dir(&bare).unwrap();
    let (revision, looked_at) = told(&bare, None);
    assert_eq!((revision.as_str(), looked_at), ("unknown", vec!["build.rs".to_owned()]));
    assert_eq!(told(&bare, Some("v7")).0, "v7");
    // An archive that lies in a checkout of something else is not of that.
    let (_other, top) = checkout();
    assert_eq!(told(&top.join("src"), None).0, "unknown");
}

#[test]
fn version_and_metrics_tell_the_revision() {
    let built_of = env!("HITSTREAM_REVISION");
    let version = Hitstream::new(&["--version"]).finish();
    let number = env!("CARGO_PKG_VERSION");
    match built_of {
        "unknown" => assert_eq!(version.stdout, format!("hitstream {number}\n")),
        revision => assert_eq!(version.stdout, format!("hitstream {number} ({revision})\n")),
    }
    let of_git = built_of.trim_end_matches("-dirty");
    let is_hash = of_git.len() == 12 && of_git.chars().all(|c| c.is_ascii_hexdigit());
    if root().join(".git").exists() && (is_hash || built_of == "unknown") {
        assert_eq!(of_git, git(&root(), &["rev-parse", "--short=12", "HEAD"]));
    }
    let Some(bench) = Bench::new("revision") else { return };
    bench.create_topic(1);
    let mut running = bench.hitstream(&["run"]).start();
    let at = address(&mut running);
    let told = format!("revision=\"{built_of}\",version=\"{number}\"");
    crate::support::process::wait_until("it is told", || {
        get(&at, "/metrics")
            .body
            .lines()
            .any(|line| line.starts_with("hitstream_build_info{") && line.contains(&told))
    });
    running.stop();
}
