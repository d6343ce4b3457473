//! The reasons for a decision, and the warnings for the instance's owner.

use std::fmt;
use std::sync::Arc;

use time::Date;

use super::held_back::HeldBack;
use super::sourced::{Origin, SourcedRequirement};
use super::tag_rejection::TagRejection;
use crate::call_error::Call;
use crate::instance::InstanceState;
use crate::policy::RuleLabel;
use crate::text::{Answered, Escaped, Quoted};

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
    /// The usage gate holds `HttpTokens=required` back.
    HeldBack(HeldBack),
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
            Self::Required(sourced) => sourced.fmt(f),
            Self::NothingRequired => f.write_str("the policy requires nothing of this instance"),
            Self::EndpointDisabled => {
                f.write_str("HttpEndpoint is disabled, so the other options have no effect")
            }
            Self::Exempt { origin, until } => {
                write!(f, "{origin} exempts the instance through {until}{}", origin.responsible())
            }
            Self::Ending(state) => write!(f, "the instance is {state}"),
            Self::ManagedBy(operator) => write!(f, "the instance is managed by {}", Escaped(operator)),
            Self::HeldBack(why) => write!(f, "HttpTokens=required is held back: {why}"),
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
        /// The rule.
        rule: Arc<RuleLabel>,
        /// The last day of the exemption.
        until: Date,
    },
    /// A rule would only send dry runs, but its last day has passed.
    ExpiredDryRun {
        /// The rule.
        rule: Arc<RuleLabel>,
        /// The last day of the dry run.
        until: Date,
    },
    /// CloudWatch refused to say whether the instance uses IMDSv1.
    UsageRefused {
        /// Its answer.
        why: String,
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
            Self::ExpiredRule { rule, until } => {
                write!(f, "the exemption in rule {rule} expired after {until}{}", rule.responsible())
            }
            Self::ExpiredDryRun { rule, until } => {
                write!(f, "the dry run in rule {rule} expired after {until}{}", rule.responsible())
            }
            Self::UsageRefused { why } => {
                write!(f, "the permission {} is missing: {}", Call::GetMetricData, Answered(why))
            }
            Self::IgnoredTag { key, value, why } => {
                write!(f, "tag {} with value {} is ignored: {why}", Quoted(key), Quoted(value))
            }
        }
    }
}
