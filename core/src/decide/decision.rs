//! What a decision is made on, and what it says.

use std::fmt;

use super::reason::{Reason, Warning};
use crate::ids::{AccountId, Region};
use crate::instance::Instance;
use crate::metadata::{Change, OptionName};

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
}

/// What to do about an instance, with warnings for its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What to do.
    pub verdict: Verdict,
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
        /// The requirements that it meets.
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
    /// Nothing is decided: EC2 did not report what the decision needs.
    Incomplete {
        /// What it did not report; never empty.
        missing: Vec<Missing>,
    },
}

impl Verdict {
    /// The reasons for the verdict; none if it is incomplete.
    pub fn reasons(&self) -> &[Reason] {
        match self {
            Self::Compliant { reasons }
            | Self::Change { reasons, .. }
            | Self::Exempt { reasons }
            | Self::OutOfScope { reasons }
            | Self::Blocked { reasons } => reasons,
            Self::Incomplete { .. } => &[],
        }
    }
}

/// A value that the decision needs and that EC2 did not report. `Display` is its path in the output of
/// `aws ec2 describe-instances`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Missing {
    /// The instance's state.
    State,
    /// The present value of an option that is required.
    Option(OptionName),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State => f.write_str("State.Name"),
            Self::Option(name) => write!(f, "MetadataOptions.{name}"),
        }
    }
}
