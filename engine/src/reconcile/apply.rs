//! Changes that are due → calls, in waves.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use imds_core::ids::InstanceId;
use imds_core::metadata::Change;
use imds_core::outcome::{Mode, Outcome};
use tokio::time::Instant;

use super::decide::DecisionContext;
use super::describe::describe;
use super::reconciliation::Reconciliation;
use super::state::Answer;
use super::target::{Observation, Target};
use crate::aws::client::RegionClient;
use crate::deadline::{Deadline, wait_until};

/// How many changes to one account and Region are under way at once.
const CHANGES_AT_ONCE: usize = 20;

/// For how long an observation is fresh enough to change the instance: its owner may act, too.
const FRESH_FOR: Duration = Duration::from_secs(5);

/// How often a change is tried while EC2 throttles or fails.
const ATTEMPTS: u32 = 8;

/// The shortest and the longest pause before another attempt, beside what the rate limit asks for.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// How many changes EC2 may still be asked for. `None` is any number.
pub(super) type Budget = Option<usize>;

/// Sends changes to EC2.
pub(super) struct Applier<'a> {
    pub(super) client: &'a RegionClient,
    pub(super) mode: Mode,
    pub(super) deadline: &'a Deadline,
    pub(super) context: &'a DecisionContext<'a>,
}

impl Applier<'_> {
    /// Sends the changes that are due, within rate limit, time and budget. One that fails stops no other.
    pub(super) async fn apply(&self, budget: &mut Budget, reconciliations: &mut [Reconciliation]) {
        let mut due = Vec::new();
        for reconciliation in reconciliations.iter_mut().filter(|one| one.state.due().is_some()) {
            match budget {
                Some(0) => reconciliation.only_decide(),
                _ => due.push(reconciliation),
            }
            *budget = budget.map(|left| left.saturating_sub(1));
        }
        let mut is_first = true;
        while !due.is_empty() {
            // As many as have their turn while their observations are fresh.
            let mut wave: Vec<&mut Reconciliation> =
                due.drain(..due.len().min(self.client.rate_limiter.within(FRESH_FOR))).collect();
            if !std::mem::take(&mut is_first) {
                wait_until(self.deadline.last_start.min(self.client.rate_limiter.next())).await;
                self.decide_again(&mut wave).await;
            }
            let until = self.deadline.last_start.min(Instant::now() + FRESH_FOR);
            let sent = stream::iter(wave).map(async |reconciliation| {
                self.send(reconciliation, until).await;
                reconciliation
            });
            let sent: Vec<&mut Reconciliation> = sent.buffer_unordered(CHANGES_AT_ONCE).collect().await;
            due.extend(sent.into_iter().filter(|one| one.state.due().is_some()));
        }
    }

    async fn decide_again(&self, reconciliations: &mut [&mut Reconciliation]) {
        if !self.deadline.allows(Duration::ZERO) {
            return reconciliations.iter_mut().for_each(|one| one.take_answer(Answer::TooLate));
        }
        let ids: Vec<InstanceId> = reconciliations.iter().map(|one| one.target.id.clone()).collect();
        let mut described = describe(self.client, self.deadline, &ids).await;
        for reconciliation in reconciliations {
            let observation = described.take(&reconciliation.target.id).unwrap_or(Observation::NotShown);
            **reconciliation = Reconciliation::open(reconciliation.target.clone(), observation, self.context);
        }
    }

    /// Sends what is due. A change stays due where its turn comes after `until` and the invocation goes on.
    async fn send(&self, reconciliation: &mut Reconciliation, until: Instant) {
        let mut until = until;
        while let Some(change) = reconciliation.state.due() {
            let answer = self.ask(&mut reconciliation.target, &change, until).await;
            if answer == Answer::TooLate && until < self.deadline.last_start {
                return;
            }
            reconciliation.take_answer(answer);
            // What follows a first answer, the options one by one, belongs together.
            until = self.deadline.last_start;
        }
    }

    /// Asks EC2 for a change when its turn has come, if that is before `until`; again while EC2 throttles or fails. The
    /// rate limit holds for every attempt.
    async fn ask(&self, target: &mut Target, change: &Change, until: Instant) -> Answer {
        let Self { client, mode, deadline, .. } = self;
        let mut answer = Answer::TooLate;
        loop {
            answer = match client.modify(&target.id, change, *mode, until, deadline).await {
                Some(Ok(_)) if *mode == Mode::DryRun => Answer::Rejected {
                    outcome: Outcome::Failed { retry: false },
                    why: "EC2 answered the dry run as if it had made the change".to_owned(),
                },
                Some(Ok(state)) => Answer::Accepted(state),
                Some(Err(error)) => Answer::Rejected {
                    outcome: error.outcome(target.age, target.redelivered),
                    why: error.to_string(),
                },
                None => return if until < deadline.last_start { Answer::TooLate } else { answer },
            };
            match answer {
                Answer::Rejected { outcome: Outcome::Throttled, .. } => client.rate_limiter.throttled(),
                Answer::Rejected { outcome: Outcome::Failed { retry: true }, .. } => {}
                _ => {
                    client.rate_limiter.accepted();
                    return answer;
                }
            }
            target.attempts += 1;
            if target.attempts >= ATTEMPTS {
                return answer;
            }
            wait_until(until.min(Instant::now() + pause_after(target.attempts))).await;
        }
    }
}

/// The pause after so many attempts in vain: twice as long each time.
fn pause_after(attempts: u32) -> Duration {
    PAUSES.1.min(PAUSES.0 * 2_u32.saturating_pow(attempts.saturating_sub(1)))
}
