//! An instance with the deliveries that name it, and its observation.

use std::collections::BTreeSet;

use imds_core::call_error::CallError;
use imds_core::ids::InstanceId;
use imds_core::instance::Instance;
use imds_core::outcome::Outcome;
use imds_core::trigger::{Trigger, TriggerKind};

use super::planned::Wanted;

/// When a delivery is retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Retry {
    /// At once, as it only ran out of time: a sweep goes on.
    AtOnce,
    /// After a pause that is longer after each redelivery.
    AfterBackoff,
}

/// An event that names instances.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The content of the event.
    pub trigger: Trigger,
    /// Whether the event was delivered before.
    pub redelivered: bool,
    /// Whether the event is not delivered again: its queue would move it to the dead-letter queue.
    pub is_last: bool,
}

/// A delivery that was not processed completely, for a reason that does not concern a single instance.
#[derive(Debug)]
pub(super) struct Unresolved {
    pub(super) delivery: usize,
    pub(super) why: String,
    pub(super) retry: bool,
}

impl Delivery {
    /// The same event, delivered again.
    pub(super) fn redelivered(&self) -> Self {
        Self { redelivered: true, ..self.clone() }
    }
}

/// An instance, and what the deliveries of the batch say about it.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) id: InstanceId,
    /// The kind with the highest precedence among the deliveries.
    pub(super) kind: TriggerKind,
    /// Whether a record of its launch names it. One that only has the time of a launch names what was started then, too.
    pub(super) is_launch: bool,
    /// The deliveries of the batch that name it, by index.
    pub(super) deliveries: BTreeSet<usize>,
    /// The time since its most recent event.
    pub(super) age: time::Duration,
    /// Whether one of its deliveries is a redelivery.
    pub(super) redelivered: bool,
    /// Whether a redelivery names it alone, so that an earlier delivery left this very instance unfinished.
    pub(super) is_retried: bool,
    /// Whether an event names it for the first time, or alone.
    pub(super) is_new: bool,
    /// Whether each of its deliveries is the last one of its event.
    pub(super) is_last: bool,
    /// Whether a sweep with the watch found it.
    pub(super) is_watched: bool,
    /// Whether EC2 may have made a change whose response was lost.
    pub(super) may_be_changed: bool,
    /// The outcome and the reason of the last failed attempt at a change.
    pub(super) failure: Option<(Outcome, String)>,
    /// The number of failed attempts at a change.
    pub(super) attempts: u32,
    /// What it may become, if it was chosen beforehand; otherwise what the policy requires.
    pub(super) wanted: Option<Wanted>,
}

impl Target {
    pub(super) fn new(id: InstanceId, kind: TriggerKind, age: time::Duration) -> Self {
        Self {
            id,
            kind,
            is_launch: false,
            deliveries: BTreeSet::new(),
            age,
            redelivered: false,
            is_retried: false,
            is_new: false,
            is_last: false,
            is_watched: false,
            may_be_changed: false,
            failure: None,
            attempts: 0,
            wanted: None,
        }
    }
}

/// What a description returned for a target.
#[derive(Debug)]
pub(super) enum Observation {
    Shown(Instance),
    NotShown,
    Failed(CallError),
}
