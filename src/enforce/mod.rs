//! The one path: nudge → observe → decide → act → verify → report.

mod case;
mod look;
mod observe;
mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use imds_core::ids::Place;
use imds_core::outcome::{InstanceReport, Mode};
use imds_core::policy::Policy;
use imds_core::trigger::Trigger;
use time::OffsetDateTime;

use crate::accounts::Accounts;
use crate::config::Config;
use crate::ec2::Ec2;
use case::{Case, Judge, Step};

/// How many accounts and Regions are worked on at once.
const PLACES_AT_ONCE: usize = 16;

/// How many changes to one account and Region are under way at once.
const CHANGES_AT_ONCE: usize = 20;

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

/// A nudge whose instances could not be found out.
#[derive(Debug)]
struct Unresolved {
    nudge: usize,
    why: String,
    retry: bool,
}

/// What became of a batch of nudges.
#[derive(Debug, Default)]
pub struct Enforced {
    /// One report an instance.
    pub reports: Vec<InstanceReport>,
    /// Why nudges came to nothing, a sentence each.
    pub unresolved: Vec<String>,
    /// The nudges, by their place in the batch, that should be delivered again.
    pub retry: BTreeSet<usize>,
}

impl Enforcer {
    /// An enforcer set up as `config` says.
    pub fn new(config: Config, accounts: Accounts) -> Self {
        let Config { mode, policy, verify_within } = config;
        Self { mode, policy, verify_within, accounts }
    }

    /// Whether it changes anything, or only asks.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Takes the nudges, in whatever order and however often they come, to the end of the path. `now` is the time.
    pub async fn enforce(&self, nudges: &[Nudge], now: OffsetDateTime) -> Enforced {
        let mut batches: BTreeMap<&Place, Vec<(usize, &Nudge)>> = BTreeMap::new();
        for (number, nudge) in nudges.iter().enumerate() {
            batches.entry(&nudge.trigger.place).or_default().push((number, nudge));
        }
        let ended = stream::iter(batches)
            .map(|(place, batch)| async move { self.enforce_at(place, &batch, now).await })
            .buffered(PLACES_AT_ONCE);
        ended.fold(Enforced::default(), |all, ended| async { all.and(ended) }).await
    }

    async fn enforce_at(&self, place: &Place, batch: &[(usize, &Nudge)], now: OffsetDateTime) -> Enforced {
        let ec2 = self.accounts.ec2(place);
        let observed = observe::observe(&ec2, batch, now).await;
        let mut judge = Judge { policy: &self.policy, place, now, tokens_enforced: None };
        if observed.sights.iter().any(|(_, sight)| judge.would_make_tokens_optional(sight)) {
            // Where that is not known, EC2 is asked all the same and says whether it refuses.
            judge.tokens_enforced = ec2.tokens_enforced().await.ok();
        }
        let open = |(subject, sight)| Case::open(subject, sight, &judge);
        let mut cases: Vec<Case> = observed.sights.into_iter().map(open).collect();
        act(&ec2, self.mode, &mut cases).await;
        verify::verify(&ec2, self.verify_within, &mut cases).await;
        Enforced::of(place, cases, observed.unresolved)
    }
}

/// Sends the changes that are due. One that fails stops no other.
async fn act(ec2: &Ec2, mode: Mode, cases: &mut [Case]) {
    stream::iter(cases)
        .for_each_concurrent(CHANGES_AT_ONCE, |case| async move {
            if let Step::Act(change) = case.step {
                let answer = ec2.modify(&case.subject.id, &change, mode).await;
                case.answered(mode, answer);
            }
        })
        .await;
}

impl Enforced {
    fn of(place: &Place, cases: Vec<Case>, unresolved: Vec<Unresolved>) -> Self {
        let retried = cases.iter().filter(|case| case.outcome().is_retryable());
        let retry = retried.flat_map(|case| case.subject.nudges.iter().copied());
        let lost = unresolved.iter().filter(|nudge| nudge.retry).map(|nudge| nudge.nudge);
        Self {
            retry: retry.chain(lost).collect(),
            reports: cases.into_iter().map(|case| case.into_report(place)).collect(),
            unresolved: unresolved.into_iter().map(|nudge| nudge.why).collect(),
        }
    }

    fn and(mut self, other: Self) -> Self {
        self.reports.extend(other.reports);
        self.unresolved.extend(other.unresolved);
        self.retry.extend(other.retry);
        self
    }
}
