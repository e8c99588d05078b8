//! Opens what is to be imported: plain, gzip or zstd, known by their first bytes, or standard input.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

use super::waiting::Waiting;

const BUFFER: usize = 256 << 10;

/// Lines of one source, unpacked.
pub(super) struct Source {
    reader: Box<dyn BufRead>,
    max_line: usize,
}

/// One line, without its line end, in the buffer that was passed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Whole,
    /// Longer than the limit; the rest was skipped.
    TooLong,
}

impl Source {
    /// Opens a file, or standard input for `-`. `read` counts the bytes as they lie there, packed. `stop` ends
    /// the wait for what does not lie there yet.
    pub(super) fn open(
        path: &Path,
        max_line: usize,
        read: &Arc<AtomicU64>,
        stop: &Arc<AtomicBool>,
    ) -> io::Result<Self> {
        if path.as_os_str() == "-" || !std::fs::metadata(path)?.is_file() {
            return Self::of(Waiting::start(path, stop)?, max_line, read);
        }
        Self::of(File::open(path)?, max_line, read)
    }

    fn of(inner: impl Read + 'static, max_line: usize, read: &Arc<AtomicU64>) -> io::Result<Self> {
        let mut packed = Counted { inner, read: Arc::clone(read) };
        let mut start = Vec::new();
        packed.by_ref().take(6).read_to_end(&mut start)?;
        let packing = Packing::of(&start)?;
        let packed = BufReader::with_capacity(BUFFER, Cursor::new(start).chain(packed));
        let mut reader: Box<dyn BufRead> = match packing {
            Packing::None => Box::new(packed),
            Packing::Gzip => {
                Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(packed)))
            }
            Packing::Zstd => {
                Box::new(BufReader::with_capacity(BUFFER, zstd::Decoder::with_buffer(packed)?))
            }
        };
        if reader.fill_buf()?.starts_with(b"\xef\xbb\xbf") {
            reader.consume(3);
        }
        Ok(Self { reader, max_line })
    }

    /// Reads the next line into `line`, which is cleared first; `None` at the end.
    pub(super) fn next_line(&mut self, line: &mut Vec<u8>) -> io::Result<Option<Line>> {
        line.clear();
        let limit = u64::try_from(self.max_line).unwrap_or(u64::MAX).saturating_add(2);
        let read = self.reader.by_ref().take(limit).read_until(b'\n', line)?;
        if read == 0 {
            return Ok(None);
        }
        let ended = line.last() == Some(&b'\n');
        if ended {
            line.pop();
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        if line.len() <= self.max_line {
            return Ok(Some(Line::Whole));
        }
        if !ended {
            self.reader.skip_until(b'\n')?;
        }
        line.truncate(self.max_line);
        Ok(Some(Line::TooLong))
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Packing {
    None,
    Gzip,
    Zstd,
}

impl Packing {
    fn of(start: &[u8]) -> io::Result<Self> {
        let other = match start {
            [0x1f, 0x8b, ..] => return Ok(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
                return Ok(Self::Zstd);
            }
            [b'B', b'Z', b'h', ..] => "bzip2",
            [0xfd, b'7', b'z', b'X', b'Z', 0] => "xz",
            [b'P', b'K', 3, 4, ..] => "zip",
            _ => return Ok(Self::None),
        };
        Err(io::Error::other(format!("is packed with {other}; unpack it, and pipe it in as `-`")))
    }
}

struct Counted<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read.fetch_add(count.try_into().unwrap_or(0), Ordering::Relaxed);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn lines(bytes: &[u8], max_line: usize) -> io::Result<Vec<String>> {
        let mut source = Source::of(Cursor::new(bytes.to_vec()), max_line, &Arc::default())?;
        let (mut line, mut lines) = (Vec::new(), Vec::new());
        while let Some(kind) = source.next_line(&mut line)? {
            let mark = if kind == Line::TooLong { "…" } else { "" };
            lines.push(String::from_utf8_lossy(&line).into_owned() + mark);
        }
        Ok(lines)
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn lines_come_without_their_ends() {
        assert_eq!(lines(b"\xef\xbb\xbfa\r\n\nb", 9).unwrap(), ["a", "", "b"]);
        assert_eq!(lines(b"", 9).unwrap(), [""; 0]);
    }

    #[test]
    fn long_line_is_skipped_and_the_next_one_read() {
        assert_eq!(
            lines(b"12345\n123456\n1234567890\r\n12345\r\nx", 5).unwrap(),
            ["12345", "12345…", "12345…", "12345", "x"]
        );
    }

    #[test]
    fn gzip_of_several_members_and_zstd_frames_are_read_to_the_end() {
        assert_eq!(lines(&[gzip("a\nb"), gzip("c\nd\n")].concat(), 9).unwrap(), ["a", "bc", "d"]);
        let frame = |text: &str| zstd::encode_all(text.as_bytes(), 1).unwrap();
        assert_eq!(lines(&[frame("a\n"), frame("b\n")].concat(), 9).unwrap(), ["a", "b"]);
    }

    #[test]
    fn cut_off_gzip_is_an_error_after_what_could_be_read() {
        let packed = gzip(&"a line\n".repeat(1000));
        let cut = packed.get(..packed.len() - 4).unwrap();
        assert!(lines(cut, 9).is_err());
    }

    #[test]
    fn other_packings_are_named() {
        assert!(lines(b"BZh91AY", 9).unwrap_err().to_string().contains("bzip2"));
    }
}
