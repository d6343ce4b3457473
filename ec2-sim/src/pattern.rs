//! The values of a filter, which are literals or have wildcards.

use std::collections::HashSet;

use wildmatch::WildMatchPattern;

/// Unicode noncharacters that stand for wildcards. XML cannot represent them, so no response has them. The matcher has
/// no escapes: after these characters have replaced `*` and `?`, an escaped one is a literal.
const ANY: char = '\u{fffe}';
const ONE: char = '\u{ffff}';

/// The values of a filter, prepared for matching.
#[derive(Debug, Default)]
pub struct Patterns {
    /// Values without wildcards. A set, because a call can have 200 instance ids.
    literals: HashSet<String>,
    wildcards: Vec<WildMatchPattern<ANY, ONE>>,
}

impl Patterns {
    pub fn new(values: &[String]) -> Self {
        let mut patterns = Self::default();
        for value in values {
            let value = unescaped(value);
            if value.contains([ANY, ONE]) {
                patterns.wildcards.push(WildMatchPattern::new(&value));
            } else {
                patterns.literals.insert(value);
            }
        }
        patterns
    }

    pub fn matches(&self, text: &str) -> bool {
        self.literals.contains(text) || self.wildcards.iter().any(|pattern| pattern.matches(text))
    }

    /// All values, if none has a wildcard.
    pub fn literals(&self) -> Option<impl Iterator<Item = &str>> {
        self.wildcards.is_empty().then(|| self.literals.iter().map(String::as_str))
    }
}

/// Replaces the wildcards `*` and `?`. A backslash escapes the next character.
fn unescaped(value: &str) -> String {
    let literal = |character| if matches!(character, ANY | ONE) { '\u{fffd}' } else { character };
    let mut characters = value.chars();
    let next = || {
        Some(match characters.next()? {
            '*' => ANY,
            '?' => ONE,
            '\\' => characters.next().map_or('\\', literal),
            character => literal(character),
        })
    };
    std::iter::from_fn(next).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_and_escapes() {
        let rows = [
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("abc", "ab", false),
            ("abc", "ABC", false),
            ("", "", true),
            ("", "a", false),
            ("a*", "abc", true),
            ("*", "", true),
            ("**", "ab", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("?", "é", true),
            (r"a\*c", "a*c", true),
            (r"a\*c", "abc", false),
            (r"a\\", r"a\", true),
            (r"a\", r"a\", true),
            (r"\?*", "?x", true),
            (r"\?*", "xx", false),
            ("*b*d", "abcbd", true),
            ("*b*d", "abcb", false),
            ("*ab", "aab", true),
            ("a*?", "a", false),
            ("\u{fffe}", "abc", false),
            ("\\\u{ffff}", "a", false),
            ("2026-03-17T*", "2026-03-17T00:59:42.000Z", true),
        ];
        for (pattern, text, expected) in rows {
            let patterns = Patterns::new(&[pattern.to_owned()]);
            assert_eq!(patterns.matches(text), expected, "{pattern:?} on {text:?}");
        }
    }

    #[test]
    fn any_of_several_values_matches() {
        let patterns = Patterns::new(&["a".to_owned(), "b*".to_owned()]);
        for (text, expected) in [("a", true), ("bc", true), ("c", false)] {
            assert_eq!(patterns.matches(text), expected, "{text}");
        }
        assert!(patterns.literals().is_none(), "one has a wildcard");
        assert!(!Patterns::new(&[]).matches(""), "a filter without values matches nothing");
    }
}
