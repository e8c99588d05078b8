//! The account that the server runs as: our own, or, where that is root's, which it refuses, one of its own.

use std::fs::{self, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::child::NO_SETPRIV;
use super::folder::{ANOTHER_PLACE, Folder};

/// What packages call that account.
const ACCOUNT: &str = "postgres";

/// Continues a `setpriv` command line with the account of the server, where it must not be our own.
pub(super) fn as_server(setpriv: &mut Command) -> &mut Command {
    if is_root() {
        setpriv.args(["--reuid", ACCOUNT, "--regid", ACCOUNT, "--init-groups"]);
    }
    setpriv.arg("--")
}

/// Makes the server's part of the folder, and sees whether its account can work there with these programs.
pub(super) fn prepare(folder: &Folder, binaries: &Path) -> Result<()> {
    let home = folder.server();
    // The socket is in it, and whoever reaches that is the superuser.
    let private = fs::DirBuilder::new().mode(0o700).create(&home);
    private.with_context(|| format!("{} cannot be made", home.display()))?;
    if !is_root() {
        return Ok(());
    }
    chown(&home, Some(number()?), None)?;
    // To pass through, not to look around.
    fs::set_permissions(folder.path(), Permissions::from_mode(0o711))?;
    if !may("-w", &home)? {
        let parent = folder.path().parent().unwrap_or(folder.path());
        bail!(
            "TMPDIR {} cannot be entered by the account {ACCOUNT}, which the server runs as where the demo is root's; \
             {ANOTHER_PLACE}",
            parent.display()
        );
    }
    let initdb = binaries.join("initdb");
    if !may("-x", &initdb)? {
        bail!(
            "{} cannot be run by the account {ACCOUNT}, which the server runs as where the demo is root's; set \
             HITSTREAM_PG_BIN to a folder that it may enter",
            initdb.display()
        );
    }
    Ok(())
}

/// The user who runs this.
fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// The account's number.
fn number() -> Result<u32> {
    let id = Command::new("id").args(["-u", ACCOUNT]).output().context("`id` cannot be run")?;
    let number = String::from_utf8_lossy(&id.stdout).trim().parse().ok();
    number.with_context(|| {
        format!(
            "there is no account {ACCOUNT}, which the server needs, for it refuses to run as root. On Debian or Ubuntu: \
             apt-get install postgresql; or run the demo as another user"
        )
    })
}

/// Asks `test` as that account.
fn may(what: &str, path: &Path) -> Result<bool> {
    let mut test = Command::new("setpriv");
    as_server(&mut test).args(["test", what]).arg(path).current_dir("/");
    let status = test.stdout(Stdio::null()).stderr(Stdio::null()).status();
    Ok(status.context(NO_SETPRIV)?.success())
}
