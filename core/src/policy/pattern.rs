//! Patterns with wildcards.

use std::fmt;

/// A pattern: `*` matches any characters, `?` matches one. Everything else is literal and case-sensitive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// The pattern in `text`; every text is a valid pattern.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the pattern matches all of `text`, in time at most proportional to the product of both lengths.
    pub fn matches(&self, text: &str) -> bool {
        let (mut pattern, mut text) = (self.0.chars(), text.chars());
        // Where to resume if the characters after the last `*` do not match: that `*` covers one more character.
        let mut fallback = None;
        loop {
            let here = (pattern.clone(), text.clone());
            match (pattern.next(), text.next()) {
                (None, None) => return true,
                (Some('*'), _) => {
                    text = here.1;
                    fallback = Some((pattern.clone(), text.clone()));
                }
                (Some('?'), Some(_)) => {}
                (Some(wanted), Some(found)) if wanted == found => {}
                _ => {
                    let Some((after_star, mut covered)) = fallback.take() else { return false };
                    if covered.next().is_none() {
                        return false;
                    }
                    (pattern, text) = (after_star.clone(), covered.clone());
                    fallback = Some((after_star, covered));
                }
            }
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
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
