//! The conditions of a rule, and whether their patterns can match anything.

use std::collections::BTreeMap;

use super::Check;
use crate::policy::document::{Part, Patterns, When};
use crate::policy::json::{index, join};
use crate::policy::model::Conditions;
use crate::policy::pattern::Pattern;
use crate::text::Quoted;

impl When {
    /// Whether it has no condition, not even an invalid one.
    pub(super) fn is_empty(&self) -> bool {
        let has_patterns = [&self.accounts, &self.regions, &self.instance_ids, &self.images]
            .iter()
            .any(|patterns| !matches!(patterns, Part::Absent));
        let has_others = !matches!((&self.tags, &self.launched_before), (Part::Absent, Part::Absent));
        !has_patterns && !has_others && self.unknown.is_empty()
    }
}

impl Check {
    pub(super) fn conditions(&mut self, place: &str, when: When) -> Conditions {
        self.unknown(place, &when.unknown, When::KEYS);
        let at = |key| join(place, key);
        let accounts = self.patterns(&at("accounts"), when.accounts, may_match_account);
        let regions = self.patterns(&at("regions"), when.regions, may_match_region);
        let instance_ids = self.patterns(&at("instanceIds"), when.instance_ids, may_match_instance);
        let images = self.patterns(&at("images"), when.images, may_match_image);
        let launched_before = self.part(&at("launchedBefore"), when.launched_before).map(|day| day.0);
        let tags = self.tag_conditions(&at("tags"), when.tags);
        Conditions { tags, accounts, regions, instance_ids, images, launched_before }
    }

    fn tag_conditions(
        &mut self,
        place: &str,
        tags: Part<BTreeMap<String, Part<Patterns>>>,
    ) -> BTreeMap<String, Vec<Pattern>> {
        let Some(tags) = self.part(place, tags) else { return BTreeMap::new() };
        if tags.is_empty() {
            self.fail(place, "must name at least one tag; to match every instance, remove it");
        }
        let mut conditions = BTreeMap::new();
        for (key, patterns) in tags {
            let at = join(place, &key);
            if !(1..=128).contains(&key.chars().count()) {
                self.fail(&at, "can match no tag: a key has 1 to 128 characters");
            }
            if key.contains(['*', '?']) {
                self.fail(&at, "a tag key is literal: only values can contain * and ?");
            }
            conditions.insert(key, self.patterns(&at, patterns, may_match_value).unwrap_or_default());
        }
        conditions
    }

    /// The patterns; `check` returns why a pattern can match nothing.
    fn patterns(
        &mut self,
        place: &str,
        patterns: Part<Patterns>,
        check: impl Fn(&str) -> Result<(), &'static str>,
    ) -> Option<Vec<Pattern>> {
        let patterns = match self.part(place, patterns)? {
            Patterns::One(pattern) => vec![(place.to_owned(), Part::Read(pattern))],
            Patterns::Several(patterns) => {
                patterns.into_iter().enumerate().map(|(number, p)| (index(place, number), p)).collect()
            }
        };
        if patterns.is_empty() {
            self.fail(place, "an empty list matches nothing: add a pattern or remove the key");
        }
        let mut read = Vec::new();
        for (place, pattern) in patterns {
            let Some(pattern) = self.part(&place, pattern) else { continue };
            if let Err(problem) = check(&pattern) {
                self.fail(&place, format!("{} {problem}", Quoted(&pattern)));
            }
            read.push(Pattern::new(&pattern));
        }
        Some(read)
    }
}

/// The number of characters that a text has at least if it matches.
fn least_length(pattern: &str) -> usize {
    pattern.chars().filter(|c| *c != '*').count()
}

fn may_match_value(pattern: &str) -> Result<(), &'static str> {
    if least_length(pattern) <= 256 {
        return Ok(());
    }
    Err("can match no tag value: a value has at most 256 characters")
}

fn may_match_account(pattern: &str) -> Result<(), &'static str> {
    let least = least_length(pattern);
    let is_of_length = if pattern.contains('*') { least <= 12 } else { least == 12 };
    if is_of_length && pattern.chars().all(|c| c.is_ascii_digit() || "*?".contains(c)) {
        return Ok(());
    }
    Err("can match no account id: use 12 digits, with * and ? as wildcards")
}

fn may_match_instance(pattern: &str) -> Result<(), &'static str> {
    if may_match_id("i-", pattern) {
        return Ok(());
    }
    Err("can match no instance id: use i- and 8 or 17 hexadecimal digits, with * and ? as wildcards")
}

fn may_match_image(pattern: &str) -> Result<(), &'static str> {
    if may_match_id("ami-", pattern) {
        return Ok(());
    }
    Err("can match no image id: use ami- and 8 or 17 hexadecimal digits, with * and ? as wildcards")
}

