//! Patterns with wildcards.

use std::fmt;

use wildmatch::WildMatch;

/// A pattern: `*` matches any characters, `?` matches one. Everything else is literal and case-sensitive.
#[derive(Debug, Clone, PartialEq)]
pub struct Pattern {
    text: String,
    matcher: WildMatch,
}

impl Eq for Pattern {}

impl Pattern {
    /// The pattern in `text`; every text is a valid pattern.
    pub fn new(text: &str) -> Self {
        Self { text: text.to_owned(), matcher: WildMatch::new(text) }
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the pattern matches all of `text`, in time at most proportional to the product of both lengths.
    pub fn matches(&self, text: &str) -> bool {
        self.matcher.matches(text)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_and_the_rest_is_literal() {
        let rows = [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything at all", true),
            ("?", "", false),
            ("?", "é", true),
            ("?", "ab", false),
            ("payroll-*", "payroll-", true),
            ("payroll-*", "payroll-7", true),
            ("payroll-*", "Payroll-7", false),
            ("eu-*", "us-eu-1", false),
            ("*-1", "eu-west-1", true),
            ("*-1", "eu-west-1-", false),
            ("a*b*c", "abc", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("*a?c*", "xxabcabd", true),
            ("**", "x", true),
            ("[a-z].+", "[a-z].+", true),
            ("[a-z].+", "b", false),
            ("a\\*", "a\\b", true),
            ("a\\*", "a*", false),
            ("*?", "", false),
            ("?*?", "ab", true),
            ("*ab", "aab", true),
            ("a*", "ba", false),
            ("*\u{301}", "e\u{301}", true),
            ("\u{fffe}", "x", false),
        ];
        for (pattern, text, expected) in rows {
            assert_eq!(Pattern::new(pattern).matches(text), expected, "{pattern:?} on {text:?}");
        }
    }

    #[test]
    fn a_pattern_that_backtracks_finishes_quickly() {
        let (pattern, text) = (Pattern::new(&"*a".repeat(100)), "a".repeat(99) + &"b".repeat(10_000));
        assert!(!pattern.matches(&text));
    }
}
