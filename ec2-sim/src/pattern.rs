//! The values of a filter, which are literals or have wildcards.

use std::collections::HashSet;

/// The values of a filter, prepared for matching.
#[derive(Debug, Default)]
pub struct Patterns {
    /// Values without wildcards. A set, because a call can have 200 instance ids.
    literals: HashSet<String>,
    wildcards: Vec<Vec<Part>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Any,
    One,
    Literal(char),
}

impl Patterns {
    pub fn new(values: &[String]) -> Self {
        let mut patterns = Self::default();
        for parts in values.iter().map(|value| parts(value)) {
            let literal =
                |part: &Part| if let Part::Literal(character) = part { Some(*character) } else { None };
            match parts.iter().map(literal).collect::<Option<String>>() {
                Some(text) => drop(patterns.literals.insert(text)),
                None => patterns.wildcards.push(parts),
            }
        }
        patterns
    }

    pub fn matches(&self, text: &str) -> bool {
        self.literals.contains(text) || self.wildcards.iter().any(|parts| is_match(parts, text))
    }

    /// All values, if none has a wildcard.
    pub fn literals(&self) -> Option<impl Iterator<Item = &str>> {
        self.wildcards.is_empty().then(|| self.literals.iter().map(String::as_str))
    }
}

/// Parses a value. `*` and `?` are wildcards, and a backslash escapes the next character.
fn parts(value: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        parts.push(match character {
            '*' => Part::Any,
            '?' => Part::One,
            '\\' => Part::Literal(characters.next().unwrap_or('\\')),
            literal => Part::Literal(literal),
        });
    }
    parts
}

/// Whether the parts match the whole of `text`. After a mismatch, the last `*` matches one more character. Backtracking
/// to an earlier `*` is never necessary.
fn is_match(parts: &[Part], text: &str) -> bool {
    let (mut at, mut rest, mut last_any) = (0, text.chars(), None);
    loop {
        let before = rest.clone();
        let next = rest.next();
        match (parts.get(at), next) {
            (None, None) => return true,
            (Some(Part::Any), _) => {
                at += 1;
                rest = before;
                last_any = Some((at, rest.clone()));
                continue;
            }
            (Some(Part::One), Some(_)) => at += 1,
            (Some(Part::Literal(wanted)), Some(found)) if *wanted == found => at += 1,
            _ => {
                let Some((after_any, covered)) = &mut last_any else { return false };
                if covered.next().is_none() {
                    return false;
                }
                at = *after_any;
                rest = covered.clone();
            }
        }
    }
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
