//! The database as enrichers share it: replaced as a whole when its file is, while lookups go on in the old one.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tracing::{info, warn};

use super::{Database, DatabaseError, Stamp};
use crate::metrics::{DatabaseLoad, Metrics};

/// What a look at the file came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// The file is as it was, or there is none to look at.
    Unchanged,
    /// A new one is in use.
    Replaced,
    /// The new one cannot be used, or the file is gone: the old one stays in use. Said and counted once for each change.
    Refused,
}

/// One database for all enrichers.
#[derive(Debug)]
pub struct DatabaseHandle {
    current: RwLock<Arc<Database>>,
    /// Where it is from; `None` for the embedded one, which never changes.
    file: Option<WatchedFile>,
    metrics: Metrics,
}

#[derive(Debug)]
struct WatchedFile {
    path: PathBuf,
    /// Held through a refresh, so that two of them do not read the file at once.
    seen: Mutex<Seen>,
}

/// The file as it was last looked at.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// `None` while it cannot be looked at.
    stamp: Option<Stamp>,
    /// Whether it was loaded or found unfit. What could not be read may be readable later, as it is.
    judged: bool,
}

impl DatabaseHandle {
    /// The embedded database.
    ///
    /// # Errors
    /// As [`Database::embedded`].
    pub fn embedded(metrics: Metrics) -> Result<Self, DatabaseError> {
        let current = RwLock::new(Arc::new(Database::embedded()?));
        Ok(Self { current, file: None, metrics })
    }

    /// A file, which has to be usable now and may be replaced later.
    ///
    /// # Errors
    /// As [`Database::open`].
    pub fn open(path: &Path, metrics: Metrics) -> Result<Self, DatabaseError> {
        let (database, stamp) = Database::open_stamped(path)?;
        metrics.database_loads(DatabaseLoad::Loaded).inc();
        say_loaded(path, &database);
        Ok(Self {
            current: RwLock::new(Arc::new(database)),
            file: Some(WatchedFile {
                path: path.to_owned(),
                seen: Mutex::new(Seen { stamp: Some(stamp), judged: true }),
            }),
            metrics,
        })
    }

    /// The database in use. Take it anew for each batch of events, and let it go after that: while it is held, one that
    /// was replaced stays in memory.
    pub fn current(&self) -> Arc<Database> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks whether the file was replaced, and if so loads it. That reads a whole file, so call it now and then from a
    /// thread that may block; nobody who looks addresses up waits for it.
    pub fn refresh(&self) -> Refreshed {
        let Some(file) = &self.file else { return Refreshed::Unchanged };
        let mut seen = file.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // Through links, which is how some tools replace a database.
        let stamp = std::fs::metadata(&file.path).ok().map(|metadata| Stamp::of(&metadata));
        let changed = stamp != seen.stamp;
        if !changed && (seen.judged || stamp.is_none()) {
            return Refreshed::Unchanged;
        }
        match Database::open_stamped(&file.path) {
            Ok((database, stamp)) => {
                *seen = Seen { stamp: Some(stamp), judged: true };
                self.metrics.database_loads(DatabaseLoad::Loaded).inc();
                say_loaded(&file.path, &database);
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(database);
                Refreshed::Replaced
            }
            Err(error) => {
                let outcome = outcome_of(&error);
                *seen = Seen { stamp, judged: outcome != DatabaseLoad::Unreadable };
                if changed {
                    self.metrics.database_loads(outcome).inc();
                    warn!(%error, "the geolocation database stays the one that was loaded before");
                }
                Refreshed::Refused
            }
        }
    }
}

fn outcome_of(error: &DatabaseError) -> DatabaseLoad {
    match error {
        DatabaseError::Unreadable { .. } => DatabaseLoad::Unreadable,
        DatabaseError::Changing { .. } => DatabaseLoad::Changing,
        DatabaseError::Broken { .. } => DatabaseLoad::Broken,
    }
}

