//! Decisions → calls.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use imds_core::ids::InstanceId;
use imds_core::metadata::{Change, HttpTokens, MetadataOptions, OptionName, OptionValue};
use imds_core::outcome::{Mode, Outcome};
use tokio::time::Instant;

use super::decide::DecisionContext;
use super::describe::describe;
use super::reconciliation::{Answer, Reconciliation, Step};
use super::target::Observation;
use crate::aws::client::RegionClient;
use crate::deadline::{Deadline, wait_until};

/// How many changes to one account and Region are under way at once.
const CHANGES_AT_ONCE: usize = 20;

/// For how long what was seen of an instance is good enough to change it: its owner may act, too.
const FRESH_FOR: Duration = Duration::from_secs(5);

/// How often a change is tried while EC2 throttles or fails.
const ATTEMPTS: u32 = 8;

/// The shortest and the longest pause before another attempt, beside what the pace asks for.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// A guard against loosening denies it: the rest of the change is not worse off.
const OPTIONAL: OptionValue = OptionValue::HttpTokens(HttpTokens::Optional);

/// How many changes EC2 may still be asked for; without end where there is no number.
pub(super) type Budget = Option<usize>;

/// Sends changes to EC2.
pub(super) struct Applier<'a> {
    pub(super) client: &'a RegionClient,
    pub(super) mode: Mode,
    pub(super) deadline: &'a Deadline,
    pub(super) context: &'a DecisionContext<'a>,
}

