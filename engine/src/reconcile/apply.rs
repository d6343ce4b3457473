//! Due changes → calls to EC2, in waves.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use imds_core::ids::InstanceId;
use imds_core::metadata::Change;
use imds_core::mode::Mode;
use imds_core::outcome::Outcome;
use tokio::time::Instant;

use super::allowance::{Allowance, TooManyFailures};
use super::calls::Calls;
use super::decide::DecisionContext;
use super::describe::describe;
use super::reconciliation::Reconciliation;
use super::state::Answer;
use super::target::{Observation, Target};
use crate::aws::client::RegionClient;
use crate::deadline::{Deadline, wait_until};

/// The maximum number of concurrent changes of instances that are reconciled together.
const CHANGES_AT_ONCE: usize = 20;

/// How long an observation is recent enough to change the instance: its owner may change it, too.
pub(super) const FRESH_FOR: Duration = Duration::from_secs(5);

/// The maximum number of attempts at a change while EC2 throttles or fails.
const ATTEMPTS: u32 = 8;

/// The minimum and maximum backoff before a retry, in addition to the delay of the rate limit.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Sends changes to EC2.
pub(super) struct Applier<'a> {
    pub(super) client: &'a RegionClient,
    pub(super) deadline: &'a Deadline,
    pub(super) context: &'a DecisionContext<'a>,
    pub(super) allowance: &'a Allowance,
    /// When the instances were described.
    pub(super) described_at: Instant,
    pub(super) calls: Calls<'a>,
}

