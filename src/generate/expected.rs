//! The file that says what must come out.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::cli::CliError;

/// Where the expectation goes: beside its place until it is whole.
pub(super) struct ExpectedFile<'a> {
    path: &'a Path,
    partial: PathBuf,
    out: BufWriter<File>,
}

impl<'a> ExpectedFile<'a> {
    /// Finds out before anything is sent whether the file can be written.
    pub(super) fn create(path: &'a Path) -> Result<Self, CliError> {
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        match File::create(&partial) {
            Ok(file) => Ok(Self { path, partial, out: BufWriter::new(file) }),
            Err(error) => Err(CliError::Usage(format!(
                "--expected {} cannot be written: {error}; nothing was sent. Name a file in a folder that is there and \
                 may be written to",
                path.display()
            ))),
        }
    }

    /// Writes the whole file, or leaves what was there before
    pub(super) fn write(
        mut self,
        content: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
    ) -> Result<&'a Path, CliError> {
        content(&mut self.out)
            .and_then(|()| self.out.flush())
            .and_then(|()| std::fs::rename(&self.partial, self.path))
            .map_err(|error| {
                CliError::Usage(format!("{} cannot be written: {error}", self.path.display()))
            })?;
        Ok(self.path)
    }
}

impl Drop for ExpectedFile<'_> {
    fn drop(&mut self) {
        // Gone already where it was renamed.
        drop(std::fs::remove_file(&self.partial));
    }
}