impl Applier<'_> {
    /// Sends the changes that are due, within pace, time and budget. One that fails stops no other.
    pub(super) async fn apply(&self, budget: &mut Budget, reconciliations: &mut [Reconciliation]) {
        let mut due = Vec::new();
        for reconciliation in
            reconciliations.iter_mut().filter(|reconciliation| matches!(reconciliation.step, Step::Apply(_)))
        {
            match budget {
                Some(0) => reconciliation.decided_only(),
                _ => due.push(reconciliation),
            }
            *budget = budget.map(|left| left.saturating_sub(1));
        }
        let mut is_first = true;
        while !due.is_empty() {
            // As many as have their turn while what was seen of them is fresh.
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
            due.extend(
                sent.into_iter().filter(|reconciliation| matches!(reconciliation.step, Step::Apply(_))),
            );
        }
    }

    async fn decide_again(&self, reconciliations: &mut [&mut Reconciliation]) {
        if !self.deadline.allows(Duration::ZERO) {
            return reconciliations
                .iter_mut()
                .for_each(|reconciliation| reconciliation.take(self.mode, Answer::TooLate));
        }
        let ids: Vec<InstanceId> =
            reconciliations.iter().map(|reconciliation| reconciliation.target.id.clone()).collect();
        let mut described = describe(self.client, self.deadline, &ids).await;
        for reconciliation in reconciliations {
            let observation = described.take(&reconciliation.target.id).unwrap_or(Observation::NotShown);
            **reconciliation = Reconciliation::open(reconciliation.target.clone(), observation, self.context);
        }
    }

    /// Sends the change; it stays due where its turn does not come before `until`, while the invocation goes on.
    async fn send(&self, reconciliation: &mut Reconciliation, until: Instant) {
        while let Step::Apply(change) = reconciliation.step {
            let answer = self.ask(reconciliation, &change, until).await;
            if matches!(answer, Answer::TooLate) && until < self.deadline.last_start {
                return;
            }
            if is_accepted_in_part(reconciliation, &change, &answer) {
                self.send_one_by_one(reconciliation, &change).await;
            } else {
                reconciliation.take(self.mode, answer);
            }
        }
    }

    /// Sends each option alone, as EC2 refuses all of them together and does not say because of which.
    async fn send_one_by_one(&self, reconciliation: &mut Reconciliation, change: &Change) {
        let mut accepted = MetadataOptions::default();
        // What EC2 said of the options that it took, of optional tokens that are denied, and of others that it refused.
        let (mut taken, mut kept_tight, mut refused) = (None, None, None);
        for value in change.options().iter() {
            let Some(one) = Change::new(MetadataOptions::from_iter([value])) else { continue };
            let answer = self.ask(reconciliation, &one, self.deadline.last_start).await;
            match reconciliation.outcome_of(&answer) {
                None | Some(Outcome::WouldEnforce) => {
                    accepted.set(value);
                    taken = Some(answer);
                }
                Some(Outcome::Blocked) => reconciliation.warn_left_out(value, &answer),
                Some(outcome)
                    if is_refused_alone(outcome, value)
                        || (outcome == Outcome::Denied && taken.is_some()) =>
                {
                    reconciliation.warn_left_out(value, &answer);
                    let is_kept_tight = outcome == Outcome::Denied && value == OPTIONAL;
                    let slot = if is_kept_tight { &mut kept_tight } else { &mut refused };
                    slot.get_or_insert(answer);
                }
                Some(_) => {
                    // A retry sends what is left; or nothing is permitted, and the others would be denied, too.
                    return reconciliation.take_in_parts(self.mode, Change::new(accepted), Some(answer));
                }
            }
        }
        let answer = refused.or(taken).or(kept_tight);
        reconciliation.take_in_parts(self.mode, Change::new(accepted), answer);
    }

    /// Asks EC2 for a change when its turn has come, if that is before `until`; again and again while EC2 throttles or
    /// fails. Every attempt keeps the pace.
    async fn ask(&self, reconciliation: &mut Reconciliation, change: &Change, until: Instant) -> Answer {
        let Self { client, mode, deadline, .. } = self;
        let mut answer = Answer::TooLate;
        loop {
            let modify = client.modify(&reconciliation.target.id, change, *mode, until, deadline);
            answer = match modify.await {
                Some(Ok(state)) => Answer::Accepted(state),
                Some(Err(error)) => Answer::Failed(error),
                None => return if until < deadline.last_start { Answer::TooLate } else { answer },
            };
            match reconciliation.outcome_of(&answer) {
                Some(Outcome::Throttled) => client.rate_limiter.throttled(),
                Some(Outcome::Failed { retry: true }) => {}
                _ => {
                    client.rate_limiter.accepted();
                    return answer;
                }
            }
            reconciliation.target.attempts += 1;
            if reconciliation.target.attempts >= ATTEMPTS {
                return answer;
            }
            wait_until(until.min(Instant::now() + pause_after(reconciliation.target.attempts))).await;
        }
    }
}

/// The pause after so many attempts that came to nothing: twice as long each time.
fn pause_after(attempts: u32) -> Duration {
    PAUSES.1.min(PAUSES.0 * 2_u32.saturating_pow(attempts.saturating_sub(1)))
}

/// Whether EC2 may accept a part of the change, each option alone. Where IMDS is switched on, all of it depends on that.
fn is_accepted_in_part(reconciliation: &Reconciliation, change: &Change, answer: &Answer) -> bool {
    let options = change.options();
    if options.iter().count() < 2 || options.get(OptionName::HttpEndpoint).is_some() {
        return false;
    }
    match reconciliation.outcome_of(answer) {
        Some(Outcome::Blocked) => true,
        Some(Outcome::Denied) => options.iter().any(may_be_guarded),
        _ => false,
    }
}

/// Whether the other options may be accepted where this one had this outcome, and no retry sends them. A denial of what no
/// guard denies says that nothing is permitted, unless something was accepted before.
fn is_refused_alone(outcome: Outcome, value: OptionValue) -> bool {
    match outcome {
        Outcome::Denied => may_be_guarded(value),
        outcome => outcome == Outcome::Failed { retry: false },
    }
}

/// Whether a guard in IAM, such as the template's, may deny a change for this value alone.
fn may_be_guarded(value: OptionValue) -> bool {
    value == OPTIONAL || value.name() == OptionName::HttpPutResponseHopLimit
}
