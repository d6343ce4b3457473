//! Nudges → the instances they name, as EC2 shows them now.

use std::collections::BTreeMap;
use std::time::Duration;

use imds_core::ids::InstanceId;
use imds_core::instance::Instance;
use imds_core::outcome::{Call, Outcome, Refusal, unknown_instance};
use imds_core::trigger::{Named, TriggerKind};

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
    pub(super) nudges: Vec<usize>,
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
    let mut sighting = Sighting { ec2, times, subjects: BTreeMap::new(), seen: BTreeMap::new() };
    let mut unresolved = Vec::new();
    for &(number, nudge) in batch {
        match &nudge.trigger.instances {
            Named::Ids(ids) => ids.iter().for_each(|id| sighting.name(id, number, nudge)),
            selection => unresolved.extend(sighting.select(selection, number, nudge).await),
        }
    }
    sighting.look().await;
    for pause in LOOK_AGAIN_AFTER {
        if times.allows(pause) && sighting.missing().next().is_some() {
            tokio::time::sleep(pause).await;
            sighting.look().await;
        }
    }
    Observed { sights: sighting.finish(), unresolved }
}

struct Sighting<'a> {
    ec2: &'a Ec2,
    times: &'a Times,
    subjects: BTreeMap<InstanceId, Subject>,
    seen: BTreeMap<InstanceId, Sight>,
}

impl Sighting<'_> {
    fn name(&mut self, id: &InstanceId, number: usize, nudge: &Nudge) {
        let age = self.times.now - nudge.trigger.time;
        let subject = self.subjects.entry(id.clone()).or_insert_with(|| Subject {
            id: id.clone(),
            kind: nudge.trigger.kind,
            nudges: Vec::new(),
            age,
            redelivered: false,
        });
        subject.kind = subject.kind.min(nudge.trigger.kind);
        subject.age = subject.age.min(age);
        subject.redelivered |= nudge.redelivered;
        subject.nudges.push(number);
    }

    /// Looks for the instances of a nudge that does not know their ids.
    async fn select(&mut self, selection: &Named, number: usize, nudge: &Nudge) -> Option<Unresolved> {
        let unresolved = |why: String, retry| Some(Unresolved { nudge: number, why, retry });
        let age = self.times.now - nudge.trigger.time;
        match self.times.bound(Call::DescribeInstances, self.ec2.describe(selection)).await {
            Err(refusal) => {
                // There is no instance to report on: whatever the refusal, the event is kept.
                let why = format!("{selection}: instances could not be looked up: {refusal}");
                unresolved(why, true)
            }
            Ok(instances) if instances.is_empty() => {
                let outcome = unknown_instance(age, nudge.redelivered);
                unresolved(format!("{selection}: EC2 shows no such instance"), outcome != Outcome::Gone)
            }
            Ok(instances) => {
                for instance in instances {
                    self.name(&instance.id, number, nudge);
                    self.seen.insert(instance.id.clone(), Sight::Shown(instance));
                }
                None
            }
        }
    }

    fn missing(&self) -> impl Iterator<Item = &InstanceId> {
        self.subjects.keys().filter(|id| !self.seen.contains_key(*id))
    }

    async fn look(&mut self) {
        let missing: Vec<InstanceId> = self.missing().cloned().collect();
        let look = look(self.ec2, self.times, &missing).await;
        self.seen.extend(look.shown.into_iter().map(|(id, instance)| (id, Sight::Shown(instance))));
        self.seen.extend(look.refused.into_iter().map(|(id, refusal)| (id, Sight::Refused(refusal))));
    }

    fn finish(mut self) -> Vec<(Subject, Sight)> {
        let sight = |subject: Subject| {
            let sight = self.seen.remove(&subject.id).unwrap_or(Sight::NotShown);
            (subject, sight)
        };
        self.subjects.into_values().map(sight).collect()
    }
}
