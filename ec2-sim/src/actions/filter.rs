//! The filters of a call, and those of DescribeInstances.

use crate::clock;
use crate::error::ApiError;
use crate::instance::{Instance, OPTIONS};
use crate::pattern::Patterns;
use crate::request::Request;

/// The limits of filters per call, values per filter and characters per value: EC2 user guide, "List and filter your
/// resources".
const MOST_FILTERS: usize = 50;
const MOST_VALUES: usize = 200;
const MOST_CHARACTERS: usize = 255;

/// A filter. An instance matches if it has one of the values.
#[derive(Debug)]
pub struct Filter {
    field: Field,
    patterns: Patterns,
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
    Ipv4,
    Reservation,
    Image,
    InstanceType,
    Zone,
    Managed,
    Principal,
}

impl Field {
    fn from_name(name: &str) -> Option<Self> {
        if let Some(key) = name.strip_prefix("tag:") {
            return Some(Self::Tag(key.to_owned()));
        }
        if let Some(option) = name.strip_prefix("metadata-options.") {
            return match option {
                "state" => Some(Self::OptionsState),
                "http-protocol-ipv4" => Some(Self::Ipv4),
                _ => OPTIONS
                    .iter()
                    .find(|(name, ..)| kebab(name) == option)
                    .map(|(name, ..)| Self::Option(name)),
            };
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
            "availability-zone" => Self::Zone,
            "operator.managed" => Self::Managed,
            "operator.principal" => Self::Principal,
            _ => return None,
        })
    }

    /// Whether `is_wanted` accepts one of the instance's values.
    fn is_any(&self, instance: &Instance, is_wanted: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::Id => is_wanted(&instance.id),
            Self::StateName => is_wanted(instance.state.name()),
            Self::StateCode => is_wanted(&instance.state.code().to_string()),
            Self::Tag(key) => instance.tags.get(key).is_some_and(|value| is_wanted(value)),
            Self::TagKey => instance.tags.keys().any(|key| is_wanted(key)),
            Self::ClientToken => is_wanted(&instance.client_token),
            Self::LaunchTime => is_wanted(&clock::milliseconds(instance.launch_time)),
            Self::Option(name) => instance.options.get(*name).is_some_and(|value| is_wanted(value)),
            Self::OptionsState => is_wanted(instance.options_state()),
            Self::Ipv4 => is_wanted("enabled"),
            Self::Reservation => is_wanted(&instance.reservation),
            Self::Image => is_wanted(&instance.image),
            Self::InstanceType => is_wanted(&instance.instance_type),
            Self::Zone => is_wanted(&instance.zone),
            Self::Managed => is_wanted(if instance.operator.is_some() { "true" } else { "false" }),
            Self::Principal => instance.operator.as_deref().is_some_and(is_wanted),
        }
    }
}

/// Converts `HttpTokens` to `http-tokens`.
fn kebab(name: &str) -> String {
    let word =
        |c: char| if c.is_ascii_uppercase() { format!("-{}", c.to_ascii_lowercase()) } else { c.to_string() };
    name.chars().map(word).collect::<String>().trim_start_matches('-').to_owned()
}

impl Filter {
    pub fn matches(&self, instance: &Instance) -> bool {
        self.field.is_any(instance, |value| self.patterns.matches(value))
    }

    /// The only ids that can match, if the filter is on ids and has no wildcards.
    pub fn ids(&self) -> Option<impl Iterator<Item = &str>> {
        matches!(self.field, Field::Id).then(|| self.patterns.literals()).flatten()
    }
}

/// Reads the filters of DescribeInstances.
pub fn read(request: &Request) -> Result<Vec<Filter>, ApiError> {
    let filter = |(name, patterns): (&str, Patterns)| {
        let field = Field::from_name(name).ok_or_else(|| unknown(name))?;
        Ok(Filter { field, patterns })
    };
    conditions(request)?.into_iter().map(filter).collect()
}

/// Reads the names and the values of the filters of any call.
pub fn conditions(request: &Request) -> Result<Vec<(&str, Patterns)>, ApiError> {
    let members = request.members("Filter");
    if members.len() > MOST_FILTERS {
        return Err(too_many(&format!("filters specified on a single call is {MOST_FILTERS}")));
    }
    members.iter().map(|member| condition(request, member)).collect()
}

fn condition<'r>(request: &'r Request, member: &str) -> Result<(&'r str, Patterns), ApiError> {
    let name = request.needed(&format!("{member}.Name"))?;
    let values = request.list(&format!("{member}.Value"));
    if values.len() > MOST_VALUES {
        return Err(too_many(&format!("filter values specified on a single call is {MOST_VALUES}")));
    }
    if let Some(value) = values.iter().find(|value| value.chars().count() > MOST_CHARACTERS) {
        return Err(ApiError::invalid_value(value, name, "Filter values have at most 255 characters."));
    }
    Ok((name, Patterns::new(&values)))
}

/// The action has no filter with this name.
pub fn unknown(name: &str) -> ApiError {
    ApiError::new(400, "InvalidParameterValue", format!("The filter '{name}' is invalid"))
}

fn too_many(what: &str) -> ApiError {
    ApiError::new(400, "FilterLimitExceeded", format!("The maximum number of {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_filters_by_their_names() {
        for name in [
            "http-tokens",
            "http-put-response-hop-limit",
            "http-endpoint",
            "http-protocol-ipv4",
            "http-protocol-ipv6",
            "instance-metadata-tags",
            "state",
        ] {
            assert!(Field::from_name(&format!("metadata-options.{name}")).is_some(), "{name}");
        }
        assert!(Field::from_name("metadata-options.nonsense").is_none());
    }
}
