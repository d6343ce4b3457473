//! An instance and the decision or the outcome, as text.

use std::collections::BTreeMap;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use imds_core::metadata::{Change, MetadataOptions};
use imds_core::text::counted;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The color of the word `warning`.
pub const WARNING: Style = AnsiColor::Yellow.on_default();

/// An instance and the decision or the outcome.
pub struct Paragraph<'a> {
    /// The instance's id, and what else identifies it.
    pub title: String,
    /// The decision, or the outcome of the function.
    pub word: &'a str,
    /// What else to tell about the instance, one line each.
    pub details: Vec<String>,
    /// The options before the change.
    pub before: Option<&'a MetadataOptions>,
    /// The change, if there is one.
    pub change: Option<&'a Change>,
    /// Why.
    pub reasons: &'a [String],
    /// What was ignored or left out.
    pub warnings: &'a [String],
}

impl Paragraph<'_> {
    /// Prints the paragraph. Lines are wrapped to `width` characters.
    pub fn print(&self, width: usize, out: &mut impl Write) -> io::Result<()> {
        let style = style(self.word);
        writeln!(out, "{}: {style}{}{style:#}", self.title, self.word)?;
        for line in &self.details {
            writeln!(out, "  {}", wrap(line, width))?;
        }
        for value in self.change.iter().flat_map(|change| change.options().iter()) {
            let before = self.before.and_then(|before| before.get(value.name()));
            let before = before.map_or("unknown".to_owned(), |before| before.text());
            writeln!(out, "  {}: {before} -> {}", value.name(), value.text())?;
        }
        for reason in self.reasons {
            writeln!(out, "  {}", wrap(&format!("because {reason}"), width))?;
        }
        for warning in self.warnings {
            let text = wrap(&format!("warning: {warning}"), width);
            let text = text.strip_prefix("warning").unwrap_or(&text);
            writeln!(out, "  {WARNING}warning{WARNING:#}{text}")?;
        }
        Ok(())
    }
}

/// Returns the color of a decision or an outcome.
pub fn style(word: &str) -> Style {
    match word {
        "compliant" | "enforced" | "restored" | "as-before" => AnsiColor::Green.on_default(),
        "change" | "would-enforce" => AnsiColor::Yellow.on_default().bold(),
        "in-use" | "restored-in-part" => AnsiColor::Yellow.on_default(),
        "exempt" => AnsiColor::Cyan.on_default(),
        "out-of-scope" | "gone" => Style::new().dimmed(),
        _ => AnsiColor::Red.on_default().bold(),
    }
}

/// Returns how many instances have each decision or outcome.
pub fn summary(counts: &BTreeMap<&str, usize>) -> String {
    let total: usize = counts.values().sum();
    let each: Vec<String> = counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
    let each = if each.is_empty() { "none".to_owned() } else { each.join(", ") };
    format!("{}: {each}", counted(total, "instance", "instances"))
}

/// The columns before the further lines of a text.
const INDENT: usize = 4;

/// Wraps a text that is indented by two columns, and indents its further lines by four. A word that is longer than a line is
/// broken.
pub fn wrap(text: &str, width: usize) -> String {
    let (mut wrapped, mut column) = (String::with_capacity(text.len()), 2);
    for (number, word) in text.split(' ').enumerate() {
        let length = word.width();
        if number > 0 && column + 1 + length > width {
            wrapped.push_str("\n    ");
            column = INDENT;
        } else if number > 0 {
            wrapped.push(' ');
            column += 1;
        }
        for c in word.chars() {
            let columns = c.width().unwrap_or(0);
            if column > INDENT && column + columns > width {
                wrapped.push_str("\n    ");
                column = INDENT;
            }
            wrapped.push(c);
            column += columns;
        }
    }
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_between_words() {
        let rows = [
            ("because of it", usize::MAX, "because of it"),
            ("because of it", 15, "because of it"),
            ("because of it", 14, "because of\n    it"),
            ("aaaaaaaaaa bb", 8, "aaaaaa\n    aaaa\n    bb"),
            ("鍵鍵鍵鍵 b", 8, "鍵鍵鍵\n    鍵 b"),
            ("é é é", 7, "é é é"),
            ("", 1, ""),
        ];
        for (text, width, expected) in rows {
            assert_eq!(wrap(text, width), expected, "{text:?} in {width}");
        }
    }
}
