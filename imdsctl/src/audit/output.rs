//! Where an audit is written.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use anstream::adapter::StripBytes;
use anyhow::{Result, bail};

use super::format::Kind;
use crate::new_file::NewFile;
use crate::output::width;

/// The width of a table that no terminal shows.
const FILE_WIDTH: usize = 160;

/// Standard output, or a file, which gets no colors.
pub enum Output<'o, W> {
    Standard(&'o mut W),
    File { file: NewFile, plain: StripBytes },
}

impl<'o, W: Write> Output<'o, W> {
    /// Opens the file `path`, or takes standard output, which is `out`.
    ///
    /// # Errors
    /// The file cannot be created, or a report in HTML would fill the terminal.
    pub fn open(path: Option<&Path>, kind: Kind, out: &'o mut W) -> Result<Self> {
        if let Some(path) = path {
            return Ok(Self::File { file: NewFile::create(path)?, plain: StripBytes::new() });
        }
        if kind == Kind::Html && io::stdout().is_terminal() {
            bail!("a report in HTML needs a file: use --output report.html");
        }
        Ok(Self::Standard(out))
    }

    /// The width of a table in characters.
    pub fn width(&self) -> usize {
        match self {
            Self::Standard(_) => width(FILE_WIDTH),
            Self::File { .. } => FILE_WIDTH,
        }
    }

    /// Completes the file.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(self) -> Result<()> {
        match self {
            Self::Standard(_) => Ok(()),
            Self::File { file, .. } => file.finish(),
        }
    }
}

impl<W: Write> Write for Output<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Standard(out) => out.write(bytes),
            Self::File { file, plain } => {
                plain.strip_next(bytes).try_for_each(|part| file.write_all(part))?;
                Ok(bytes.len())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Standard(out) => out.flush(),
            Self::File { file, .. } => file.flush(),
        }
    }
}
