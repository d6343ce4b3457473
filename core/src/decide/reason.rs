//! The reasons for a decision, and the warnings for the instance's owner.

use std::collections::BTreeMap;
use std::fmt;

use time::Date;

use crate::instance::InstanceState;
use crate::metadata::{OptionName, OptionValue, Requirement};
use crate::text::{Escaped, Quoted};

/// A reason for a decision. `Display` is the sentence that reports show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The baseline, a rule or a tag requires it.
    Required(SourcedRequirement),
    /// The policy requires nothing of this instance.
    NothingRequired,
    /// IMDS is off and nothing requires it to be on, so the other options have no effect.
    EndpointDisabled,
    /// A rule or a tag exempts the instance through this day, in UTC.
    Exempt {
        /// The rule or the tag.
        origin: Origin,
        /// The last day.
        until: Date,
    },
    /// The instance is shutting down or terminated.
    Ending(InstanceState),
    /// Another operator manages the instance.
    ManagedBy(String),
}

impl Reason {
    /// The last day on which the instance is exempt, if this is an exemption.
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
                f.write_str("HttpEndpoint is disabled, so the other options have no effect")
            }
            Self::Exempt { origin, until } => write!(f, "{origin} exempts the instance through {until}"),
            Self::Ending(state) => write!(f, "the instance is {state}"),
            Self::ManagedBy(operator) => write!(f, "the instance is managed by {}", Escaped(operator)),
        }
    }
}

/// The requirements for one instance, one per option.
pub(super) type SourcedRequirements = BTreeMap<OptionName, SourcedRequirement>;

/// A requirement for one option of an instance, and its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcedRequirement {
    /// What is required.
    pub requirement: Requirement,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where a requirement or an exemption comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// `baseline`.
    Baseline,
    /// The rule with that name.
    Rule(String),
    /// The instance's tag with that key.
    Tag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Baseline => f.write_str("baseline"),
            Self::Rule(name) => write!(f, "rule {}", Quoted(name)),
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
    /// A rule would exempt the instance, but its last day has passed.
    ExpiredRule {
        /// The rule's name.
        name: String,
        /// The last day of the exemption.
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
                write!(f, "the exemption in rule {} expired after {until}", Quoted(name))
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
    /// The name after the prefix is not an option.
    UnknownName,
    /// The value is not valid for the option.
    Malformed(OptionName),
    /// A requirement of the policy does not allow the value.
    NoRoom(SourcedRequirement),
    /// The value is less strict than the one that would result without the tag.
    Looser {
        /// The value without the tag.
        without: OptionValue,
    },
    /// EC2 did not report the present value, so it is unknown whether the value is less strict.
    PresentUnknown,
    /// `HttpEndpoint`: a tag must not switch IMDS off or on.
    NeedsRule,
    /// `ExemptUntil`, but the policy allows no exemptions by tag.
    NoExemptions,
    /// `ExemptUntil` with a value that is not a date.
    NoDate,
    /// `ExemptUntil` with a day that has passed.
    Expired,
    /// `ExemptUntil` with a day further ahead than the policy allows.
    TooFarAhead {
        /// The maximum number of days ahead.
        max_days: u16,
    },
    /// `ExemptUntil`, but the instance first ran longer ago than the policy allows.
    TooOld {
        /// The maximum number of days since it first ran.
        max_age_days: u16,
        /// The day on which it first ran, in UTC.
        first_ran: Date,
    },
    /// `ExemptUntil`, but EC2 did not report when the instance first ran, and the policy limits the days since then.
    AgeUnknown {
        /// The maximum number of days since it first ran.
        max_age_days: u16,
    },
}

impl fmt::Display for TagRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownName => {
                let options = OptionName::ALL.map(OptionName::as_str).join(", ");
                write!(f, "the name after the prefix is not one of the options {options}")
            }
            Self::Malformed(name) => write!(f, "{name} must be {}", name.expected()),
            Self::NoRoom(sourced) => write!(f, "{} requires {}", sourced.origin, sourced.requirement),
            Self::Looser { without } => {
                write!(
                    f,
                    "it is less strict than {without}, which applies without the tag; tags can only tighten"
                )
            }
            Self::PresentUnknown => f.write_str("EC2 did not report the present value"),
            Self::NeedsRule => f.write_str("HttpEndpoint cannot be set by a tag; use a rule"),
            Self::NoExemptions => f.write_str("the policy has no instanceTags.exemptions"),
            Self::NoDate => f.write_str("it must be a date such as 2027-03-31"),
            Self::Expired => f.write_str("the day has passed"),
            Self::TooFarAhead { max_days } => {
                write!(f, "the day is more than {max_days} days ahead, the maximum that the policy allows")
            }
            Self::TooOld { max_age_days, first_ran } => write!(
                f,
                "the instance first ran on {first_ran}, more than {max_age_days} days ago, the maximum that the \
                 policy allows"
            ),
            Self::AgeUnknown { max_age_days } => write!(
                f,
                "the policy allows it for {max_age_days} days after the instance first ran, and EC2 did not report \
                 when that was (AttachTime of the primary network interface)"
            ),
        }
    }
}
