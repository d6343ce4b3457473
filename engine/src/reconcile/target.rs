//! What is asked about: an instance and the deliveries that named it; and what EC2 said about it.

use std::collections::BTreeSet;

use imds_core::call_error::CallError;
use imds_core::ids::InstanceId;
use imds_core::instance::Instance;
use imds_core::trigger::{Trigger, TriggerKind};

/// An event that asks to look at instances.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// What the event says.
    pub trigger: Trigger,
    /// Whether the event was delivered before.
    pub redelivered: bool,
}

/// An instance, and all that the deliveries of the batch say about it.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) id: InstanceId,
    /// The kind that prevails among the deliveries.
    pub(super) kind: TriggerKind,
    /// Which deliveries of the batch named it.
    pub(super) deliveries: BTreeSet<usize>,
    /// The time since the youngest of its events.
    pub(super) age: time::Duration,
    /// Whether one of its deliveries was delivered before.
    pub(super) redelivered: bool,
    /// How often a change was tried in vain.
    pub(super) attempts: u32,
}

/// What EC2 said about a target.
#[derive(Debug)]
pub(super) enum Observation {
    Shown(Instance),
    NotShown,
    Failed(CallError),
}
