//! Why the usage gate holds a change back.

use std::fmt;

use super::group::Group;
use crate::ids::InstanceId;
use crate::text::{Thousands, plural};
use crate::usage::Use;

/// Why the usage gate holds `HttpTokens=required` back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeldBack {
    /// The instance made more calls without a token than are tolerated.
    Calls(Use),
    /// There were data on too few days.
    TooLittleData {
        /// What was found.
        found: Use,
        /// The number of days on which there must be data.
        min_days: u16,
    },
    /// CloudWatch refused to answer.
    UsageRefused {
        /// Its answer.
        why: String,
    },
    /// The instance is new, and an older one of its group is held back.
    WithGroup {
        /// The group.
        group: Group,
        /// The older instance.
        instance: InstanceId,
        /// Why that is held back.
        why: Box<HeldBack>,
    },
}

/// Whether the instances of a group are held back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupUse {
    /// None of those that were looked at.
    Free,
    /// This one is.
    HeldBack {
        /// The instance.
        instance: InstanceId,
        /// Why.
        why: HeldBack,
    },
}

impl HeldBack {
    /// What CloudWatch answered if it refused to say whether the instance, or the older one of its group, uses IMDSv1.
    pub(super) fn refusal(&self) -> Option<&str> {
        match self {
            Self::UsageRefused { why } => Some(why),
            Self::WithGroup { why, .. } => why.refusal(),
            Self::Calls(_) | Self::TooLittleData { .. } => None,
        }
    }
}

impl fmt::Display for HeldBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Calls(found) => {
                let calls = plural(found.calls, "call", "calls");
                let days = plural(found.days, "day", "days");
                write!(f, "{} {calls} without a token in {} {days}", Thousands(found.calls), found.days)?;
                found.last_day.map_or(Ok(()), |day| write!(f, ", the last on {day}"))
            }
            Self::TooLittleData { found, min_days } => {
                write!(f, "observed on {} of {min_days} days", found.observed_days)
            }
            Self::UsageRefused { .. } => {
                f.write_str("CloudWatch refused to say whether the instance makes calls without a token")
            }
            Self::WithGroup { group, instance, why } => {
                write!(f, "instance {instance} of the same {group} is held back ({why})")
            }
        }
    }
}
