//! Nudges → the instances they name, as EC2 shows them now.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use imds_core::ids::InstanceId;
use imds_core::instance::Instance;
use imds_core::outcome::{Call, Outcome, Refusal, unknown_instance};
use imds_core::trigger::{Named, TriggerKind};
use time::OffsetDateTime;

use super::look::look;
use super::{Nudge, Unresolved};
use crate::ec2::Ec2;
use crate::times::Times;

/// When to look again for instances that EC2 does not show: right after a launch, describes lag by seconds.
const LOOK_AGAIN_AFTER: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];

/// An instance, and all that the nudges of the batch say about it.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub(super) id: InstanceId,
    /// The kind that prevails among the nudges.
    pub(super) kind: TriggerKind,
    /// Which nudges of the batch named it.
    pub(super) nudges: BTreeSet<usize>,
    /// The time since the youngest of its events.
    pub(super) age: time::Duration,
    /// Whether one of its nudges was delivered before.
    pub(super) redelivered: bool,
}

/// What EC2 said about a subject.
#[derive(Debug)]
pub(super) enum Sight {
    Shown(Instance),
    NotShown,
    Refused(Refusal),
}

/// All instances that the nudges name, each once, and the nudges whose instances could not be found out.
#[derive(Debug, Default)]
pub(super) struct Observed {
    pub(super) sights: Vec<(Subject, Sight)>,
    pub(super) unresolved: Vec<Unresolved>,
}

/// Looks at everything that `batch`, nudges of one place with their numbers, names.
pub(super) async fn observe(ec2: &Ec2, batch: &[(usize, &Nudge)], times: &Times) -> Observed {
    let mut sighting =
        Sighting { ec2, times, subjects: BTreeMap::new(), seen: BTreeMap::new(), selections: Vec::new() };
    for &(number, nudge) in batch {
        match &nudge.trigger.instances {
            Named::Ids(ids) => ids.iter().for_each(|id| sighting.name(id, number, nudge)),
            _ => sighting.selections.push(Selection { number, nudge, found: Ok(0), is_settled: false }),
        }
    }
    sighting.look().await;
    for pause in LOOK_AGAIN_AFTER {
        if times.allows(pause) && !sighting.is_settled() {
            tokio::time::sleep(pause).await;
            sighting.look().await;
        }
    }
    sighting.finish()
}

/// A nudge that does not know the ids of its instances.
struct Selection<'a> {
    number: usize,
    nudge: &'a Nudge,
    /// How many instances the last look found.
    found: Result<usize, Refusal>,
    /// Whether there is no need to look again.
    is_settled: bool,
}

struct Sighting<'a> {
    ec2: &'a Ec2,
    times: &'a Times,
    subjects: BTreeMap<InstanceId, Subject>,
    seen: BTreeMap<InstanceId, Sight>,
    selections: Vec<Selection<'a>>,
}

impl Sighting<'_> {
    fn name(&mut self, id: &InstanceId, number: usize, nudge: &Nudge) {
        let age = self.times.now - nudge.trigger.time;
        let subject = self.subjects.entry(id.clone()).or_insert_with(|| Subject {
            id: id.clone(),
            kind: nudge.trigger.kind,
            nudges: BTreeSet::new(),
            age,
            redelivered: false,
        });
        subject.kind = subject.kind.min(nudge.trigger.kind);
        subject.age = subject.age.min(age);
        subject.redelivered |= nudge.redelivered;
        subject.nudges.insert(number);
    }

    /// Looks for the instances of nudges that do not know their ids, until two looks find as many.
    async fn look_for_selections(&mut self) {
        let mut selections = std::mem::take(&mut self.selections);
        for selection in selections.iter_mut().filter(|selection| !selection.is_settled) {
            let describe = self.ec2.describe(&selection.nudge.trigger.instances);
            let found = self.times.bound(Call::DescribeInstances, describe).await.map(|instances| {
                for instance in &instances {
                    self.name(&instance.id, selection.number, selection.nudge);
                }
                let count = instances.len();
                self.seen.extend(instances.into_iter().map(|i| (i.id.clone(), Sight::Shown(i))));
                count
            });
            selection.is_settled = found.is_err() || (found == selection.found && found != Ok(0));
            selection.found = found;
        }
        self.selections = selections;
    }

    fn is_settled(&self) -> bool {
        self.missing().next().is_none() && self.selections.iter().all(|selection| selection.is_settled)
    }

    fn missing(&self) -> impl Iterator<Item = &InstanceId> {
        self.subjects.keys().filter(|id| !self.seen.contains_key(*id))
    }

    async fn look(&mut self) {
        self.look_for_selections().await;
        let missing: Vec<InstanceId> = self.missing().cloned().collect();
        let look = look(self.ec2, self.times, &missing).await;
        self.seen.extend(look.shown.into_iter().map(|(id, instance)| (id, Sight::Shown(instance))));
        self.seen.extend(look.refused.into_iter().map(|(id, refusal)| (id, Sight::Refused(refusal))));
    }

    fn finish(mut self) -> Observed {
        let sight = |subject: Subject| {
            let sight = self.seen.remove(&subject.id).unwrap_or(Sight::NotShown);
            (subject, sight)
        };
        let sights = self.subjects.into_values().map(sight).collect();
        let now = self.times.now;
        Observed { sights, unresolved: self.selections.iter().filter_map(|s| s.unresolved(now)).collect() }
    }
}

impl Selection<'_> {
    /// Why it came to nothing, if it did: there is no instance to report on.
    fn unresolved(&self, now: OffsetDateTime) -> Option<Unresolved> {
        let Nudge { trigger, redelivered } = self.nudge;
        let (why, retry) = match &self.found {
            // Whatever the refusal, the event is kept.
            Err(refusal) => (format!("instances could not be looked up: {refusal}"), true),
            Ok(0) => {
                let outcome = unknown_instance(now - trigger.time, *redelivered);
                ("EC2 shows no such instance".to_owned(), outcome != Outcome::Gone)
            }
            Ok(_) => return None,
        };
        Some(Unresolved { nudge: self.number, why: format!("{}: {why}", trigger.instances), retry })
    }
}
