//! What the documents say to a newcomer: every command of the README works, every link leads somewhere.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::make;
use crate::support::Bench;
use crate::support::hit::Hit;
use crate::support::process::{Hitstream, wait_until};
use crate::support::scratch::Folder;
use crate::support::traffic::committed;

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path.as_ref()).unwrap_or_else(|e| panic!("{:?}: {e}", path.as_ref()))
}

/// The code blocks of a document in these languages.
pub(crate) fn blocks(text: &str, languages: &[&str]) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.trim_start().strip_prefix("```") else { continue };
        let block: Vec<&str> =
            lines.by_ref().take_while(|line| line.trim_start() != "```").collect();
        if languages.contains(&language) {
            blocks.push(block.join("\n"));
        }
    }
    blocks
}

/// The commands of the README, one by one, without comments and prompts.
fn commands() -> Vec<String> {
    let readme = read(root().join("README.md"));
    let mut commands = Vec::new();
    for block in blocks(&readme, &["sh"]) {
        commands.extend(block.lines().map(str::to_owned));
    }
    for block in blocks(&readme, &["console"]) {
        commands.extend(block.lines().filter_map(|line| Some(line.strip_prefix("$ ")?.to_owned())));
    }
    let bare = commands.iter().map(|line| line.split(" #").next().unwrap_or_default());
    bare.flat_map(|line| line.split("&&")).map(|command| command.trim().to_owned()).collect()
}

/// The commands of the README whose output it shows, with that output.
fn shown() -> Vec<(String, Vec<String>)> {
    let mut shown: Vec<(String, Vec<String>)> = Vec::new();
    for block in blocks(&read(root().join("README.md")), &["console"]) {
        for line in block.lines().filter(|line| !line.trim().is_empty()) {
            match (line.strip_prefix("$ "), shown.last_mut()) {
                (Some(command), _) => shown.push((command.to_owned(), Vec::new())),
                (None, Some((_, output))) => output.push(line.to_owned()),
                (None, None) => panic!("output of no command: {line}"),
            }
        }
    }
    shown
}

/// What a line is but for its numbers: these, with their units, and whether something is one or several.
fn shape(line: &str) -> String {
    let mut shape: Vec<&str> = Vec::new();
    for word in line.split_whitespace() {
        let is_unit =
            ["s", "ms", "m", "B", "KiB", "MiB", "GiB"].contains(&word.trim_end_matches(','));
        let is_number = is_unit || word.contains(|c: char| c.is_ascii_digit());
        let word = if is_number { "#" } else { word.trim_end_matches(['s', ',', ';']) };
        if word != "#" || shape.last() != Some(&"#") {
            shape.push(word);
        }
    }
    shape.join(" ")
}

/// Fails unless what a command has said is like what the README shows of it.
fn assert_as_shown(command: &str, said: &str, topic: &str) {
    let Some((_, shown)) = shown().into_iter().find(|(known, _)| known == command) else { return };
    let said: Vec<String> = said
        .replace(topic, "web_traffic_topic")
        .lines()
        .map(shape)
        .filter(|s| !s.is_empty())
        .collect();
    let is_state = command == "hitstream status";
    for line in &shown {
        // How many windows are open, and who holds them, is the moment's; headings are not.
        let is_heading = !line.contains(|c: char| c.is_ascii_digit());
        if !is_state || is_heading {
            assert!(said.contains(&shape(line)), "{command}: nothing like {line:?} in {said:#?}");
        }
    }
    if !is_state {
        let shown: Vec<String> = shown.iter().map(|line| shape(line)).collect();
        for line in &said {
            assert!(shown.contains(line), "{command}: the README has nothing like {line:?}");
        }
    }
}