fn say_loaded(path: &Path, database: &Database) {
    info!(path = %path.display(), kind = database.kind(), built_at = database.built_at(), "geolocation database loaded");
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::net::IpAddr;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::super::fixture::{Fixture, Value};
    use super::*;

    /// A folder that goes with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            static NUMBER: AtomicU64 = AtomicU64::new(0);
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let name = format!("hitstream-database-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        /// The file that is configured.
        fn file(&self) -> PathBuf {
            self.0.join("country.mmdb")
        }

        /// Puts a file in the place of the configured one, as it should be done.
        fn rename_over(&self, bytes: &[u8]) {
            let new = self.0.join("country.mmdb.new");
            fs::write(&new, bytes).unwrap();
            fs::rename(new, self.file()).unwrap();
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// All of IPv4 is in one country.
    fn world(code: &'static str) -> Vec<u8> {
        let record = Value::Map(vec![("country_code", Value::Text(code))]);
        Fixture::new(4, 24).with("0.0.0.0/1", &record).with("128.0.0.0/1", &record).bytes()
    }

    fn opened(folder: &Folder) -> (DatabaseHandle, Metrics) {
        let metrics = Metrics::new();
        (DatabaseHandle::open(&folder.file(), metrics.clone()).unwrap(), metrics)
    }

    fn country(database: &Database) -> String {
        let found = database.lookup(IpAddr::from([192, 0, 2, 1])).unwrap();
        found.country_code.unwrap().to_string()
    }

    #[test]
    fn file_that_is_renamed_over_is_picked_up() {
        let folder = Folder::new();
        folder.rename_over(&world("AT"));
        let (handle, metrics) = opened(&folder);
        assert_eq!(handle.refresh(), Refreshed::Unchanged);

        let before = handle.current();
        folder.rename_over(&world("NZ"));
        assert_eq!(country(&handle.current()), "AT");
        assert_eq!(handle.refresh(), Refreshed::Replaced);
        assert_eq!(country(&handle.current()), "NZ");
        assert_eq!(country(&before), "AT", "a batch that began in the old one ends in it");
        assert_eq!(handle.refresh(), Refreshed::Unchanged);
        assert_eq!(metrics.database_loads(DatabaseLoad::Loaded).get(), 2);
    }

    #[test]
    fn link_that_leads_to_another_file_is_picked_up() {
        let folder = Folder::new();
        for code in ["AT", "NZ"] {
            fs::write(folder.0.join(code), world(code)).unwrap();
        }
        std::os::unix::fs::symlink("AT", folder.file()).unwrap();
        let (handle, _) = opened(&folder);
        fs::remove_file(folder.file()).unwrap();
        std::os::unix::fs::symlink("NZ", folder.file()).unwrap();
        assert_eq!(handle.refresh(), Refreshed::Replaced);
        assert_eq!(country(&handle.current()), "NZ");
    }

    #[test]
    fn file_that_is_overwritten_in_place_is_refused_until_it_is_whole() {
        let folder = Folder::new();
        folder.rename_over(&world("AT"));
        let (handle, metrics) = opened(&folder);

        let new = world("NZ");
        let (half, rest) = new.split_at(new.len() / 2);
        // As `cp` does it: the same file, emptied and filled again.
        let mut file = fs::File::create(folder.file()).unwrap();
        assert_eq!(handle.refresh(), Refreshed::Refused);
        file.write_all(half).unwrap();
        assert_eq!(handle.refresh(), Refreshed::Refused);
        assert_eq!(country(&handle.current()), "AT");

        file.write_all(rest).unwrap();
        assert_eq!(handle.refresh(), Refreshed::Replaced);
        assert_eq!(country(&handle.current()), "NZ");
        assert_eq!(metrics.database_loads(DatabaseLoad::Broken).get(), 2);
    }

    #[test]
    fn broken_file_is_counted_once_and_the_old_one_stays() {
        let folder = Folder::new();
        folder.rename_over(&world("AT"));
        let (handle, metrics) = opened(&folder);
        folder.rename_over(b"<html>not found</html>");
        assert_eq!(handle.refresh(), Refreshed::Refused);
        for _ in 0..3 {
            assert_eq!(handle.refresh(), Refreshed::Unchanged);
        }
        assert_eq!(metrics.database_loads(DatabaseLoad::Broken).get(), 1);
        assert_eq!(country(&handle.current()), "AT");
    }

    #[test]
    fn file_that_is_gone_is_counted_once_and_welcome_back() {
        let folder = Folder::new();
        folder.rename_over(&world("AT"));
        let (handle, metrics) = opened(&folder);
        fs::remove_file(folder.file()).unwrap();
        assert_eq!(handle.refresh(), Refreshed::Refused);
        assert_eq!(handle.refresh(), Refreshed::Unchanged);
        assert_eq!(country(&handle.current()), "AT");
        assert_eq!(metrics.database_loads(DatabaseLoad::Unreadable).get(), 1);

        folder.rename_over(&world("NZ"));
        assert_eq!(handle.refresh(), Refreshed::Replaced);
        assert_eq!(country(&handle.current()), "NZ");
    }

    #[test]
    fn what_is_no_file_is_tried_again_and_counted_once() {
        let folder = Folder::new();
        folder.rename_over(&world("AT"));
        let (handle, metrics) = opened(&folder);
        fs::remove_file(folder.file()).unwrap();
        fs::create_dir(folder.file()).unwrap();
        assert_eq!(handle.refresh(), Refreshed::Refused);
        assert_eq!(handle.refresh(), Refreshed::Refused);
        assert_eq!(metrics.database_loads(DatabaseLoad::Unreadable).get(), 1);
    }

    #[test]
    fn embedded_database_is_never_replaced() {
        let handle = DatabaseHandle::embedded(Metrics::new()).unwrap();
        assert_eq!(handle.refresh(), Refreshed::Unchanged);
        assert_eq!(handle.current().kind(), "country ipvAll");
    }
}
