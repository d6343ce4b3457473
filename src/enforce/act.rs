//! Decisions → calls.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use imds_core::ids::InstanceId;
use imds_core::instance::OptionsState;
use imds_core::metadata::{Change, HttpTokens, MetadataOptions, OptionName, OptionValue};
use imds_core::outcome::{Call, Mode, Outcome, Refusal};
use tokio::time::Instant;

use super::case::{Case, Judge, Step};
use super::look::look;
use super::observe::Sight;
use crate::accounts::Reach;
use crate::times::{Times, wait_until};

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

/// What became of a change that was to be sent.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// EC2 took it, and says in which state the options are.
    Accepted(Option<OptionsState>),
    /// EC2 did not, or only would have.
    Refused(Refusal),
    /// It was not sent, as its turn comes too late.
    TooLate,
}

/// The way to EC2.
pub(super) struct Actor<'a> {
    pub(super) reach: &'a Reach,
    pub(super) mode: Mode,
    pub(super) times: &'a Times,
    pub(super) judge: &'a Judge<'a>,
}

impl Actor<'_> {
    /// Sends the changes that are due, within pace, time and budget. One that fails stops no other.
    pub(super) async fn act(&self, budget: &mut Budget, cases: &mut [Case]) {
        let mut due = Vec::new();
        for case in cases.iter_mut().filter(|case| matches!(case.step, Step::Act(_))) {
            match budget {
                Some(0) => case.decided_only(),
                _ => due.push(case),
            }
            *budget = budget.map(|left| left.saturating_sub(1));
        }
        let mut is_first = true;
        while !due.is_empty() {
            // As many as have their turn while what was seen of them is fresh.
            let mut wave: Vec<&mut Case> =
                due.drain(..due.len().min(self.reach.pacer.within(FRESH_FOR))).collect();
            if !std::mem::take(&mut is_first) {
                wait_until(self.times.last_start.min(self.reach.pacer.next())).await;
                self.decide_again(&mut wave).await;
            }
            let until = self.times.last_start.min(Instant::now() + FRESH_FOR);
            let sent = stream::iter(wave).map(async |case| {
                self.send(case, until).await;
                case
            });
            let sent: Vec<&mut Case> = sent.buffer_unordered(CHANGES_AT_ONCE).collect().await;
            due.extend(sent.into_iter().filter(|case| matches!(case.step, Step::Act(_))));
        }
    }

    async fn decide_again(&self, cases: &mut [&mut Case]) {
        if !self.times.allows(Duration::ZERO) {
            return cases.iter_mut().for_each(|case| case.take(self.mode, Answer::TooLate));
        }
        let ids: Vec<InstanceId> = cases.iter().map(|case| case.subject.id.clone()).collect();
        let mut look = look(&self.reach.ec2, self.times, &ids).await;
        for case in cases {
            let sight = look.take(&case.subject.id).unwrap_or(Sight::NotShown);
            **case = Case::open(case.subject.clone(), sight, self.judge);
        }
    }

    /// Sends the change; it stays due where its turn does not come before `until`, while the invocation goes on.
    async fn send(&self, case: &mut Case, until: Instant) {
        while let Step::Act(change) = case.step {
            let answer = self.ask(case, &change, until).await;
            if matches!(answer, Answer::TooLate) && until < self.times.last_start {
                return;
            }
            if is_accepted_in_part(case, &change, &answer) {
                self.send_one_by_one(case, &change).await;
            } else {
                case.take(self.mode, answer);
            }
        }
    }

    /// Sends each option alone, as EC2 refuses all of them together and does not say because of which.
    async fn send_one_by_one(&self, case: &mut Case, change: &Change) {
        let mut accepted = MetadataOptions::default();
        // What EC2 said of the options that it took, of optional tokens, and of others that are denied.
        let (mut taken, mut kept_tight, mut denied) = (None, None, None);
        for value in change.options().iter() {
            let Some(one) = Change::new(MetadataOptions::from_iter([value])) else { continue };
            let answer = self.ask(case, &one, self.times.last_start).await;
            match case.outcome_of(&answer) {
                None | Some(Outcome::WouldEnforce) => {
                    accepted.set(value);
                    taken = Some(answer);
                }
                Some(Outcome::Blocked) => case.warn_left_out(value, &answer),
                Some(Outcome::Denied) => {
                    case.warn_left_out(value, &answer);
                    let denied = if value == OPTIONAL { &mut kept_tight } else { &mut denied };
                    *denied = Some(answer);
                }
                Some(_) => {
                    // What is left comes again with a retry, if one helps.
                    return case.take_in_parts(self.mode, Change::new(accepted), Some(answer));
                }
            }
        }
        case.take_in_parts(self.mode, Change::new(accepted), denied.or(taken).or(kept_tight));
    }

    /// Asks EC2 for a change when its turn has come, if that is before `until`; again and again while EC2 throttles or
    /// fails. Every attempt keeps the pace.
    async fn ask(&self, case: &mut Case, change: &Change, until: Instant) -> Answer {
        let Self { reach, mode, times, .. } = self;
        let mut answer = Answer::TooLate;
        loop {
            let Some(turn) = reach.pacer.take(until) else {
                return if until < times.last_start { Answer::TooLate } else { answer };
            };
            wait_until(turn).await;
            let modify = reach.ec2.modify(&case.subject.id, change, *mode);
            answer = match times.bound(Call::ModifyInstanceMetadataOptions, modify).await {
                Ok(state) => Answer::Accepted(state),
                Err(refusal) => Answer::Refused(refusal),
            };
            match case.outcome_of(&answer) {
                Some(Outcome::Throttled) => reach.pacer.throttled(),
                Some(Outcome::Failed { retry: true }) => {}
                _ => {
                    reach.pacer.accepted();
                    return answer;
                }
            }
            case.subject.attempts += 1;
            if case.subject.attempts >= ATTEMPTS {
                return answer;
            }
            wait_until(until.min(Instant::now() + pause_after(case.subject.attempts))).await;
        }
    }
}

/// The pause after so many attempts that came to nothing: twice as long each time.
fn pause_after(attempts: u32) -> Duration {
    PAUSES.1.min(PAUSES.0 * 2_u32.saturating_pow(attempts.saturating_sub(1)))
}

/// Whether EC2 may accept a part of the change, each option alone. Where IMDS is switched on, all of it depends on that.
fn is_accepted_in_part(case: &Case, change: &Change, answer: &Answer) -> bool {
    let options = change.options();
    if options.iter().count() < 2 || options.get(OptionName::HttpEndpoint).is_some() {
        return false;
    }
    match case.outcome_of(answer) {
        Some(Outcome::Blocked) => true,
        Some(Outcome::Denied) => options.iter().any(may_be_guarded),
        _ => false,
    }
}

/// Whether a guard in IAM, such as the template's, may deny a change for this value alone.
fn may_be_guarded(value: OptionValue) -> bool {
    value == OPTIONAL || value.name() == OptionName::HttpPutResponseHopLimit
}
