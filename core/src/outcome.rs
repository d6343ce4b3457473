//! What happened to an instance, and what a retry can do about it.

use std::fmt;

use serde::{Serialize, Serializer};
use time::{Date, Duration};

use crate::ids::{AccountId, InstanceId, Region};
use crate::instance::OptionsState;
use crate::metadata::{Change, MetadataOptions};
use crate::trigger::TriggerKind;

/// What happened to one instance in one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Changed, and verified; a stopped instance takes the change at its next start.
    Enforced,
    /// There was nothing to do.
    Compliant,
    /// Dry run: EC2 would have made the change (`DryRunOperation`).
    WouldEnforce,
    /// A rule or a tag leaves it alone.
    Exempt,
    /// Not ours to change.
    OutOfScope,
    /// EC2 refuses the change by configuration.
    Blocked,
    /// We lack a permission.
    Denied,
    /// The instance does not exist any more.
    Gone,
    /// EC2 accepted the change; it was not `applied` within the verify window.
    Pending,
    /// The instance cannot be changed in its present state, or EC2 does not show it yet.
    NotReady,
    /// EC2 throttled the call, the SDK's own retries included, or our own pace left no time for it.
    Throttled,
    /// The role in the instance's account cannot be assumed; in a new account it may not be there yet.
    Unreachable,
    /// Anything else.
    Failed {
        /// Whether EC2 or the network failed; if not, the request was wrong and stays so.
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

    /// Whether the same event, delivered again later, may end better.
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

/// What happened to one instance, as it is returned and logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceOutcome {
    /// The account that the event came from, which owns the instance.
    pub account: AccountId,
    /// The Region it is in.
    pub region: Region,
    /// Its id.
    pub instance_id: InstanceId,
    /// What named it.
    pub trigger: TriggerKind,
    /// What happened.
    pub outcome: Outcome,
    /// Its options as they were observed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<MetadataOptions>,
    /// What was decided to send, without what EC2 alone refused of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
    /// `applied` or `pending`, as last seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<OptionsState>,
    /// Why it ended so.
    pub reasons: Vec<String>,
    /// What was ignored or left out.
    pub warnings: Vec<String>,
    /// What metrics need beside.
    #[serde(skip)]
    pub metric_fields: MetricFields,
}

/// What metrics need of an instance beside its report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MetricFields {
    /// Whether an event that named it was delivered before.
    pub redelivered: bool,
    /// The time from its launch, or its start, until `HttpTokens=required` was seen applied, where this invocation
    /// brought that about: how long the instance answered IMDSv1.
    pub launch_to_applied: Option<Duration>,
    /// The last day of its exemption.
    pub exempt_until: Option<Date>,
}

/// Whether EC2 is asked to change anything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Changes are made.
    #[default]
    Enforce,
    /// Changes are sent with `DryRun=true`: EC2 answers whether it would make them.
    DryRun,
}
