//! Files that commands read. `-` is standard input.

use std::io::{self, Read};
use std::path::Path;
use std::{fs, str};

use anyhow::{Context, Result, bail};

/// Whether the name stands for standard input.
pub fn is_stdin(file: &Path) -> bool {
    file == Path::new("-")
}

/// Returns the name in messages.
pub fn name(file: &Path) -> String {
    if is_stdin(file) { "standard input".to_owned() } else { file.display().to_string() }
}

/// Reads the whole file.
pub fn read(file: &Path) -> io::Result<Vec<u8>> {
    if !is_stdin(file) {
        return fs::read(file);
    }
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Returns the JSON text in `bytes`, which may begin with a byte order mark.
pub fn text(bytes: &[u8]) -> Result<&str> {
    // Every JSON text begins with an ASCII character, whose other half is zero in UTF-16.
    if matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..]) {
        bail!("is UTF-16, not UTF-8; in Windows PowerShell, write it with `| Out-File -Encoding utf8`");
    }
    let text = str::from_utf8(bytes).context("is not UTF-8")?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}
