//! LZ4 in room that its thread keeps. What `lz4_flex` makes for each piece is zeroed, which for pieces of this size means
//! pages that the system has to give and to clear anew, 200 a thousand hits.

use std::cell::RefCell;

use bytes::Bytes;
use lz4_flex::block::{
    CompressTable, DecompressError, compress_into_with_table, decompress_into,
    get_maximum_output_size,
};

/// Room beyond it is given back.
const MOST_ROOM: usize = 2 << 20;

thread_local! {
    static ROOM: RefCell<Room> = RefCell::default();
}

#[derive(Default)]
struct Room {
    table: CompressTable,
    bytes: Vec<u8>,
}

impl Room {
    /// What `fill` has put into so many bytes of room.
    fn copied<E>(
        &mut self,
        size: usize,
        fill: impl FnOnce(&mut [u8], &mut CompressTable) -> Result<usize, E>,
    ) -> Result<Bytes, E> {
        if self.bytes.len() < size {
            self.bytes = vec![0; size];
        }
        let filled = fill(self.bytes.get_mut(..size).unwrap_or_default(), &mut self.table);
        let copied =
            filled.map(|n| Bytes::copy_from_slice(self.bytes.get(..n).unwrap_or_default()));
        if self.bytes.len() > MOST_ROOM {
            self.bytes = Vec::new();
        }
        copied
    }
}

/// Compresses a piece; nothing if `lz4_flex` finds its own measure of room too small.
pub(super) fn compress(plain: &[u8]) -> Option<Bytes> {
    ROOM.with_borrow_mut(|room| {
        room.copied(get_maximum_output_size(plain.len()), |to, table| {
            compress_into_with_table(plain, to, table)
        })
        .ok()
    })
}

/// The piece of `size` bytes that `block` was.
pub(super) fn decompress(block: &[u8], size: usize) -> Result<Bytes, Damaged> {
    let plain = ROOM
        .with_borrow_mut(|room| room.copied(size, |to, _| decompress_into(block, to)))
        .map_err(Damaged::Block)?;
    if plain.len() == size {
        Ok(plain)
    } else {
        Err(Damaged::Size { size: plain.len(), expected: size })
    }
}

/// Compressed rows do not come out as they went in: memory is broken, or this code is.
#[derive(Debug, thiserror::Error)]
pub enum Damaged {
    /// They do not come out at all.
    #[error("packed rows cannot be unpacked, which is a defect of hitstream or of the memory: {0}")]
    Block(DecompressError),
    /// Others come out.
    #[error(
        "packed rows unpack to {size} bytes instead of {expected}, which is a defect of hitstream or of the memory"
    )]
    Size {
        /// Bytes that come out.
        size: usize,
        /// Bytes that went in.
        expected: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(size: usize) -> Vec<u8> {
        (0..size).flat_map(|n| [(n % 251) as u8, (n / 1_000) as u8]).take(size).collect()
    }

    #[test]
    fn pieces_of_all_sizes_share_the_room() {
        for size in [5_000, 3 << 20, 70_000, 1, 0, 65_534, 65_535, 65_536, 5_000] {
            let plain = piece(size);
            let block = compress(&plain).unwrap();
            assert_eq!(decompress(&block, size).unwrap(), plain);
        }
        ROOM.with_borrow(|room| assert!(room.bytes.len() <= MOST_ROOM));
    }

    #[test]
    fn a_damaged_piece_is_an_error_with_its_reason() {
        let block = compress(&piece(70_000)).unwrap();
        let cut = block.slice(..block.len() / 2);
        assert!(matches!(decompress(&cut, 70_000), Err(Damaged::Block(_))), "{cut:?}");
        let longer = decompress(&block, 70_001).unwrap_err();
        assert!(longer.to_string().contains("70000 bytes instead of 70001"), "{longer}");
        assert!(matches!(decompress(&block, 69_999), Err(Damaged::Block(_))));
    }
}
