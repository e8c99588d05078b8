//! The local database: where an address is, from a file in MaxMind's format (MMDB), without asking anybody.
//!
//! A file is read into memory and never mapped, for a mapped file that is overwritten crashes its readers; it costs its
//! size in RAM, twice while it is being replaced. Whether it can be read is found out then, whole, and not on the way of an
//! event. [`DatabaseHandle`] is what enrichers share; `record.rs` says which keys are understood.

mod examine;
#[cfg(test)]
mod fixture;
mod handle;
mod record;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use hitstream_domain::geo::Location;
use maxminddb::Reader;

use self::record::Record;

pub use self::handle::{DatabaseHandle, Refreshed};

/// IPtoASN's countries, compressed; `actors/data/README.md` tells where it is from.
const EMBEDDED: &[u8] = include_bytes!("../../../data/iptoasn-country.mmdb.zst");

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// It is not there, or the system does not let it be read.
    #[error("cannot read the geolocation database {}: {source}; check enrich.database", path.display())]
    Unreadable {
        /// Where it should be.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It changed while it was read.
    #[error(
        "the geolocation database {} is being written; replace it by renaming a whole file over it",
        path.display()
    )]
    Changing {
        /// Where it is.
        path: PathBuf,
    },
    /// It is there and is no database, or a part of one, or one about other matters than locations.
    #[error(
        "{} is no geolocation database in MMDB format: {reason}; use a country or city database of MaxMind's or \
         ip-location-db's form",
        path.display()
    )]
    Broken {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// A database in memory. A lookup takes well under a microsecond.
#[derive(Debug)]
pub struct Database {
    reader: Reader<Vec<u8>>,
}

impl Database {
    /// The one that is compiled in: countries, for IPv4 and IPv6, some 5 MB of memory.
    ///
    /// # Errors
    /// None that a test has not ruled out: it is always the same file.
    pub fn embedded() -> Result<Self, DatabaseError> {
        let broken = |reason: String| DatabaseError::Broken { path: "(embedded)".into(), reason };
        let size = zstd::zstd_safe::get_frame_content_size(EMBEDDED)
            .ok()
            .flatten()
            .and_then(|size| usize::try_from(size).ok())
            .ok_or_else(|| broken("its size is not known".to_owned()))?;
        let bytes = zstd::bulk::decompress(EMBEDDED, size).map_err(|e| broken(e.to_string()))?;
        // What the compiler put there need not be examined at every start.
        let reader = Reader::from_source(bytes).map_err(|e| broken(e.to_string()))?;
        Ok(Self { reader })
    }

    /// Reads a file whole and examines it: a second or so for each 100 MB.
    ///
    /// # Errors
    /// If it cannot be read, changes meanwhile, or is no database of locations.
    pub fn open(path: &Path) -> Result<Self, DatabaseError> {
        Self::open_stamped(path).map(|(database, _)| database)
    }

    /// The same, with the stamp of what was read.
    fn open_stamped(path: &Path) -> Result<(Self, Stamp), DatabaseError> {
        let (bytes, stamp) = read(path)?;
        let broken = |reason| DatabaseError::Broken { path: path.to_owned(), reason };
        let reader = Reader::from_source(bytes).map_err(|error| broken(error.to_string()))?;
        examine::examine(&reader).map_err(broken)?;
        Ok((Self { reader }, stamp))
    }

    /// Where an address is; `None` if it is not in the database, or nothing of use is said there.
    ///
    /// An IPv4 address in an IPv6 one (`::ffff:192.0.2.1`) is looked up as what it is. No IPv6 address is in a database for
    /// IPv4 alone.
    pub fn lookup(&self, address: IpAddr) -> Option<Location> {
        // Errors are an IPv6 address in an IPv4 tree, and nothing else: every record was read once.
        let found = self.reader.lookup(address.to_canonical()).ok()?;
        let record: Record<'_> = found.decode().ok()??;
        record.location()
    }

    /// What its makers call it, such as `GeoLite2-City`.
    pub fn kind(&self) -> &str {
        &self.reader.metadata().database_type
    }

    /// When it was made, in seconds since 1970.
    pub fn built_at(&self) -> u64 {
        self.reader.metadata().build_epoch
    }
}

/// Tells one state of a file from another. The time of the last change of its inode is what no tool sets back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &std::fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Reads a file and notices if it is written meanwhile.
fn read(path: &Path) -> Result<(Vec<u8>, Stamp), DatabaseError> {
    let unreadable = |source| DatabaseError::Unreadable { path: path.to_owned(), source };
    // Opening a pipe would wait for its writer.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(unreadable(io::Error::other("it is not a file")));
    }
    let mut file = File::open(path).map_err(unreadable)?;
    let before = file.metadata().map_err(unreadable)?;
    let mut bytes = Vec::new();
    // One allocation of the right size, and an error where there is no room for it.
    bytes
        .try_reserve_exact(usize::try_from(before.len()).unwrap_or(usize::MAX))
        .map_err(|_| unreadable(io::ErrorKind::OutOfMemory.into()))?;
    file.read_to_end(&mut bytes).map_err(unreadable)?;
    let (before, after) = (Stamp::of(&before), Stamp::of(&file.metadata().map_err(unreadable)?));
    if before != after {
        return Err(DatabaseError::Changing { path: path.to_owned() });
    }
    Ok((bytes, after))
}