/// Fails unless a query has the columns and as many rows as the README shows, and the same values where no clock decides.
fn assert_rows_as_shown(command: &str, bench: &Bench) {
    let sql = command.split('\'').nth(1).unwrap();
    let rows = bench.sql().query(sql, &[]).unwrap();
    assert!(!rows.is_empty(), "{command}");
    let (_, shown) = shown().into_iter().find(|(known, _)| known == command).unwrap();
    let cells = |line: &str| -> Vec<String> {
        line.split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let columns: Vec<&str> = rows[0].columns().iter().map(postgres::Column::name).collect();
    assert_eq!(cells(&shown[0]), columns, "{command}");
    // A heading, a line, and at the end how many there are.
    let table = &shown[2..shown.len() - 1];
    let count = format!("({} rows)", rows.len());
    assert_eq!((table.len(), shown.last()), (rows.len(), Some(&count)), "{command}");
    if columns.contains(&"window_start") {
        return;
    }
    let [group, hits] = columns[..] else { panic!("{command}: {columns:?}") };
    let texts = format!("SELECT q.{group}::text, q.{hits}::text FROM ({sql}) q");
    for (line, row) in table.iter().zip(bench.sql().query(&texts, &[]).unwrap()) {
        let told = cells(line);
        let found = [0, 1].map(|at| row.get::<_, Option<String>>(at).unwrap_or_default());
        assert_eq!(told[0], found[0], "{command}: {line}");
        // The hit of the test's own log is of no country.
        assert!(told[1] == found[1] || told[0].is_empty(), "{command}: {line}, not {found:?}");
    }
}

#[test]
fn every_command_of_the_readme_works() {
    let Some(bench) = Bench::new("readme") else { return };
    // So many keys take a build for tests long where others use the machine as well.
    let bench = bench.with("HITSTREAM_ACTORS__STALL_TIMEOUT", "5m");
    let folder = Folder::new();
    let log = folder.path("access.log");
    std::fs::write(&log, "192.0.2.1 - - [17/May/2024:10:05:03 +0000] \"GET / HTTP/1.1\" 200 5\n")
        .unwrap();
    let stream = folder.path("stream.env");
    std::fs::write(&stream, "IP_CODING_KEY=\n").unwrap();
    let mut ran = 0;
    for command in commands().iter().filter(|command| !command.is_empty()) {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words[..] {
            ["make", target, ..] => {
                assert!(make::is_covered(target), "no test of the Makefile covers {command}");
            }
            // The shell's own, which the test of `make services` runs.
            [".", "./.services.env"] | ["PATH=$(scripts/built.sh):$PATH"] => {}
            // tests/containers.sh runs it, with a stream.env of its own.
            ["cp", "stream.env.example", "stream.env"] => {
                assert!(root().join("stream.env.example").is_file(), "{command}");
            }
            [
                "docker",
                "compose",
                "--env-file",
                "stream.env",
                "--profile",
                "demo",
                "up",
                "--wait",
            ] => {}
            ["psql", ..] => {
                assert_rows_as_shown(command, &bench);
            }
            ["hitstream", "import", ref options @ .., last] => {
                assert!(last.starts_with('/'), "{command}");
                let arguments = [&["import"], options, &[log.to_str().unwrap()]].concat();
                bench.done(&arguments);
            }
            ["hitstream", ref arguments @ ..] => {
                let said = bench.done(arguments).stdout;
                assert_as_shown(command, &said, &bench.topic);
            }
            _ => panic!("no test runs this command of the README: {command}"),
        }
        ran += 1;
    }
    assert!(ran > 8, "{ran}");
    assert!(
        shown().iter().filter(|(_, output)| !output.is_empty()).count() > 6,
        "outputs are shown"
    );
    // What goes on for ever, and the former job's environment.
    bench.send(0, &[Hit::at(0).host("h").record()]);
    let all = crate::support::kafka::end(&bench.kafka_url, &bench.topic);
    let running = bench.hitstream(&["--env-file", stream.to_str().unwrap(), "run"]).start();
    wait_until("it counts", || committed(&bench) == all);
    running.stop();
}

#[test]
fn programs_are_found_wherever_cargo_puts_them() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    // A cargo that builds nothing, and says what the real one does.
    let cargo = folder.path("cargo");
    let said = r#"{"reason":"compiler-artifact","filenames":["/a b/x/release/deps/libh.rlib"],"executable":null}
{"reason":"compiler-artifact","filenames":["/a b/x/release/hitstream"],"executable":"/a b/x/release/hitstream","fresh":true}
{"reason":"build-finished","success":true}"#;
    std::fs::write(&cargo, format!("#!/bin/sh\ncat <<'END'\n{said}\nEND\n")).unwrap();
    std::fs::set_permissions(&cargo, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.path("").display(), std::env::var("PATH").unwrap());
    let mut built = std::process::Command::new(root().join("scripts/built.sh"));
    let built = built.env("PATH", path).env_remove("HITSTREAM_BUILT").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&built.stdout), "/a b/x/release\n", "{built:?}");
    // Nobody takes the usual place for granted.
    let scripts = std::fs::read_dir(root().join("scripts")).unwrap().flatten();
    let files = scripts.map(|entry| entry.path()).filter(|path| path.is_file());
    for file in files.chain(["Makefile", "README.md"].map(|name| root().join(name))) {
        assert!(!read(&file).contains("target/release"), "{}", file.display());
    }
}

#[test]
fn picture_of_the_demo_is_small_and_of_the_screen_there_is() {
    let picture = read(root().join("docs/demo.svg"));
    assert!(picture.len() < 60_000, "{}", picture.len());
    // Lines of the screen as its code has them; scripts/record-demo.py draws it anew.
    let screen = read(root().join("src/demo/words.rs"));
    for label in ["records", "lag", "frontier", "watermarks", "windows", "set aside", "busiest"] {
        let line = format!("  {label:<10}  ");
        assert!(screen.contains(&format!("\"{line}")), "the screen has no {label:?}");
        assert!(picture.contains(&format!(">{line}")), "the picture has no {label:?}");
    }
    assert!(picture.contains(">ok: nothing lost, nothing doubled<"));
}