impl Applier<'_> {
    /// Sends the due changes within the rate limit, the deadline and the allowance. A failed change does not stop the
    /// others.
    pub(super) async fn apply(&self, reconciliations: &mut [Reconciliation]) {
        let mut due = Vec::new();
        for reconciliation in reconciliations.iter_mut().filter(|one| one.state.due().is_some()) {
            match reconciliation.mode {
                Mode::DryRun if !self.allowance.takes_dry_run() => reconciliation.only_decide(),
                Mode::DryRun | Mode::Enforce => due.push(reconciliation),
            }
        }
        // Another process may process the same instances: a launch and its state changes come in different batches, and
        // sweeps may overlap. Each process has its own order, so that one finds compliant what the other has changed.
        let order = RandomState::new();
        due.sort_by_cached_key(|one| order.hash_one(&one.target.id));
        // Further answers, such as CloudWatch's, may have taken long.
        let mut first_until = Some(self.described_at + FRESH_FOR).filter(|end| *end > Instant::now());
        while !due.is_empty() {
            self.defer_if_stopped(&mut due);
            if due.is_empty() {
                return;
            }
            // A wave has as many changes as the rate limit allows while their observations are recent enough.
            let first = first_until.take();
            let recent_for = first.map_or(FRESH_FOR, |end| end.duration_since(Instant::now()));
            let mut wave: Vec<&mut Reconciliation> =
                due.drain(..due.len().min(self.client.rate_limiter.within(recent_for))).collect();
            if first.is_none() {
                wait_until(self.deadline.last_start.min(self.client.rate_limiter.next())).await;
                self.decide_again(&mut wave).await;
            }
            let recent_until = first.unwrap_or_else(|| Instant::now() + FRESH_FOR);
            let until = self.deadline.last_start.min(recent_until);
            let sent = stream::iter(wave).map(async |reconciliation| {
                self.send(reconciliation, until).await;
                reconciliation
            });
            let sent: Vec<&mut Reconciliation> = sent.buffer_unordered(CHANGES_AT_ONCE).collect().await;
            due.extend(sent.into_iter().filter(|one| one.state.due().is_some()));
        }
    }

    /// Leaves the changes to the next sweep if too many failed, or to the next run. Dry runs of a sweep go on.
    fn defer_if_stopped(&self, due: &mut Vec<&mut Reconciliation>) {
        if let Some(why) = self.calls.stopped() {
            due.drain(..).for_each(|reconciliation| reconciliation.defer(why.clone()));
        }
        let Some(stopped) = self.allowance.stopped() else { return };
        for reconciliation in due.iter_mut().filter(|one| one.mode == Mode::Enforce) {
            reconciliation.defer(after(stopped));
        }
        due.retain(|one| one.state.due().is_some());
    }

    async fn decide_again(&self, reconciliations: &mut [&mut Reconciliation]) {
        if !self.deadline.allows(Duration::ZERO) {
            return reconciliations.iter_mut().for_each(|one| one.take_too_late());
        }
        let ids: Vec<InstanceId> = reconciliations.iter().map(|one| one.target.id.clone()).collect();
        let mut described = describe(self.client, self.deadline, &ids).await;
        for reconciliation in reconciliations {
            let observation = described.take(&reconciliation.target.id).unwrap_or(Observation::NotShown);
            let before = reconciliation.mode;
            reconciliation.reopen(observation, self.context);
            // The limits of the sweep did not choose it.
            let is_unlimited = (before, reconciliation.mode) == (Mode::DryRun, Mode::Enforce);
            if is_unlimited && self.allowance.is_limited() && reconciliation.state.due().is_some() {
                reconciliation.defer(MODE_CHANGED.to_owned());
            }
        }
    }

    /// Sends the due change, unless too many failed. It stays due if the rate limit allows it only after `until` and a later
    /// wave can send it.
    async fn send(&self, reconciliation: &mut Reconciliation, until: Instant) {
        // Described again, it may have nothing due any more.
        if reconciliation.state.due().is_none() {
            return;
        }
        match self.allowance.admit(reconciliation.mode).await {
            Ok(permit) => {
                self.send_all(reconciliation, until).await;
                self.allowance.settle(permit, reconciliation.is_failed());
            }
            Err(stopped) => reconciliation.defer(after(stopped)),
        }
    }

    async fn send_all(&self, reconciliation: &mut Reconciliation, until: Instant) {
        let (mode, mut until) = (reconciliation.mode, until);
        while let Some(change) = reconciliation.state.due() {
            let (before, target) = (reconciliation.options(), &mut reconciliation.target);
            let ask = async |target: &mut Target| self.ask(target, &change, mode, until).await;
            let answer = match self.calls.around(target, &before, &change, ask).await {
                Ok(answer) => answer,
                Err(why) => return reconciliation.defer(why),
            };
            if answer == Answer::TooLate {
                if let Some(why) = self.calls.stopped() {
                    return reconciliation.defer(why);
                }
                if until < self.deadline.last_start {
                    return;
                }
            }
            reconciliation.take_answer(answer);
            // After the first response, the options may follow one by one; they are sent in the same wave.
            until = self.deadline.last_start;
        }
    }

    /// Requests a change from EC2 if the rate limit allows it before `until` and the run is not stopped until then. Retries
    /// while EC2 throttles or fails. The rate limit applies to every attempt.
    async fn ask(&self, target: &mut Target, change: &Change, mode: Mode, until: Instant) -> Answer {
        let Self { client, deadline, .. } = self;
        let mut answer = Answer::TooLate;
        loop {
            let Some(taken) = client.rate_limiter.acquire(until).await else {
                return if until < deadline.last_start { Answer::TooLate } else { answer };
            };
            if self.calls.stopped().is_some() {
                return answer;
            }
            let mut is_tried_again = false;
            answer = match client.modify(&target.id, change, mode, taken, deadline).await {
                Ok(_) if mode == Mode::DryRun => Answer::Rejected {
                    outcome: Outcome::Failed { retry: false },
                    why: "EC2 answered the dry run as if it had made the change".to_owned(),
                },
                Ok(state) => Answer::Accepted(state),
                Err(error) => {
                    is_tried_again = error.kind().is_tried_again();
                    target.may_be_changed |= error.kind().may_have_effect();
                    let outcome = match error.outcome(target.age, target.redelivered) {
                        // Nobody asked for a dry run.
                        Outcome::WouldEnforce if mode == Mode::Enforce => Outcome::Failed { retry: true },
                        outcome => outcome,
                    };
                    let why = error.to_string();
                    target.failure = Some((outcome, why.clone()));
                    Answer::Rejected { outcome, why }
                }
            };
            target.attempts += u32::from(is_tried_again);
            if !is_tried_again || target.attempts >= ATTEMPTS || self.calls.stopped().is_some() {
                return answer;
            }
            wait_until(until.min(Instant::now() + pause_after(target.attempts))).await;
        }
    }
}

const MODE_CHANGED: &str =
    "the mode of the instance changed from dry-run to enforce during the sweep: the next sweep goes on";

/// Why a change is left to the next sweep.
fn after(TooManyFailures(most): TooManyFailures) -> String {
    format!(
        "{most} changes of this sweep were failed or denied, the maximum of limits.failuresPerSweep: the next sweep goes on"
    )
}

/// The exponential backoff after this many failed attempts.
fn pause_after(attempts: u32) -> Duration {
    PAUSES.1.min(PAUSES.0 * 2_u32.saturating_pow(attempts.saturating_sub(1)))
}
