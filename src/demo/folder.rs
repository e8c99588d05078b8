//! Where a demo keeps data and logs until it ends.

use std::fs::{self, File, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
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
///
/// A lock on the folder says that its demo lives: the kernel lets go of it however that ends. The number of a process
/// would say nothing, for in containers that share a place different processes have the same one.
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes one, and removes those of demos that were killed.
    pub(super) fn make() -> Result<Self> {
        Self::make_in(&parent()?)
    }

    fn make_in(parent: &Path) -> Result<Self> {
        check_sockets(parent, &sockets(&parent.join(name())))?;
        remove_orphans(parent);
        loop {
            let path = parent.join(name());
            match make_locked(&path) {
                Ok(Some(lock)) => return Ok(Self { path, _lock: lock }),
                Ok(None) => {}
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => bail!(
                    "no folder can be made in TMPDIR {}: {error}; {ANOTHER_PLACE}",
                    parent.display()
                ),
            }
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What belongs to the server, whatever its account.
    pub(super) fn server(&self) -> PathBuf {
        server(&self.path)
    }

    /// Where the server has its socket.
    pub(super) fn sockets(&self) -> PathBuf {
        sockets(&self.path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(folder = %self.path.display(), %error, "the demo's folder is left behind");
        }
    }
}

/// A name that no other demo is likely to have; always of the same length.
fn name() -> String {
    // The keys of hash maps are random, and there is no other use for randomness here.
    format!("{PREFIX}{:08x}", RandomState::new().hash_one(0) >> 32)
}

/// Makes a folder and takes its lock; `None` where another demo, which saw it without, has just removed it.
fn make_locked(path: &Path) -> io::Result<Option<File>> {
    fs::DirBuilder::new().mode(0o700).create(path)?;
    let folder = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    match folder.try_lock() {
        Err(TryLockError::WouldBlock) => return Ok(None),
        // In a place without locks nobody gets one, and so nobody removes anything.
        Err(TryLockError::Error(_)) | Ok(()) => {}
    }
    let is_same = fs::metadata(path).is_ok_and(|there| {
        folder.metadata().is_ok_and(|held| (there.dev(), there.ino()) == (held.dev(), held.ino()))
    });
    Ok(is_same.then_some(folder))
}

fn server(folder: &Path) -> PathBuf {
    folder.join("postgres")
}

fn sockets(folder: &Path) -> PathBuf {
    // Not one below: its path is for people to type.
    server(folder)
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

/// Removes the folders that nobody has a lock on.
fn remove_orphans(parent: &Path) {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    for entry in entries {
        let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        if !is_ours || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        // Another user's cannot be opened or removed, and stays.
        let Ok(folder) = File::open(entry.path()) else { continue };
        if folder.try_lock().is_ok() {
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

    /// A place of a test's own; the tests' names keep them apart.
    fn place(test: &str) -> PathBuf {
        let place = std::env::temp_dir().join(format!("hs-{test}-{}", std::process::id()));
        fs::create_dir(&place).unwrap();
        place
    }

    #[test]
    fn demo_keeps_its_folder_from_others_as_long_as_it_lives() {
        let parent = place("lock");
        // Of a process that is not to be seen from here, and of one that has our number.
        for process in [u32::MAX, std::process::id()] {
            fs::create_dir(parent.join(format!("{PREFIX}{process}"))).unwrap();
        }
        let first = Folder::make_in(&parent).unwrap();
        fs::write(first.path().join("file"), "").unwrap();
        let second = Folder::make_in(&parent).unwrap();
        assert!(first.path().join("file").exists());
        assert_eq!(fs::read_dir(&parent).unwrap().count(), 2, "the others are orphans");
        drop((first, second));
        fs::remove_dir(&parent).unwrap();
    }

    #[test]
    fn other_things_of_that_name_stay() {
        let parent = place("other");
        fs::write(parent.join(format!("{PREFIX}file")), "").unwrap();
        std::os::unix::fs::symlink("/", parent.join(format!("{PREFIX}link"))).unwrap();
        drop(Folder::make_in(&parent).unwrap());
        assert_eq!(fs::read_dir(&parent).unwrap().count(), 2);
        fs::remove_dir_all(&parent).unwrap();
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
