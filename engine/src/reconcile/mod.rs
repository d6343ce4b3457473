//! The one path: nudge → observe → decide → act → verify → report.

mod apply;
mod describe;
mod reconciliation;
mod resolve;
mod sweep;
mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use imds_core::ids::{InstanceId, Place};
use imds_core::outcome::{Call, InstanceReport, Mode};
use imds_core::policy::Policy;
use imds_core::trigger::{Named, Trigger};

use crate::aws::call_counts::Count;
use crate::aws::clients::{Accounts, Reach};
use crate::deadline::Times;
use reconciliation::{Case, Judge};
use resolve::{Sight, Subject};

/// How many accounts and Regions are worked on at once: as many as a batch is likely to name. Most of the time is waiting
/// for the pace of each.
const PLACES_AT_ONCE: usize = 128;

/// Brings instances to what the policy requires.
#[derive(Debug)]
pub struct Enforcer {
    mode: Mode,
    policy: Policy,
    verify_within: Duration,
    accounts: Accounts,
}

/// An event that asks to look at instances.
#[derive(Debug, Clone)]
pub struct Nudge {
    /// What the event says.
    pub trigger: Trigger,
    /// Whether the event was delivered before.
    pub redelivered: bool,
}

/// A nudge of which not all is done, for a reason that is not one instance's.
#[derive(Debug)]
struct Unresolved {
    nudge: usize,
    why: String,
    retry: bool,
}

/// What became of a batch of nudges, beside the reports on instances.
#[derive(Debug, Default)]
pub struct Enforced {
    /// Why nudges came to nothing or not to their end, a sentence each.
    pub unresolved: Vec<String>,
    /// The nudges, by their place in the batch, that should be delivered again.
    pub retry: BTreeSet<usize>,
    /// Where a sweep came to its end.
    pub swept: Vec<Place>,
}

/// Takes a report as soon as it is there.
pub type Sink<'a> = &'a dyn Fn(InstanceReport);

impl Enforcer {
    /// An enforcer of `policy`, which waits for `verify_within` until a change is applied.
    pub fn new(mode: Mode, policy: Policy, verify_within: Duration, accounts: Accounts) -> Self {
        Self { mode, policy, verify_within, accounts }
    }

    /// Whether it changes anything, or only asks.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The policy that it enforces.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The calls to EC2 since this was last asked for, where there were any.
    pub async fn take_counts(&self) -> Vec<(Place, BTreeMap<Call, Count>)> {
        self.accounts.take_counts().await
    }

    /// Takes the ARN of the function, as [`Accounts::invoked_as`] does.
    pub fn invoked_as(&self, function_arn: &str) {
        self.accounts.invoked_as(function_arn);
    }

    /// Takes the nudges, in whatever order and however often they come, to the end of the path.
    pub async fn enforce(&self, nudges: &[Nudge], times: Times, report: Sink<'_>) -> Enforced {
        let mut batches: BTreeMap<&Place, Vec<(usize, &Nudge)>> = BTreeMap::new();
        for (number, nudge) in nudges.iter().enumerate() {
            batches.entry(&nudge.trigger.place).or_default().push((number, nudge));
        }
        let ended = stream::iter(batches)
            .map(|(place, batch)| async move {
                let reach = self.accounts.reach(place).await;
                Site { enforcer: self, place, reach, times, report }.enforce(&batch).await
            })
            .buffer_unordered(PLACES_AT_ONCE);
        ended.fold(Enforced::default(), |all, ended| async { all.and(ended) }).await
    }
}

/// An account and Region during one invocation.
struct Site<'a> {
    enforcer: &'a Enforcer,
    place: &'a Place,
    reach: Reach,
    times: Times,
    report: Sink<'a>,
}

impl Site<'_> {
    async fn enforce(&self, batch: &[(usize, &Nudge)]) -> Enforced {
        let (sweeps, named): (Vec<_>, Vec<_>) =
            batch.iter().partition(|(_, nudge)| nudge.trigger.instances == Named::All);
        let observed = resolve::observe(&self.reach.ec2, &named, &self.times).await;
        let mut enforced = Enforced::default();
        observed.unresolved.into_iter().for_each(|unresolved| enforced.note(unresolved));
        let handled: BTreeSet<InstanceId> =
            observed.sights.iter().map(|(subject, _)| subject.id.clone()).collect();
        for case in self.take_to_the_end(observed.sights, &mut None).await {
            if case.outcome().is_retryable() {
                enforced.retry.extend(&case.subject.nudges);
            }
            (self.report)(case.into_report(self.place));
        }
        if !sweeps.is_empty() {
            let redelivered = sweeps.iter().any(|(_, nudge)| nudge.redelivered);
            match self.sweep(&handled, redelivered).await {
                Ok(()) => enforced.swept.push(self.place.clone()),
                Err(why) => sweeps.iter().for_each(|(nudge, _)| {
                    enforced.note(Unresolved { nudge: *nudge, why: why.clone(), retry: true })
                }),
            }
        }
        enforced
    }

    /// Decides on what was seen, acts, and verifies.
    async fn take_to_the_end(&self, sights: Vec<(Subject, Sight)>, budget: &mut apply::Budget) -> Vec<Case> {
        let Enforcer { policy, mode, verify_within, .. } = self.enforcer;
        let mut judge = Judge { policy, place: self.place, now: self.times.now, tokens_enforced: None };
        if sights.iter().any(|(_, sight)| judge.would_make_tokens_optional(sight)) {
            let asked = self.times.bound(Call::GetInstanceMetadataDefaults, self.reach.ec2.tokens_enforced());
            // Where EC2 does not say, it is asked for the change all the same, and says whether it refuses.
            judge.tokens_enforced = Some(asked.await);
        }
        let open = |(subject, sight)| Case::open(subject, sight, &judge);
        let mut cases: Vec<Case> = sights.into_iter().map(open).collect();
        let actor = apply::Actor { reach: &self.reach, mode: *mode, times: &self.times, judge: &judge };
        actor.act(budget, &mut cases).await;
        verify::verify(&self.reach.ec2, *verify_within, &self.times, &mut cases).await;
        cases
    }
}

impl Enforced {
    fn note(&mut self, unresolved: Unresolved) {
        self.unresolved.push(unresolved.why);
        if unresolved.retry {
            self.retry.insert(unresolved.nudge);
        }
    }

    fn and(mut self, other: Self) -> Self {
        self.unresolved.extend(other.unresolved);
        self.retry.extend(other.retry);
        self.swept.extend(other.swept);
        self
    }
}
