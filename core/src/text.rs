//! Text in messages: foreign text, such as tags, names in policies and events, and operators, and nouns that follow
//! a number.
//!
//! Whoever sets a tag must not be able to send terminal sequences, to reorder or hide text, or to flood a log.

use std::fmt::{self, Write};

/// The maximum number of characters of a foreign text in a message.
const SHOWN: usize = 128;

/// Foreign text, in which characters that are invisible or change the display are escaped. A text of more than 128
/// characters is cut, and ends with `…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Escaped<'a>(pub &'a str);

/// [`Escaped`] text in quotation marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = escape(self.0, f)?;
        f.write_str(more)
    }
}

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        let more = escape(self.0, f)?;
        write!(f, "\"{more}")
    }
}

/// Writes the text, and returns the mark of a cut.
fn escape(text: &str, f: &mut fmt::Formatter<'_>) -> Result<&'static str, fmt::Error> {
    for c in text.chars().take(SHOWN) {
        match c {
            '\'' => f.write_char(c)?,
            // Escapes whatever is not printable; the tests name the characters that matter.
            c => write!(f, "{}", c.escape_debug())?,
        }
    }
    Ok(if text.chars().nth(SHOWN).is_some() { "…" } else { "" })
}

/// Returns whether the character is invisible or changes how the text around it is displayed.
pub fn is_hidden(c: char) -> bool {
    !matches!(c, '\'' | '"' | '\\') && c.escape_debug().len() > 1
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
    fn long_text_is_cut() {
        for (length, more) in [(0, ""), (128, ""), (129, "…"), (100_000, "…")] {
            let (text, shown) = ("é".repeat(length), "é".repeat(length.min(128)));
            assert_eq!(Escaped(&text).to_string(), format!("{shown}{more}"), "{length}");
            assert_eq!(Quoted(&text).to_string(), format!("\"{shown}\"{more}"), "{length}");
        }
    }
}
