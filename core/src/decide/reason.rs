//! Why a decision is what it is, and what its owner should know beside it.

use std::collections::BTreeMap;
use std::fmt;

use time::Date;

use crate::instance::InstanceState;
use crate::metadata::{MetadataOptions, OptionName, Requirement};

/// Why a decision is what it is. `Display` is the sentence that reports show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// A part of the policy, or a tag, requires it.
    Required(SourcedRequirement),
    /// The policy asks nothing of this instance.
    NothingRequired,
    /// IMDS is off and nothing asks for it, so the other options are moot.
    EndpointDisabled,
    /// A rule or a tag leaves the instance alone through this day, in UTC.
    Exempt {
        /// The rule or the tag.
        origin: Origin,
        /// The last day.
        until: Date,
    },
    /// The instance is on its way out.
    Ending(InstanceState),
    /// Another operator manages the instance.
    ManagedBy(String),
}

impl Reason {
    /// The last day on which the instance is exempt, if this exempts it.
    pub fn exempt_until(&self) -> Option<Date> {
        match self {
            Self::Exempt { until, .. } => Some(*until),
            _ => None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Required(sourced) => write!(f, "{} requires {}", sourced.origin, sourced.requirement),
            Self::NothingRequired => f.write_str("the policy requires nothing of this instance"),
            Self::EndpointDisabled => {
                f.write_str("HttpEndpoint is disabled, which makes the other options moot")
            }
            Self::Exempt { origin, until } => write!(f, "{origin} exempts it through {until}"),
            Self::Ending(state) => write!(f, "the instance is {state}"),
            Self::ManagedBy(operator) => write!(f, "the instance is managed by {}", operator.escape_debug()),
        }
    }
}

/// What is required of one instance, an option each.
pub(super) type SourcedRequirements = BTreeMap<OptionName, SourcedRequirement>;

/// What is required of one option of an instance, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcedRequirement {
    /// What is required.
    pub requirement: Requirement,
    /// Where it comes from.
    pub origin: Origin,
}

impl SourcedRequirement {
    pub(super) fn is_met_by(&self, options: &MetadataOptions) -> bool {
        options.get(self.requirement.name()).is_some_and(|value| self.requirement.is_met_by(value))
    }
}

/// Where a requirement or an exemption comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// `baseline`.
    Baseline,
    /// The rule of that name.
    Rule(String),
    /// The instance's tag of that key.
    Tag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Baseline => f.write_str("baseline"),
            Self::Rule(name) => write!(f, "rule {name:?}"),
            Self::Tag(key) => write!(f, "tag {}", Quoted(key)),
        }
    }
}

/// Something that was left out of a change, or ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// `InstanceMetadataTags=enabled` is left out: EC2 refuses it while the instance has this tag key.
    TagKeyForbidsMetadataTags {
        /// The first such key.
        key: String,
    },
    /// `HttpTokens=optional` is left out: EC2 refuses it while the account's defaults enforce tokens.
    TokensEnforced,
    /// A rule would exempt the instance, but its last day is over.
    ExpiredRule {
        /// The rule's name.
        name: String,
        /// The last day on which it held.
        until: Date,
    },
    /// A tag under the prefix was ignored.
    IgnoredTag {
        /// Its key.
        key: String,
        /// Its value.
        value: String,
        /// Why.
        why: TagRejection,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TagKeyForbidsMetadataTags { key } => write!(
                f,
                "InstanceMetadataTags=enabled is left out: EC2 refuses it while the instance has the tag key {}",
                Quoted(key)
            ),
            Self::TokensEnforced => f.write_str(
                "HttpTokens=optional is left out: EC2 refuses it while the account's HttpTokensEnforced is enabled",
            ),
            Self::ExpiredRule { name, until } => {
                write!(f, "rule {name:?} exempted it through {until} and does so no longer")
            }
            Self::IgnoredTag { key, value, why } => {
                write!(f, "tag {} with value {} is ignored: {why}", Quoted(key), Quoted(value))
            }
        }
    }
}

/// Why a tag under the prefix was ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagRejection {
    /// What follows the prefix is no option.
    UnknownName,
    /// The value is none that the option takes.
    Malformed(OptionName),
    /// Requirements of the policy leave no room for the value.
    NoRoom(SourcedRequirement),
    /// The policy is silent, and the value is less strict than the present one.
    Looser,
    /// The policy is silent, and EC2 did not say what the present value is.
    PresentUnknown,
    /// `HttpEndpoint`: a tag must not switch IMDS off or on.
    NeedsRule,
    /// `ExemptUntil`, where the policy lets no tag exempt.
    NoExemptions,
    /// `ExemptUntil` with a value that is no date.
    NoDate,
    /// `ExemptUntil` a day that is over.
    Expired,
    /// `ExemptUntil` a day that is further ahead than the policy allows.
    TooFarAhead {
        /// The most days ahead.
        max_days: u16,
    },
}

impl fmt::Display for TagRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownName => {
                let options = OptionName::ALL.map(OptionName::as_str).join(", ");
                write!(f, "it is named like no option: {options}")
            }
            Self::Malformed(name) => write!(f, "{name} must be {}", name.expected()),
            Self::NoRoom(sourced) => write!(f, "{} requires {}", sourced.origin, sourced.requirement),
            Self::Looser => {
                f.write_str("it is less strict than the present value or what the policy requires, and tags may only tighten")
            }
            Self::PresentUnknown => f.write_str("EC2 does not say what the present value is"),
            Self::NeedsRule => f.write_str("HttpEndpoint is not taken from tags; it needs a rule"),
            Self::NoExemptions => f.write_str("the policy has no instanceTags.exemptions"),
            Self::NoDate => f.write_str("it must be a date such as 2027-03-31"),
            Self::Expired => f.write_str("the day is over"),
            Self::TooFarAhead { max_days } => {
                write!(f, "the day is more than {max_days} days ahead, the most that the policy allows")
            }
        }
    }
}

/// Foreign text in a message: quoted, control characters escaped, and cut where it is long.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 128;
        let end = self.0.char_indices().nth(SHOWN).map_or(self.0.len(), |(end, _)| end);
        let more = if end < self.0.len() { "…" } else { "" };
        write!(f, "{:?}{more}", &self.0[..end])
    }
}
