//! The kinds of event.

use serde::Serialize;

/// The kinds of event, in order of precedence. If several events in a batch name one instance, the instance is
/// reported under the first of their kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TriggerKind {
    /// CloudTrail recorded `RunInstances`.
    Launch,
    /// CloudTrail recorded `ModifyInstanceMetadataOptions`, which may be our own call.
    Drift,
    /// A tag that the policy reads was added, changed or removed.
    TagChange,
    /// An instance is now running or stopped.
    StateChange,
    /// A sweep of every instance, by schedule or on demand.
    Sweep,
}
