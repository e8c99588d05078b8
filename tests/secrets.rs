//! Secrets from files, named by variables with `_FILE` at their end.

use std::fs;

use crate::support::Bench;
use crate::support::process::{Finished, Hitstream};
use crate::support::scratch::Folder;

/// A password that no answer may show.
const CANARY: &str = "s3cr3t-canary";

/// Every variable that may name a file with a secret, and the key it sets.
const VARIABLES: &[(&str, &str)] = &[
    ("POSTGRES_PASSWORD_FILE", "postgres.password"),
    ("HITSTREAM_POSTGRES__PASSWORD_FILE", "postgres.password"),
    ("IP_CODING_KEY_FILE", "enrich.ip2location.key"),
    ("HITSTREAM_ENRICH__IP2LOCATION__KEY_FILE", "enrich.ip2location.key"),
    ("HITSTREAM_HTTP__TOKEN_FILE", "http.token"),
    ("HITSTREAM_KAFKA__PROPERTIES__SASL_PASSWORD_FILE", "kafka.properties.sasl.password"),
];

fn printed(variables: &[(&str, &str)]) -> Finished {
    let mut command = Hitstream::new(&["--print-config"]);
    for (name, value) in variables {
        command.env(name, value);
    }
    command.finish()
}

#[test]
fn secret_in_a_file_is_taken_and_never_shown() {
    let folder = Folder::new();
    let file = folder.path("secret").to_str().unwrap().to_owned();
    // The token has to be long enough.
    fs::write(&file, format!("{CANARY}-and-more\n")).unwrap();
    for (variable, key) in VARIABLES {
        let printed = printed(&[(variable, &file)]);
        assert_eq!(printed.code, Some(0), "{variable}: {printed}");
        let name = key.strip_prefix("kafka.properties.").unwrap_or(key.rsplit('.').next().unwrap());
        let line = format!("= \"***\"  # variable {variable}, file {file}");
        assert!(
            printed.stdout.lines().any(|said| said.contains(name) && said.ends_with(&line)),
            "{variable}: {printed}"
        );
        assert!(!printed.to_string().contains(CANARY), "{printed}");
    }
    let url = folder.path("url").to_str().unwrap().to_owned();
    fs::write(&url, format!("postgres://me:{CANARY}@h/x\n")).unwrap();
    let printed = printed(&[("POSTGRES_URL_FILE", &url)]);
    assert!(printed.stdout.contains("url = \"postgres://***@h/x\""), "{printed}");
    assert!(!printed.to_string().contains(CANARY), "{printed}");
}

#[test]
fn file_that_holds_no_secret_is_named_with_its_variable() {
    let folder = Folder::new();
    let file = folder.path("secret").to_str().unwrap().to_owned();
    fs::write(&file, "\n").unwrap();
    let place = folder.path("").to_str().unwrap().to_owned();
    for (variable, key) in VARIABLES {
        for (value, reason) in [
            ("/nowhere/absent", "file /nowhere/absent cannot be read: No such file or directory"),
            (file.as_str(), "is empty"),
            (place.as_str(), "cannot be read: Is a directory"),
            // Somebody has put the secret itself there.
            (CANARY, "the file that it names cannot be read"),
        ] {
            let refused = printed(&[(variable, value)]);
            assert_eq!(refused.code, Some(64), "{variable}: {refused}");
            for word in [&format!("{key} (variable {variable}): "), reason, "leave"] {
                assert!(refused.stderr.contains(word), "{variable}: no {word:?} in {refused}");
            }
            assert!(!refused.to_string().contains(CANARY), "{refused}");
        }
        let plain = variable.strip_suffix("_FILE").unwrap();
        let both = printed(&[(variable, &file), (plain, CANARY)]);
        assert_eq!(both.code, Some(64), "{variable}: {both}");
        let said = format!("{key} (variable {variable}): {plain} is set as well; leave one");
        assert!(both.stderr.contains(&said), "{both}");
        assert!(!both.to_string().contains(CANARY), "{both}");
    }
    let empty = printed(&[("POSTGRES_PASSWORD_FILE", "")]);
    assert_eq!(empty.code, Some(0), "{empty}");
}

#[test]
fn password_in_a_file_connects() {
    let Some(mut bench) = Bench::new("secret_file") else { return };
    bench.create_topic(1);
    let url = bench.database_url();
    let (role, rest) = url.strip_prefix("postgres://").unwrap().split_once(':').unwrap();
    let (password, place) = rest.split_once('@').unwrap();
    let folder = Folder::new();
    let file = folder.path("password").to_str().unwrap().to_owned();
    bench.set("POSTGRES_URL", format!("postgres://{role}@{place}"));
    bench.set("POSTGRES_PASSWORD_FILE", &file);
    for end in ["", "\n", "\r\n"] {
        fs::write(&file, format!("{password}{end}")).unwrap();
        bench.run_until_end();
    }
    fs::write(&file, CANARY).unwrap();
    let refused = bench.hitstream(&["run"]).finish();
    assert_eq!(refused.code, Some(69), "{refused}");
    assert!(refused.stderr.contains("password authentication failed"), "{refused}");
}