#[test]
fn every_query_of_the_readme_works() {
    let Some(bench) = Bench::new("queries") else { return };
    bench.done(&["migrate"]);
    let queries = blocks(&read(root().join("README.md")), &["sql"]);
    assert!(!queries.is_empty());
    for query in queries {
        bench.sql().batch_execute(&query).unwrap_or_else(|error| panic!("{error}: {query}"));
    }
}

#[test]
fn every_measurement_tells_how_to_repeat_it() {
    let text = read(root().join("docs/BENCHMARKS.md"));
    for section in text.split("\n## ").skip(1) {
        let (title, body) = section.split_once('\n').unwrap();
        let is_told = !blocks(body, &["sh"]).is_empty() || body.contains("`make bench");
        assert!(is_told, "docs/BENCHMARKS.md, {title}: no command");
    }
}

#[test]
fn every_command_has_completions_and_a_manual_page() {
    for shell in ["bash", "zsh", "fish"] {
        let completions = Hitstream::new(&["completions", shell]).finish();
        assert_eq!(completions.code, Some(0), "{completions}");
        for word in ["generate", "--create-topic", "--until-end"] {
            let word = if shell == "fish" { word.trim_start_matches('-') } else { word };
            assert!(completions.stdout.contains(word), "{shell}: {word}");
        }
    }
    let whole = Hitstream::new(&["man"]).finish();
    assert!(whole.stdout.starts_with(".ie") && whole.stdout.contains(".TH hitstream"), "{whole}");
    let page = Hitstream::new(&["man", "run"]).finish();
    assert!(page.stdout.contains(".TH hitstream-run") && page.stdout.contains("until"), "{page}");
    for (page, head) in [(&whole, ".SH NOTES"), (&page, ".SH NOTES")] {
        assert!(page.stdout.contains(head) && !page.stdout.contains("EXTRA"), "{page}");
    }
    let zsh = Hitstream::new(&["completions", "zsh"]).finish();
    assert!(zsh.stdout.contains("(demo run import"), "commands after `man`: {zsh}");
    let synopsis = r"\fBhitstream run\fR [\fB\-\-until\-end\fR]";
    for (page, words) in [
        (&whole, r"[\fB\-\-config\fR \fIFILE\fR]"),
        (&whole, r"[\fICOMMAND\fR]"),
        (&page, synopsis),
    ] {
        assert!(page.stdout.contains(words), "no {words} in {page}");
    }
    let import = Hitstream::new(&["man", "import"]).finish();
    assert!(import.stdout.contains("[\\fB\\-\\-print\\-config\\fR] \\fIFILE\\fR...\n"), "{import}");
    let unknown = Hitstream::new(&["man", "rnu"]).finish();
    assert_eq!(unknown.code, Some(64), "{unknown}");
}

/// The anchors of a document, as they are made of its headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

/// The targets of links `[text](target)`.
fn links(text: &str) -> Vec<String> {
    let parts = text.split("](").skip(1);
    parts.filter_map(|part| Some(part.split_once(')')?.0.to_owned())).collect()
}

#[test]
fn words_that_makers_of_databases_ask_for_stand_in_the_readme() {
    let readme = read(root().join("README.md"));
    let geolocation = read(root().join("docs/ENRICHMENT.md"));
    for words in [
        "https://opendatacommons.org/licenses/pddl/1.0/",
        "<a href='https://db-ip.com'>IP Geolocation by DB-IP</a>",
        "This product includes GeoLite2 Data created by MaxMind, available from https://www.maxmind.com.",
    ] {
        assert!(readme.contains(words) && geolocation.contains(words), "{words}");
    }
}

#[test]
fn every_link_of_the_documents_leads_somewhere() {
    let mut documents = vec![root().join("README.md"), root().join("CHANGELOG.md")];
    let docs = std::fs::read_dir(root().join("docs")).unwrap().flatten();
    documents.extend(
        docs.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "md")),
    );
    let (mut checked, mut broken) = (0, Vec::new());
    for document in &documents {
        let text = read(document);
        for link in links(&text) {
            if link.starts_with("https://") {
                continue; // the network's, not ours
            }
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() {
                document.clone()
            } else {
                document.parent().unwrap().join(file)
            };
            let leads =
                target.exists() && (anchor.is_empty() || anchors(&read(&target)).contains(anchor));
            checked += 1;
            if !leads {
                broken.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(checked > 20, "{checked}");
    assert!(broken.is_empty(), "{broken:#?}");
}
