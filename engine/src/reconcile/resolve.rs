//! Deliveries → the current state of the instances that they name.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use imds_core::call_error::{Call, CallError, unknown_instance};
use imds_core::ids::InstanceId;
use imds_core::instance::Instance;
use imds_core::outcome::Outcome;
use imds_core::selector::InstanceSelector;
use time::OffsetDateTime;

use super::describe::{DESCRIBES_AT_ONCE, describe};
use super::target::{Delivery, Observation, Target};
use crate::aws::client::RegionClient;
use crate::deadline::Deadline;

/// The pauses before instances that EC2 did not return are described again: after a launch, DescribeInstances lags by
/// seconds (eventual consistency).
const DESCRIBE_AGAIN_AFTER: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];

/// A delivery that was not processed completely, for a reason that does not concern a single instance.
#[derive(Debug)]
pub(super) struct Unresolved {
    pub(super) delivery: usize,
    pub(super) why: String,
    pub(super) retry: bool,
}

/// All instances that the deliveries name, each once, and the deliveries whose instances could not be determined.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    pub(super) observations: Vec<(Target, Observation)>,
    pub(super) unresolved: Vec<Unresolved>,
}

/// Describes all instances that `batch` names. `batch` holds the deliveries of one account and Region, with their
/// indices.
pub(super) async fn resolve(
    client: &RegionClient,
    batch: &[(usize, &Delivery)],
    deadline: &Deadline,
) -> Resolved {
    let mut resolver = Resolver {
        client,
        deadline,
        targets: BTreeMap::new(),
        observed: BTreeMap::new(),
        selections: Vec::new(),
    };
    for &(index, delivery) in batch {
        match &delivery.trigger.instances {
            InstanceSelector::Ids(ids) => ids.iter().for_each(|id| resolver.name(id, index, delivery)),
            selector => resolver.select(selector, index, delivery),
        }
    }
    resolver.describe().await;
    for pause in DESCRIBE_AGAIN_AFTER {
        if deadline.allows(pause) && !resolver.is_settled() {
            tokio::time::sleep(pause).await;
            resolver.describe().await;
        }
    }
    resolver.finish()
}

/// A launch whose instance IDs are not known, and the deliveries that name it.
struct Selection<'a> {
    selector: &'a InstanceSelector,
    deliveries: Vec<(usize, &'a Delivery)>,
    /// How many instances the last description found.
    found: Result<usize, CallError>,
    /// Whether two consecutive descriptions found the same number of instances, and enough of them.
    is_settled: bool,
}

struct Resolver<'a> {
    client: &'a RegionClient,
    deadline: &'a Deadline,
    targets: BTreeMap<InstanceId, Target>,
    observed: BTreeMap<InstanceId, Observation>,
    selections: Vec<Selection<'a>>,
}

impl<'a> Resolver<'a> {
    fn name(&mut self, id: &InstanceId, index: usize, delivery: &Delivery) {
        let age = self.deadline.now - delivery.trigger.time;
        let target = self.targets.entry(id.clone()).or_insert_with(|| Target {
            id: id.clone(),
            kind: delivery.trigger.kind,
            deliveries: BTreeSet::new(),
            age,
            redelivered: false,
            attempts: 0,
        });
        target.kind = target.kind.min(delivery.trigger.kind);
        target.age = target.age.min(age);
        target.redelivered |= delivery.redelivered;
        target.deliveries.insert(index);
    }

    fn select(&mut self, selector: &'a InstanceSelector, index: usize, delivery: &'a Delivery) {
        match self.selections.iter_mut().find(|selection| selection.selector == selector) {
            Some(selection) => selection.deliveries.push((index, delivery)),
            None => self.selections.push(Selection {
                selector,
                deliveries: vec![(index, delivery)],
                found: Ok(0),
                is_settled: false,
            }),
        }
    }

    /// Describes the launches whose instance IDs are not known, except those that are settled.
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

    fn found(&mut self, selection: &mut Selection<'_>, found: Result<Vec<Instance>, CallError>) {
        let count = found.map(|instances| {
            let count = instances.len();
            for instance in instances {
                selection
                    .deliveries
                    .iter()
                    .for_each(|(index, delivery)| self.name(&instance.id, *index, delivery));
                self.observed.insert(instance.id.clone(), Observation::Shown(instance));
            }
            count
        });
        let is_enough = count.as_ref().is_ok_and(|count| *count >= selection.least());
        selection.is_settled = is_enough && count == selection.found;
        selection.found = count;
    }

    fn is_settled(&self) -> bool {
        let is_done = |selection: &Selection<'_>| selection.is_settled || selection.found.is_err();
        self.missing().next().is_none() && self.selections.iter().all(is_done)
    }

    fn missing(&self) -> impl Iterator<Item = &InstanceId> {
        self.targets.keys().filter(|id| !self.observed.contains_key(*id))
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

    fn finish(mut self) -> Resolved {
        let observation = |target: Target| {
            let observation = self.observed.remove(&target.id).unwrap_or(Observation::NotShown);
            (target, observation)
        };
        let observations = self.targets.into_values().map(observation).collect();
        let now = self.deadline.now;
        let unresolved = self.selections.iter().flat_map(|selection| selection.unresolved(now));
        Resolved { observations, unresolved: unresolved.collect() }
    }
}

/// The age from which a description by launch time returns all instances of a launch.
const SHOWN_AFTER: time::Duration = time::Duration::minutes(1);

impl Selection<'_> {
    /// The minimum number of instances in the launch.
    fn least(&self) -> usize {
        match self.selector {
            InstanceSelector::ClientToken { at_least, .. } => *at_least,
            _ => 1,
        }
    }

    /// Returns the deliveries that may name more instances than were found.
    fn unresolved(&self, now: OffsetDateTime) -> Vec<Unresolved> {
        let unresolved = |(index, delivery): &(usize, &Delivery)| {
            let age = now - delivery.trigger.time;
            // A selection by time also finds other launches, so a stable count does not mean that this one is complete.
            let is_too_early =
                matches!(self.selector, InstanceSelector::LaunchedAround(_)) && age < SHOWN_AFTER;
            if self.is_settled && !is_too_early {
                return None;
            }
            let (why, retry) = match &self.found {
                // The event is retried after any error.
                Err(error) => (format!("the instances could not be described: {error}"), true),
                Ok(count) => {
                    let is_over = unknown_instance(age, delivery.redelivered) == Outcome::Gone;
                    let shown = match count {
                        0 => "EC2 shows no such instance".to_owned(),
                        _ => format!("EC2 shows {count} of its instances, and may not show all yet"),
                    };
                    (shown, !is_over)
                }
            };
            Some(Unresolved { delivery: *index, why: format!("{}: {why}", self.selector), retry })
        };
        self.deliveries.iter().filter_map(unresolved).collect()
    }
}
