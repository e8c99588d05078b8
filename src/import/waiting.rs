//! Reads what may keep its reader waiting for ever, such as a pipe, so that the wait can be ended.

use std::fs::File;
use std::io::{self, Cursor, ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// Time between two looks at whether it is to stop.
const PAUSE: Duration = Duration::from_millis(20);
/// Most bytes of a piece: what a pipe holds.
const PIECE_BYTES: usize = 64 << 10;
/// Pieces that are read ahead.
const AHEAD: usize = 4;

/// The reading was ended by a signal.
#[derive(Debug, thiserror::Error)]
#[error("stopped by a signal")]
struct Stopped;

/// Tells whether an error is the end of a wait, and no fault of the file.
pub(super) fn is_stop(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Stopped>())
}

/// Reads from a thread that opens and reads, and that is left alone when it is to stop: it ends with the process.
pub(super) struct Waiting {
    pieces: Receiver<io::Result<Vec<u8>>>,
    piece: Cursor<Vec<u8>>,
    stop: Arc<AtomicBool>,
}

impl Waiting {
    /// Begins to read a file, or standard input for `-`.
    pub(super) fn start(path: &Path, stop: &Arc<AtomicBool>) -> io::Result<Self> {
        let path = path.to_path_buf();
        let (sender, pieces) = sync_channel(AHEAD);
        std::thread::Builder::new().name("import-read".to_owned()).spawn(move || {
            if let Err(error) = forward(&path, &sender) {
                drop(sender.send(Err(error)));
            }
        })?;
        Ok(Self { pieces, piece: Cursor::default(), stop: Arc::clone(stop) })
    }
}

impl Read for Waiting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Err(io::Error::other(Stopped));
            }
            let count = self.piece.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            match self.pieces.recv_timeout(PAUSE) {
                Ok(piece) => self.piece = Cursor::new(piece?),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(0),
            }
        }
    }
}

/// Passes on what there is to read, until its end or until nobody wants it any more.
fn forward(path: &Path, pieces: &SyncSender<io::Result<Vec<u8>>>) -> io::Result<()> {
    let mut inner: Box<dyn Read> =
        if path.as_os_str() == "-" { Box::new(io::stdin()) } else { Box::new(File::open(path)?) };
    loop {
        let mut piece = vec![0; PIECE_BYTES];
        let count = match inner.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        piece.truncate(count);
        if pieces.send(Ok(piece)).is_err() {
            return Ok(());
        }
    }
}