/// Whether the pattern can match `prefix` and 8 or 17 hexadecimal digits in lower case.
fn may_match_id(prefix: &str, pattern: &str) -> bool {
    const HEX: &str = "0123456789abcdef";
    [8, 17].into_iter().any(|digits| {
        let prefix = prefix.char_indices().map(|(at, c)| &prefix[at..at + c.len_utf8()]);
        let allowed: Vec<&str> = prefix.chain(std::iter::repeat_n(HEX, digits)).collect();
        // Whether the pattern so far can match the first characters, by their number.
        let mut reached = vec![false; allowed.len() + 1];
        reached[0] = true;
        for c in pattern.chars() {
            if c == '*' {
                let first = reached.iter().position(|is| *is).unwrap_or(reached.len());
                reached[first..].fill(true);
                continue;
            }
            let next = |at: usize| reached[at] && (c == '?' || allowed[at].contains(c));
            let next: Vec<bool> = (0..allowed.len()).map(next).collect();
            reached = std::iter::once(false).chain(next).collect();
        }
        reached[allowed.len()]
    })
}

fn may_match_region(pattern: &str) -> Result<(), &'static str> {
    let places = pattern.chars().fold(vec![InRegion::Start], step);
    if least_length(pattern) <= 32 && places.contains(&InRegion::Number) {
        return Ok(());
    }
    Err("can match no Region: use a code such as eu-west-1, with * and ? as wildcards")
}

/// A place in a Region's code, which is two or more words and a number, joined by hyphens: `us-gov-west-1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum InRegion {
    Start,
    FirstWord,
    /// After the first word's hyphen.
    SecondStart,
    LaterWord,
    /// After the hyphen of a later word. Another word may follow, or the number.
    NextStart,
    Number,
}

/// The places after `c` of a pattern, from any of `places`.
fn step(mut places: Vec<InRegion>, c: char) -> Vec<InRegion> {
    const ANY: [char; 3] = ['a', '-', '1'];
    let after = |places: &[InRegion], c: char| {
        let each = places.iter().flat_map(|place| match c {
            '?' => ANY.map(|c| place.after(c)).to_vec(),
            c => vec![place.after(c)],
        });
        each.flatten().collect::<Vec<_>>()
    };
    if c != '*' {
        return after(&places, c);
    }
    // No place is more than 5 characters from another.
    for _ in 0..5 {
        places.extend(after(&places, '?'));
        places.sort();
        places.dedup();
    }
    places
}

impl InRegion {
    /// The place after `c`, if `c` may follow.
    fn after(self, c: char) -> Option<Self> {
        match (self, c) {
            (Self::Start | Self::FirstWord, 'a'..='z') => Some(Self::FirstWord),
            (Self::FirstWord, '-') => Some(Self::SecondStart),
            (Self::SecondStart | Self::LaterWord | Self::NextStart, 'a'..='z') => Some(Self::LaterWord),
            (Self::LaterWord, '-') => Some(Self::NextStart),
            (Self::NextStart | Self::Number, '0'..='9') => Some(Self::Number),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_can_match_something() {
        type May = fn(&str) -> Result<(), &'static str>;
        let (account, region): (May, May) = (may_match_account, may_match_region);
        let (value, instance, image): (May, May, May) =
            (may_match_value, may_match_instance, may_match_image);
        let (long, over) = ("v".repeat(256), "v".repeat(257));
        let (stars, many) = (format!("*{long}*"), "*?".repeat(20_000));
        let rows = [
            (account, "111122223333", true),
            (account, "1111????3333", true),
            (account, "*", true),
            (account, "1111*3333", true),
            (account, "", false),
            (account, "1111", false),
            (account, "1111222233334*", false),
            (account, "11112222333a", false),
            (region, "us-east-1", true),
            (region, "us-gov-west-1", true),
            (region, "eusc-de-east-1", true),
            (region, "ap-southeast-12", true),
            (region, "us-gov-*", true),
            (region, "eu-*", true),
            (region, "*", true),
            (region, "*-1", true),
            (region, "??-east-?", true),
            (region, "*east*", true),
            (region, "u*1", true),
            (region, "us-east-*1", true),
            (region, "", false),
            (region, "us", false),
            (region, "us-east", false),
            (region, "us-east1", false),
            (region, "us-east1*", false),
            (region, "us-east-1a", false),
            (region, "us-east-1*a", false),
            (region, "us-1", false),
            (region, "us-?", false),
            (region, "us--east-1", false),
            (region, "-*", false),
            (region, "US-EAST-1", false),
            (region, "eu_west_1", false),
            (region, "Europe (Ireland)", false),
            (region, &many, false),
            (instance, "i-01234567", true),
            (instance, "i-0123456789abcdef0", true),
            (instance, "i-0123456?", true),
            (instance, "i-*", true),
            (instance, "*", true),
            (instance, "?-*f", true),
            (instance, "**i**", true),
            (instance, &many[..38], true),
            (instance, "", false),
            (instance, "i-", false),
            (instance, "i-0123456", false),
            (instance, "i-012345678", false),
            (instance, "i-0123456789abcdef0*1", false),
            (instance, "i-0123456789abcdefg", false),
            (instance, "I-01234567", false),
            (instance, "mi-*", false),
            (instance, &many, false),
            (image, "ami-0123456789abcdef0", true),
            (image, "ami-01234567", true),
            (image, "ami-*", true),
            (image, "*0", true),
            (image, "i-01234567", false),
            (image, "ami-x*", false),
            (image, "my image", false),
            (image, "resolve:ssm:*", false),
            (value, "", true),
            (value, &long, true),
            (value, &stars, true),
            (value, &over, false),
        ];
        for (may_match, pattern, expected) in rows {
            assert_eq!(may_match(pattern).is_ok(), expected, "{pattern:?}");
        }
    }
}
