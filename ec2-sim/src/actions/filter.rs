//! The filters of DescribeInstances.

use crate::clock;
use crate::error::ApiError;
use crate::instance::{Instance, OPTIONS};
use crate::request::Request;

/// The most values of one filter.
const MOST_VALUES: usize = 200;

/// A filter: the instance has one of the values for its name.
#[derive(Debug)]
pub struct Filter {
    field: Field,
    patterns: Vec<Vec<Part>>,
}

#[derive(Debug)]
enum Field {
    Id,
    StateName,
    StateCode,
    Tag(String),
    TagKey,
    ClientToken,
    LaunchTime,
    Option(&'static str),
    OptionsState,
    Reservation,
    Image,
    InstanceType,
    Managed,
}

impl Field {
    fn from_name(name: &str) -> Option<Self> {
        if let Some(key) = name.strip_prefix("tag:") {
            return Some(Self::Tag(key.to_owned()));
        }
        if let Some(option) = name.strip_prefix("metadata-options.") {
            let found = OPTIONS.iter().find(|(name, _, _)| kebab(name) == option);
            let state = (option == "state").then_some(Self::OptionsState);
            return found.map(|(name, _, _)| Self::Option(name)).or(state);
        }
        Some(match name {
            "instance-id" => Self::Id,
            "instance-state-name" => Self::StateName,
            "instance-state-code" => Self::StateCode,
            "tag-key" => Self::TagKey,
            "client-token" => Self::ClientToken,
            "launch-time" => Self::LaunchTime,
            "reservation-id" => Self::Reservation,
            "image-id" => Self::Image,
            "instance-type" => Self::InstanceType,
            "operator.managed" => Self::Managed,
            _ => return None,
        })
    }

    fn values(&self, instance: &Instance) -> Vec<String> {
        match self {
            Self::Id => vec![instance.id.clone()],
            Self::StateName => vec![instance.state.name().to_owned()],
            Self::StateCode => vec![instance.state.code().to_string()],
            Self::Tag(key) => instance.tags.get(key).cloned().into_iter().collect(),
            Self::TagKey => instance.tags.keys().cloned().collect(),
            Self::ClientToken => vec![instance.client_token.clone()],
            Self::LaunchTime => vec![clock::milliseconds(instance.launch_time)],
            Self::Option(name) => instance.options.get(*name).cloned().into_iter().collect(),
            Self::OptionsState => vec![instance.options_state().to_owned()],
            Self::Reservation => vec![instance.reservation.clone()],
            Self::Image => vec![instance.image.clone()],
            Self::InstanceType => vec![instance.instance_type.clone()],
            Self::Managed => vec![instance.operator.is_some().to_string()],
        }
    }
}

/// `http-tokens` of `HttpTokens`.
fn kebab(name: &str) -> String {
    let word =
        |c: char| if c.is_ascii_uppercase() { format!("-{}", c.to_ascii_lowercase()) } else { c.to_string() };
    name.chars().map(word).collect::<String>().trim_start_matches('-').to_owned()
}

impl Filter {
    pub fn matches(&self, instance: &Instance) -> bool {
        let values = self.field.values(instance);
        values.iter().any(|value| self.patterns.iter().any(|pattern| is_match(pattern, value)))
    }
}

/// Reads the filters of a call.
pub fn read(request: &Request) -> Result<Vec<Filter>, ApiError> {
    let filter = |member: &String| {
        let name = request.needed(&format!("{member}.Name"))?;
        let values = request.list(&format!("{member}.Value"));
        if values.len() > MOST_VALUES {
            let message =
                format!("The maximum number of filter values specified on a single call is {MOST_VALUES}");
            return Err(ApiError::new(400, "FilterLimitExceeded", message));
        }
        let Some(field) = Field::from_name(name) else {
            let message = format!("The filter '{name}' is invalid");
            return Err(ApiError::new(400, "InvalidParameterValue", message));
        };
        Ok(Filter { field, patterns: values.iter().map(|value| parts(value)).collect() })
    };
    request.members("Filter").iter().map(filter).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Any,
    One,
    Literal(char),
}

/// `*` and `?` are wildcards, and a backslash takes the next character literally.
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

/// Whether the parts cover the whole of `text`: `reached[i]` says that the first `i` parts cover what was read.
fn is_match(parts: &[Part], text: &str) -> bool {
    let skip = |reached: &mut Vec<bool>| {
        for (i, part) in parts.iter().enumerate() {
            reached[i + 1] |= *part == Part::Any && reached[i];
        }
    };
    let mut reached = vec![false; parts.len() + 1];
    reached[0] = true;
    skip(&mut reached);
    for character in text.chars() {
        let mut next = vec![false; parts.len() + 1];
        for (i, part) in parts.iter().enumerate().filter(|(i, _)| reached[*i]) {
            match part {
                Part::Any => next[i] = true,
                Part::One => next[i + 1] = true,
                Part::Literal(literal) => next[i + 1] |= *literal == character,
            }
        }
        skip(&mut next);
        reached = next;
    }
    reached[parts.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_and_escapes() {
        let rows = [
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("a*", "abc", true),
            ("*", "", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            (r"a\*c", "a*c", true),
            (r"a\*c", "abc", false),
            (r"a\\", r"a\", true),
            ("*b*d", "abcbd", true),
            ("*b*d", "abcb", false),
            ("2026-03-17T*", "2026-03-17T00:59:42.000Z", true),
        ];
        for (pattern, text, expected) in rows {
            assert_eq!(is_match(&parts(pattern), text), expected, "{pattern:?} on {text:?}");
        }
    }

    #[test]
    fn options_are_filters_by_their_names() {
        for name in [
            "http-tokens",
            "http-put-response-hop-limit",
            "http-endpoint",
            "http-protocol-ipv6",
            "instance-metadata-tags",
            "state",
        ] {
            assert!(Field::from_name(&format!("metadata-options.{name}")).is_some(), "{name}");
        }
        assert!(Field::from_name("metadata-options.nonsense").is_none());
    }
}
