//! Standard output, and which text may reach it.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};

use imds_core::text::is_hidden;
use serde::Serialize;
use terminal_size::{Width, terminal_size_of};

/// Returns standard output. The caller must flush it.
///
/// It is buffered. Colors are removed if it is not a terminal or `NO_COLOR` is set.
pub fn stdout() -> impl Write {
    BufWriter::new(UntilClosed(anstream::stdout()))
}

/// The width of the narrowest output: that of a terminal of 80 columns.
pub const LEAST_WIDTH: usize = 80;

/// Returns the width of the terminal that standard output is, in columns, and at least [`LEAST_WIDTH`]; `without` if it is none.
pub fn width(without: usize) -> usize {
    terminal_size_of(io::stdout())
        .map_or(without, |(Width(columns), _)| usize::from(columns).max(LEAST_WIDTH))
}

/// Discards output after the reader has closed the pipe, as `head` does, so that the exit code is that of the result.
struct UntilClosed<W>(W);

impl<W: Write> Write for UntilClosed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).or_else(|error| closed_or(error).map(|()| bytes.len()))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().or_else(closed_or)
    }
}

fn closed_or(error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Ok(()),
        // The caller tries again.
        io::ErrorKind::Interrupted => Err(error),
        kind => Err(io::Error::new(kind, format!("standard output cannot be written: {error}"))),
    }
}

/// Returns the text without characters that a terminal obeys or does not show. Lines stay.
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |c, escaped| _ = write!(escaped, "{}", c.escape_unicode()))
}

/// Returns the value as JSON in one line, in which such characters are escaped as well.
pub fn json(value: &impl Serialize) -> serde_json::Result<String> {
    let text = serde_json::to_string(value)?;
    let escape = |c: char, escaped: &mut String| {
        for unit in c.encode_utf16(&mut [0; 2]) {
            _ = write!(escaped, "\\u{unit:04x}");
        }
    };
    Ok(escaped(&text, escape).into_owned())
}

fn escaped(text: &str, escape: impl Fn(char, &mut String)) -> Cow<'_, str> {
    let is_unsafe = |c: char| is_hidden(c) && c != '\n';
    if !text.contains(is_unsafe) {
        return text.into();
    }
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) { escape(c, &mut escaped) } else { escaped.push(c) }
    }
    escaped.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_a_terminal_obeys_are_escaped() {
        let rows = [
            ("plain, é\nand a line", "plain, é\nand a line", r#""plain, é\nand a line""#),
            ("\u{1b}[31m", r"\u{1b}[31m", r#""\u001b[31m""#),
            ("\u{9b}31m\u{7f}", r"\u{9b}31m\u{7f}", r#""\u009b31m\u007f""#),
            ("\u{202e}\u{e0041}", r"\u{202e}\u{e0041}", r#""\u202e\udb40\udc41""#),
        ];
        for (text, printed, in_json) in rows {
            assert_eq!(printable(text), printed, "{text:?}");
            assert_eq!(json(&text).unwrap(), in_json, "{text:?}");
            assert_eq!(
                serde_json::from_str::<String>(in_json).unwrap(),
                text,
                "the JSON has the text itself"
            );
        }
    }
}
