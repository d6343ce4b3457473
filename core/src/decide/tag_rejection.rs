//! Why a tag under the prefix was ignored.

use std::fmt;

use time::Date;

use super::sourced::SourcedRequirement;
use crate::metadata::{OptionName, OptionValue};

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
    /// The policy does not list the option.
    NotListed,
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
            Self::NoRoom(sourced) => sourced.fmt(f),
            Self::Looser { without } => {
                write!(
                    f,
                    "it is less strict than {without}, which applies without the tag; tags can only tighten"
                )
            }
            Self::PresentUnknown => f.write_str("EC2 did not report the present value"),
            Self::NeedsRule => f.write_str("HttpEndpoint cannot be set by a tag; use a rule"),
            Self::NotListed => f.write_str("the policy does not list the option in instanceTags.options"),
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
