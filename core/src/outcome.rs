//! What happened to an instance, and whether a retry can help.

use std::fmt;

use serde::{Serialize, Serializer};
use time::{Date, Duration, OffsetDateTime};

use crate::ids::{AccountId, InstanceId, Region};
use crate::instance::OptionsState;
use crate::metadata::{Change, MetadataOptions};
use crate::mode::Mode;
use crate::source::Source;
use crate::trigger::TriggerKind;
use crate::usage::Use;

/// What happened to one instance in one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Changed and verified. A stopped instance applies the change at its next start.
    Enforced,
    /// Every requirement was already met.
    Compliant,
    /// Dry run: EC2 would have made the change (`DryRunOperation`).
    WouldEnforce,
    /// A rule or a tag exempts the instance.
    Exempt,
    /// The instance must not be changed: it is terminating, or another operator manages it.
    OutOfScope,
    /// The usage gate holds `HttpTokens=required` back. Every other requirement is met, or EC2 would refuse it.
    InUse,
    /// The change is left to the next sweep, or to the next run of the plan: the limits are reached, or the run ends.
    Deferred,
    /// The change that is due is not the planned one.
    ChangedSincePlan,
    /// EC2 refuses the change because of the configuration of the instance or the account.
    Blocked,
    /// A permission is missing.
    Denied,
    /// The instance no longer exists.
    Gone,
    /// EC2 accepted the change, but it was not `applied` within the verification time.
    Pending,
    /// The instance cannot be changed in its present state, EC2 does not return it yet, or it returns it incompletely:
    /// the response is cut off, or lacks the state or a required option.
    NotReady,
    /// EC2 throttled the call and every retry, or our own rate limit left no time for it.
    Throttled,
    /// The role in the instance's account cannot be assumed, or STS does not respond in time. In a new account, the
    /// role may not exist yet.
    Unreachable,
    /// Anything else.
    Failed {
        /// `true`, but for a dry run that EC2 carried out.
        retry: bool,
    },
}

impl Outcome {
    /// The name in reports and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforced => "enforced",
            Self::Compliant => "compliant",
            Self::WouldEnforce => "would-enforce",
            Self::Exempt => "exempt",
            Self::OutOfScope => "out-of-scope",
            Self::InUse => "in-use",
            Self::Deferred => "deferred",
            Self::ChangedSincePlan => "changed-since-plan",
            Self::Blocked => "blocked",
            Self::Denied => "denied",
            Self::Gone => "gone",
            Self::Pending => "pending",
            Self::NotReady => "not-ready",
            Self::Throttled => "throttled",
            Self::Unreachable => "unreachable",
            Self::Failed { .. } => "failed",
        }
    }

    /// Whether a redelivery of the same event may succeed.
    pub fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::Pending
                | Self::NotReady
                | Self::Throttled
                | Self::Unreachable
                | Self::Failed { retry: true }
        )
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What happened to one instance, as returned and logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceOutcome {
    /// The account that the event came from, which owns the instance.
    pub account: AccountId,
    /// The Region it is in.
    pub region: Region,
    /// Its id.
    pub instance_id: InstanceId,
    /// The kind of event that named it.
    pub trigger: TriggerKind,
    /// Whether it is changed, or only dry runs are sent.
    pub mode: Mode,
    /// What happened.
    pub outcome: Outcome,
    /// What it came from, if its tags tell that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// Its use of IMDSv1, if CloudWatch was asked.
    #[serde(rename = "usage", skip_serializing_if = "Option::is_none")]
    pub usage: Option<Use>,
    /// Its options as observed before the change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<MetadataOptions>,
    /// The change that was decided on, without options that EC2 refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
    /// `applied` or `pending`, as last observed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<OptionsState>,
    /// The reasons for the outcome.
    pub reasons: Vec<String>,
    /// What was ignored or left out.
    pub warnings: Vec<String>,
    /// What metrics and outcome events need beside it.
    #[serde(skip)]
    pub unlogged: Unlogged,
}

/// What metrics and outcome events need of an instance, and its report does not have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unlogged {
    /// Whether its options are still not applied on a redelivery, more than 15 minutes after the event.
    pub is_pending_too_long: bool,
    /// The time from its launch or start until `HttpTokens=required` was observed as applied, if this delivery or an
    /// earlier one made the change: how long the instance answered IMDSv1.
    pub launch_to_applied: Option<Duration>,
    /// The last day of its exemption.
    pub exempt_until: Option<Date>,
    /// When it first ran.
    pub first_ran: Option<OffsetDateTime>,
    /// The calls without a token that were refused in the 24 hours before, if CloudWatch was asked.
    pub rejected_calls: u64,
    /// Whether EC2 accepted a change in this batch, of all options or of some.
    pub is_changed: bool,
    /// Whether an event names it for the first time; or a redelivery names it alone, because an earlier delivery left this very
    /// instance unfinished.
    pub is_new: bool,
    /// Whether no event of the batch that names it is delivered again, whatever the outcome. `false` in a sweep, and without a
    /// queue.
    pub is_last_receive: bool,
    /// Whether a sweep with the watch found it.
    pub is_watched: bool,
}
