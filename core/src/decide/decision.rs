//! What a decision is made on, and what it says.

use std::fmt;

use time::Date;

use super::group::Group;
use super::held_back::{GroupUse, HeldBack};
use super::reason::{Reason, Warning};
use crate::ids::{AccountId, Region};
use crate::instance::{Instance, Missing};
use crate::metadata::Change;
use crate::mode::Mode;
use crate::usage::{Usage, Use};

/// What is known about an instance at the time of the decision.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The account that owns it.
    pub account: &'a AccountId,
    /// The Region it is in.
    pub region: &'a Region,
    /// The instance as EC2 described it.
    pub instance: &'a Instance,
    /// Whether the account's defaults enforce tokens (`HttpTokensEnforced`); `None` if they were not read.
    pub tokens_enforced: Option<bool>,
    /// Whether a record of its launch names it.
    pub is_launch: bool,
    /// Its use of IMDSv1; `None` if CloudWatch was not asked.
    pub usage: Option<&'a Usage>,
    /// Whether an instance of its group is held back; `None` if that was not asked.
    pub group: Option<&'a GroupUse>,
}

/// What to do about an instance, with warnings for its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What to do.
    pub verdict: Verdict,
    /// Whether a change is made, or only a dry run is sent.
    pub mode: Mode,
    /// Its use of IMDSv1, if the usage gate looked at it.
    pub usage: Option<Use>,
    /// What was left out of the change, or ignored.
    pub warnings: Vec<Warning>,
}

/// What to do about an instance, with the reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every requirement is already met.
    Compliant {
        /// The requirements that are met.
        reasons: Vec<Reason>,
    },
    /// Send exactly `change`; no other option changes.
    Change {
        /// What differs.
        change: Change,
        /// The requirements that it meets, and why `HttpTokens=required` is held back, if it is.
        reasons: Vec<Reason>,
    },
    /// A rule or a tag exempts the instance.
    Exempt {
        /// Each exemption and its last day; the latest day applies.
        reasons: Vec<Reason>,
    },
    /// The instance must not be changed: it is terminating, or another operator manages it.
    OutOfScope {
        /// Why not.
        reasons: Vec<Reason>,
    },
    /// Requirements are not met, but EC2 would refuse every change; the warnings say why.
    Blocked {
        /// The requirements that cannot be met.
        reasons: Vec<Reason>,
    },
    /// The usage gate holds `HttpTokens=required` back, and there is nothing else to send.
    InUse {
        /// Why it is held back.
        reasons: Vec<Reason>,
    },
    /// Nothing is decided: the usage gate must know this first.
    NeedsUsage(Needed),
    /// Nothing is decided: EC2 did not report what the decision needs.
    Incomplete {
        /// What it did not report; never empty.
        missing: Vec<Missing>,
    },
}

/// What the usage gate must know before it decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Needed {
    /// The instance's own use of IMDSv1 from this day (UTC) on.
    Usage {
        /// The first day.
        since: Date,
    },
    /// Whether an instance of its group is held back.
    Group(Group),
}

/// What is asked, as a sentence without its end.
impl fmt::Display for Needed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage { since } => write!(
                f,
                "the usage gate asks CloudWatch for the calls without a token since {since} (MetadataNoToken)"
            ),
            Self::Group(group) => {
                write!(f, "the usage gate asks whether an older instance of the {group} is held back")
            }
        }
    }
}

impl Verdict {
    /// Why the usage gate holds `HttpTokens=required` back, if it does. Other options may change nevertheless.
    pub fn held_back(&self) -> Option<&HeldBack> {
        self.reasons().iter().find_map(|reason| match reason {
            Reason::HeldBack(why) => Some(why),
            _ => None,
        })
    }

    /// The reasons for the verdict; none if nothing is decided.
    pub fn reasons(&self) -> &[Reason] {
        match self {
            Self::Compliant { reasons }
            | Self::Change { reasons, .. }
            | Self::Exempt { reasons }
            | Self::OutOfScope { reasons }
            | Self::Blocked { reasons }
            | Self::InUse { reasons } => reasons,
            Self::NeedsUsage(_) | Self::Incomplete { .. } => &[],
        }
    }
}
