//! Where a demo keeps data and logs until it ends.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

const PREFIX: &str = "hitstream-demo-";
/// Longest path of a socket that the kernel takes: `sun_path` less the byte that ends it.
const SOCKET_PATH_BYTES: usize = 107;
/// What PostgreSQL calls its socket.
const SOCKET: &str = ".s.PGSQL.5432";
/// What to do about a place that will not do.
pub(super) const ANOTHER_PLACE: &str = "set TMPDIR to another place, such as /tmp";

/// A folder for this user only; it is removed when dropped.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes one, and removes those of demos that were killed.
    pub(super) fn make() -> Result<Self> {
        let parent = parent()?;
        let path = parent.join(format!("{PREFIX}{}", std::process::id()));
        check_sockets(&parent, &sockets(&path))?;
        remove_orphans(&parent);
        if let Err(error) = fs::DirBuilder::new().mode(0o700).create(&path) {
            bail!("no folder can be made in TMPDIR {}: {error}; {ANOTHER_PLACE}", parent.display());
        }
        Ok(Self(path))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// What belongs to the server, whatever its account.
    pub(super) fn server(&self) -> PathBuf {
        server(&self.0)
    }

    /// Where the server has its socket.
    pub(super) fn sockets(&self) -> PathBuf {
        sockets(&self.0)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(folder = %self.0.display(), %error, "the demo's folder is left behind");
        }
    }
}

fn server(folder: &Path) -> PathBuf {
    folder.join("postgres")
}

fn sockets(folder: &Path) -> PathBuf {
    server(folder).join("socket")
}

/// The folder for temporary files, from the root on: the server is started elsewhere.
fn parent() -> Result<PathBuf> {
    let named = std::env::temp_dir();
    match std::path::absolute(&named) {
        Ok(parent) => Ok(parent),
        Err(error) => bail!("TMPDIR {} leads nowhere: {error}; {ANOTHER_PLACE}", named.display()),
    }
}

/// Judges the place of the socket before anything is made.
fn check_sockets(parent: &Path, sockets: &Path) -> Result<()> {
    let bytes = sockets.join(SOCKET).as_os_str().len();
    if bytes > SOCKET_PATH_BYTES {
        bail!(
            "TMPDIR {} is too long: the path of the demo's socket would have {bytes} bytes, and {SOCKET_PATH_BYTES} are the \
             most that the system takes; {ANOTHER_PLACE}",
            parent.display()
        );
    }
    // Clients split what names their hosts at commas, and initdb takes no line breaks.
    let is_odd = |byte: &u8| *byte == b',' || byte.is_ascii_control();
    if parent.as_os_str().as_bytes().iter().any(is_odd) {
        bail!(
            "TMPDIR {parent:?} has a comma or a control character, which PostgreSQL's programs do not take; {ANOTHER_PLACE}"
        );
    }
    Ok(())
}

fn remove_orphans(parent: &Path) {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        let is_orphan = process
            .and_then(|process| process.parse::<u32>().ok())
            .is_some_and(|process| !Path::new(&format!("/proc/{process}")).exists());
        if is_orphan {
            // Another user's stays.
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socket_of_107_bytes_is_the_longest() {
        let check = |bytes: usize| {
            let parent = PathBuf::from(format!("/{}", "a".repeat(bytes)));
            check_sockets(&parent, &parent)
        };
        // A slash before, and one more between.
        let most = SOCKET_PATH_BYTES - SOCKET.len() - 2;
        check(most).unwrap();
        let error = check(most + 1).unwrap_err().to_string();
        assert!(error.contains("would have 108 bytes"), "{error}");
    }

    #[test]
    fn places_that_postgres_does_not_take_are_refused() {
        for odd in ["/a,b", "/a\nb"] {
            assert!(check_sockets(Path::new(odd), Path::new(odd)).is_err(), "{odd:?}");
        }
        let fine = Path::new("/it's a \"place\"");
        check_sockets(fine, fine).unwrap();
    }
}
