//! Text in messages: foreign text, such as tags, names in policies and events, and operators, and nouns that follow
//! a number.
//!
//! Whoever sets a tag must not be able to send terminal sequences, to reorder or hide text, or to flood a log.

use std::fmt::{self, Write};

/// The maximum number of characters of a foreign text in a message.
const SHOWN: usize = 128;

/// The same for the answer of an AWS service, which names the principal and the cause.
const ANSWER_SHOWN: usize = 512;

/// Foreign text, in which characters that are invisible or change the display are escaped. A text of more than 128
/// characters is cut, and ends with `…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Escaped<'a>(pub &'a str);

/// [`Escaped`] text of an AWS service, cut after 512 characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered<'a>(pub &'a str);

/// [`Escaped`] text in quotation marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        cut(self.0, SHOWN, f)
    }
}

impl fmt::Display for Answered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        cut(self.0, ANSWER_SHOWN, f)
    }
}

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        let more = escape(self.0, SHOWN, f)?;
        write!(f, "\"{more}")
    }
}

/// Writes up to `most` characters of the text and the mark of a cut.
fn cut(text: &str, most: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let more = escape(text, most, f)?;
    f.write_str(more)
}

/// Writes up to `most` characters of the text, and returns the mark of a cut.
fn escape(text: &str, most: usize, f: &mut fmt::Formatter<'_>) -> Result<&'static str, fmt::Error> {
    for c in text.chars().take(most) {
        match c {
            '\'' => f.write_char(c)?,
            // Escapes whatever is not printable; the tests name the characters that matter.
            c => write!(f, "{}", c.escape_debug())?,
        }
    }
    Ok(if text.chars().nth(most).is_some() { "…" } else { "" })
}

/// Returns whether the character is invisible or changes how the text around it is displayed.
pub fn is_hidden(c: char) -> bool {
    !matches!(c, '\'' | '"' | '\\') && c.escape_debug().len() > 1
}

/// A number with a comma between thousands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thousands(pub u64);

impl fmt::Display for Thousands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (position, digit) in digits.chars().enumerate() {
            if position > 0 && (digits.len() - position).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

/// A number with the noun that follows it: `1 day`, `3 days`.
pub fn counted<N: PartialEq + From<u8> + Copy + fmt::Display>(number: N, one: &str, many: &str) -> String {
    format!("{number} {}", plural(number, one, many))
}

/// The form of a noun that follows `number`.
pub fn plural<'a, N: PartialEq + From<u8>>(number: N, one: &'a str, many: &'a str) -> &'a str {
    if number == N::from(1) { one } else { many }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_or_changes_the_display_is_escaped() {
        let rows = [
            ("plain text, 2 words", "plain text, 2 words"),
            ("it's é, ключ, 鍵", "it's é, ключ, 鍵"),
            ("a\"b\\c", r#"a\"b\\c"#),
            ("line\r\n\ttab", r"line\r\n\ttab"),
            ("\u{1b}[31m\u{7f}\0", r"\u{1b}[31m\u{7f}\0"),
        ];
        for (text, escaped) in rows {
            assert_eq!(Escaped(text).to_string(), escaped, "{text:?}");
            assert_eq!(Quoted(text).to_string(), format!("\"{escaped}\""), "{text:?}");
        }
        let hidden = ('\u{80}'..='\u{9f}')
            .chain(['\u{61c}', '\u{feff}', '\u{2060}', '\u{2028}', '\u{2029}', '\u{ad}', '\u{e0041}'])
            .chain('\u{200b}'..='\u{200f}')
            .chain('\u{202a}'..='\u{202e}')
            .chain('\u{2066}'..='\u{2069}');
        for c in hidden {
            let expected = format!("a\\u{{{:x}}}b", u32::from(c));
            assert_eq!(Escaped(&format!("a{c}b")).to_string(), expected, "U+{:04X}", u32::from(c));
        }
    }

    #[test]
    fn thousands_are_separated() {
        let rows = [(0, "0"), (999, "999"), (1000, "1,000"), (20_000, "20,000"), (1_234_567, "1,234,567")];
        for (number, text) in rows {
            assert_eq!(Thousands(number).to_string(), text);
        }
    }

    #[test]
    fn long_text_is_cut() {
        for (length, more) in [(0, ""), (128, ""), (129, "…"), (100_000, "…")] {
            let (text, shown) = ("é".repeat(length), "é".repeat(length.min(128)));
            assert_eq!(Escaped(&text).to_string(), format!("{shown}{more}"), "{length}");
            assert_eq!(Quoted(&text).to_string(), format!("\"{shown}\"{more}"), "{length}");
            let (shown, more) = ("é".repeat(length.min(512)), if length > 512 { "…" } else { "" });
            assert_eq!(Answered(&text).to_string(), format!("{shown}{more}"), "{length}");
        }
    }
}
