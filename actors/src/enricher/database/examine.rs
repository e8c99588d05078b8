//! Reads a whole database before it is used, so that no lookup meets what cannot be read.
//!
//! The reader's own `verify` is not for this: it refuses what the format asks for and no reader needs, such as a
//! description, which ip-location-db's files lack; and it knows nothing about locations.

use std::collections::HashSet;

use maxminddb::{Reader, WithinOptions};

use super::record::Record;

/// Walks the tree and decodes each record once.
///
/// # Errors
/// What cannot be read, or that no record says where an address is.
pub(super) fn examine(reader: &Reader<Vec<u8>>) -> Result<(), String> {
    // A tree of n nodes has n + 1 leaves, a few more where parts of it are there twice; a broken one can have loops and
    // more leaves than can be walked.
    let most = 3 * u64::from(reader.metadata().node_count) + 1;
    let mut leaves = 0;
    let mut known = HashSet::new();
    let mut locates = false;
    let options = WithinOptions::default().include_networks_without_data();
    for network in reader.networks(options).map_err(|error| error.to_string())? {
        let network = network.map_err(|error| error.to_string())?;
        leaves += 1;
        if leaves > most {
            return Err("its tree has loops".to_owned());
        }
        let Some(offset) = network.offset() else { continue };
        if known.insert(offset) {
            let record: Option<Record<'_>> = network.decode().map_err(|error| error.to_string())?;
            locates = locates || record.and_then(|record| record.location()).is_some();
        }
    }
    if locates { Ok(()) } else { Err("no record of it says where an address is".to_owned()) }
}
