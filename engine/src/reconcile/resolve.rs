//! Deliveries → the current state of the instances that they name.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use imds_core::call_error::{Call, CallError};
use imds_core::ids::InstanceId;
use imds_core::selector::InstanceSelector;
use imds_core::trigger::TriggerKind;

use super::describe::{DESCRIBES_AT_ONCE, describe};
use super::selection::Selection;
use super::target::{Delivery, Observation, Target, Unresolved};
use crate::aws::client::{Listed, RegionClient};
use crate::deadline::Deadline;

/// The pauses before instances that EC2 did not return are described again: after a launch, DescribeInstances lags by
/// seconds (eventual consistency).
const DESCRIBE_AGAIN_AFTER: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];

/// Finds the instances that the deliveries of one account and Region name, each once.
pub(super) struct Resolver<'a> {
    client: &'a RegionClient,
    deadline: &'a Deadline,
    targets: BTreeMap<InstanceId, Target>,
    /// What EC2 said about targets that were not handed out yet.
    observed: BTreeMap<InstanceId, Observation>,
    handed_out: BTreeSet<InstanceId>,
    selections: Vec<Selection<'a>>,
    /// How often the targets were described.
    descriptions: usize,
}

impl<'a> Resolver<'a> {
    /// Takes the deliveries, with their indices.
    pub(super) fn new(
        client: &'a RegionClient,
        deadline: &'a Deadline,
        batch: &[(usize, &'a Delivery)],
    ) -> Self {
        let mut resolver = Self {
            client,
            deadline,
            targets: BTreeMap::new(),
            observed: BTreeMap::new(),
            handed_out: BTreeSet::new(),
            selections: Vec::new(),
            descriptions: 0,
        };
        for &(index, delivery) in batch {
            match &delivery.trigger.instances {
                InstanceSelector::Ids(ids) => ids.iter().for_each(|id| resolver.name(id, index, delivery)),
                selector => resolver.select(selector, index, delivery),
            }
        }
        resolver
    }

    /// Returns the instances that can be decided on now: what EC2 returns at once, then what it returns after a pause, at
    /// last those that it does not return. An instance that is not visible yet delays no other. `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Vec<(Target, Observation)>> {
        while self.is_to_be_described().await {
            self.descriptions += 1;
            self.describe().await;
            if !self.observed.is_empty() {
                return Some(self.hand_out());
            }
        }
        let missing: Vec<InstanceId> = self.missing().cloned().collect();
        self.observed.extend(missing.into_iter().map(|id| (id, Observation::NotShown)));
        Some(self.hand_out()).filter(|observations| !observations.is_empty())
    }

    /// Returns the deliveries that named this instance.
    pub(super) fn deliveries_of(&self, id: &InstanceId) -> impl Iterator<Item = usize> {
        self.targets.get(id).into_iter().flat_map(|target| target.deliveries.iter().copied())
    }

    /// Returns how many instances have an ID of a form that is not known.
    pub(super) fn unknown_ids(&self) -> usize {
        self.selections.iter().map(|selection| selection.unknown_ids.len()).sum()
    }

    /// Returns the deliveries for which EC2 may have more instances than it returned.
    pub(super) fn unresolved(&self) -> Vec<Unresolved> {
        self.selections.iter().flat_map(|selection| selection.unresolved(self.deadline.now)).collect()
    }

    /// Returns whether another description is due, after the pause before it.
    async fn is_to_be_described(&self) -> bool {
        let Some(before) = self.descriptions.checked_sub(1) else { return true };
        let Some(pause) = DESCRIBE_AGAIN_AFTER.get(before) else { return false };
        if self.is_settled() || !self.deadline.allows(*pause) {
            return false;
        }
        tokio::time::sleep(*pause).await;
        true
    }

    fn hand_out(&mut self) -> Vec<(Target, Observation)> {
        let observed = std::mem::take(&mut self.observed);
        self.handed_out.extend(observed.keys().cloned());
        observed
            .into_iter()
            .filter_map(|(id, observation)| Some((self.targets.get(&id)?.clone(), observation)))
            .collect()
    }

    fn name(&mut self, id: &InstanceId, index: usize, delivery: &Delivery) {
        let age = self.deadline.now - delivery.trigger.time;
        let is_alone = matches!(&delivery.trigger.instances, InstanceSelector::Ids(ids) if ids.len() == 1);
        let target = self
            .targets
            .entry(id.clone())
            .or_insert_with(|| Target::new(id.clone(), delivery.trigger.kind, age));
        target.kind = target.kind.min(delivery.trigger.kind);
        target.age = target.age.min(age);
        target.is_launch |= is_launch(delivery);
        target.redelivered |= delivery.redelivered;
        target.is_retried |= delivery.redelivered && is_alone;
        target.is_new |= !delivery.redelivered || is_alone;
        // If another delivery is not the last one of its event, the instance is retried.
        target.is_last = delivery.is_last && (target.is_last || target.deliveries.is_empty());
        target.deliveries.insert(index);
    }

    fn select(&mut self, selector: &'a InstanceSelector, index: usize, delivery: &'a Delivery) {
        match self.selections.iter_mut().find(|selection| selection.selector == selector) {
            Some(selection) => selection.deliveries.push((index, delivery)),
            None => self.selections.push(Selection::new(selector, index, delivery)),
        }
    }

    /// Describes the launches whose instance IDs are not known, except settled ones.
    async fn describe_selections(&mut self) {
        let mut selections = std::mem::take(&mut self.selections);
        let (client, deadline) = (self.client, self.deadline);
        let described = stream::iter(selections.iter_mut().filter(|selection| !selection.is_settled))
            .map(async |selection| {
                let found =
                    deadline.bound(Call::DescribeInstances, client.describe(selection.selector)).await;
                (selection, found)
            })
            .buffer_unordered(DESCRIBES_AT_ONCE);
        for (selection, found) in described.collect::<Vec<_>>().await {
            self.found(selection, found);
        }
        self.selections = selections;
    }

    fn found(&mut self, selection: &mut Selection<'_>, found: Result<Listed, CallError>) {
        selection.take(&found);
        for instance in found.into_iter().flat_map(|listed| listed.instances) {
            for (index, delivery) in &selection.deliveries {
                self.name(&instance.id, *index, delivery);
            }
            if !self.handed_out.contains(&instance.id) {
                self.observed.insert(instance.id.clone(), Observation::Shown(instance));
            }
        }
    }

    fn is_settled(&self) -> bool {
        self.missing().next().is_none() && self.selections.iter().all(Selection::is_done)
    }

    fn missing(&self) -> impl Iterator<Item = &InstanceId> {
        self.targets.keys().filter(|id| !self.observed.contains_key(*id) && !self.handed_out.contains(*id))
    }

    async fn describe(&mut self) {
        self.describe_selections().await;
        let missing: Vec<InstanceId> = self.missing().cloned().collect();
        let described = describe(self.client, self.deadline, &missing).await;
        let shown = described.shown.into_iter();
        self.observed.extend(shown.map(|(id, instance)| (id, Observation::Shown(instance))));
        let failed = described.failed.into_iter();
        self.observed.extend(failed.map(|(id, error)| (id, Observation::Failed(error))));
    }
}

/// Returns whether the event is the record of a launch and has the IDs or the client token of its instances.
fn is_launch(delivery: &Delivery) -> bool {
    let names =
        matches!(delivery.trigger.instances, InstanceSelector::Ids(_) | InstanceSelector::ClientToken { .. });
    delivery.trigger.kind == TriggerKind::Launch && names
}
