//! Nudges → the instances they name, as EC2 shows them now.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use imds_core::ids::InstanceId;
use imds_core::instance::Instance;
use imds_core::outcome::{Call, Outcome, Refusal, unknown_instance};
use imds_core::trigger::{Named, TriggerKind};
use time::OffsetDateTime;

use super::describe::{DESCRIBES_AT_ONCE, look};
use super::{Nudge, Unresolved};
use crate::aws::client::Ec2;
use crate::deadline::Times;

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
    /// How often a change was tried in vain.
    pub(super) attempts: u32,
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
            named => sighting.select(named, number, nudge),
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

/// A launch whose ids are not known, and the nudges that are about it.
struct Selection<'a> {
    named: &'a Named,
    nudges: Vec<(usize, &'a Nudge)>,
    /// How many instances the last look found.
    found: Result<usize, Refusal>,
    /// Whether two looks found as many, and enough.
    is_settled: bool,
}

struct Sighting<'a> {
    ec2: &'a Ec2,
    times: &'a Times,
    subjects: BTreeMap<InstanceId, Subject>,
    seen: BTreeMap<InstanceId, Sight>,
    selections: Vec<Selection<'a>>,
}

impl<'a> Sighting<'a> {
    fn name(&mut self, id: &InstanceId, number: usize, nudge: &Nudge) {
        let age = self.times.now - nudge.trigger.time;
        let subject = self.subjects.entry(id.clone()).or_insert_with(|| Subject {
            id: id.clone(),
            kind: nudge.trigger.kind,
            nudges: BTreeSet::new(),
            age,
            redelivered: false,
            attempts: 0,
        });
        subject.kind = subject.kind.min(nudge.trigger.kind);
        subject.age = subject.age.min(age);
        subject.redelivered |= nudge.redelivered;
        subject.nudges.insert(number);
    }

    fn select(&mut self, named: &'a Named, number: usize, nudge: &'a Nudge) {
        match self.selections.iter_mut().find(|selection| selection.named == named) {
            Some(selection) => selection.nudges.push((number, nudge)),
            None => self.selections.push(Selection {
                named,
                nudges: vec![(number, nudge)],
                found: Ok(0),
                is_settled: false,
            }),
        }
    }

    /// Looks for the launches whose ids are not known, but for those that are settled.
    async fn look_for_selections(&mut self) {
        let mut selections = std::mem::take(&mut self.selections);
        let (ec2, times) = (self.ec2, self.times);
        let looked = stream::iter(selections.iter_mut().filter(|selection| !selection.is_settled))
            .map(async |selection| {
                let found = times.bound(Call::DescribeInstances, ec2.describe(selection.named)).await;
                (selection, found)
            })
            .buffer_unordered(DESCRIBES_AT_ONCE);
        for (selection, found) in looked.collect::<Vec<_>>().await {
            self.found(selection, found);
        }
        self.selections = selections;
    }

    fn found(&mut self, selection: &mut Selection<'_>, found: Result<Vec<Instance>, Refusal>) {
        let count = found.map(|instances| {
            let count = instances.len();
            for instance in instances {
                selection.nudges.iter().for_each(|(number, nudge)| self.name(&instance.id, *number, nudge));
                self.seen.insert(instance.id.clone(), Sight::Shown(instance));
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
        let unresolved = self.selections.iter().flat_map(|selection| selection.unresolved(now));
        Observed { sights, unresolved: unresolved.collect() }
    }
}

/// From this age of a launch on, a look by its time shows all of it.
const SHOWN_AFTER: time::Duration = time::Duration::minutes(1);

impl Selection<'_> {
    /// The least number of instances that there are.
    fn least(&self) -> usize {
        match self.named {
            Named::ClientToken { at_least, .. } => *at_least,
            _ => 1,
        }
    }

    /// The nudges for which there may be more instances than were found.
    fn unresolved(&self, now: OffsetDateTime) -> Vec<Unresolved> {
        let unresolved = |(number, nudge): &(usize, &Nudge)| {
            let age = now - nudge.trigger.time;
            // By its time, others of about that time are found as well and tell nothing.
            let is_too_early = matches!(self.named, Named::LaunchedAround(_)) && age < SHOWN_AFTER;
            if self.is_settled && !is_too_early {
                return None;
            }
            let (why, retry) = match &self.found {
                // Whatever the refusal, the event is kept.
                Err(refusal) => (format!("instances could not be looked up: {refusal}"), true),
                Ok(count) => {
                    let is_over = unknown_instance(age, nudge.redelivered) == Outcome::Gone;
                    let shown = match count {
                        0 => "EC2 shows no such instance".to_owned(),
                        _ => format!("EC2 shows {count} of its instances, and may not show all yet"),
                    };
                    (shown, !is_over)
                }
            };
            Some(Unresolved { nudge: *number, why: format!("{}: {why}", self.named), retry })
        };
        self.nudges.iter().filter_map(unresolved).collect()
    }
}
