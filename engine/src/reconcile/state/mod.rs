//! The state machine of one instance: (state, EC2's answer) → next state. It has no I/O and no clock.

mod record;
mod split;
#[cfg(test)]
mod tests;

use imds_core::decide::Verdict;
use imds_core::instance::{Instance, InstanceState, OptionsState};
use imds_core::metadata::Change;
use imds_core::outcome::Outcome;

use record::TOO_LATE;
pub(super) use record::{Answer, Record};
use split::{Split, is_accepted_in_part};

/// The state of an instance between the decision and its outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// The change is sent next, with all its options in one call.
    Due(Change),
    /// EC2 refused the change as a whole; its options are sent one by one.
    Split(Split),
    /// The instance is described until its options are applied and contain the change, if there was one. Then it ends
    /// with this outcome.
    Verifying(Outcome),
    /// EC2 refused the change because of the instance's state. The instance is described once more, and ends with this
    /// outcome unless it is gone.
    Refused(Outcome),
    /// The instance is done.
    Ended(Outcome),
}

impl State {
    /// Returns the first state. `is_redelivered`: an earlier delivery may have made a change without verifying it.
    pub(super) fn decided(verdict: &Verdict, instance: &Instance, is_redelivered: bool) -> Self {
        let ended = |outcome| match is_redelivered && is_awaited(instance) {
            true => Self::Verifying(outcome),
            false => Self::Ended(outcome),
        };
        match verdict {
            Verdict::Change { change, .. } => Self::Due(*change),
            Verdict::Compliant { .. } => ended(Outcome::Compliant),
            Verdict::Exempt { .. } => Self::Ended(Outcome::Exempt),
            Verdict::OutOfScope { .. } => Self::Ended(Outcome::OutOfScope),
            Verdict::Blocked { .. } => ended(Outcome::Blocked),
            Verdict::InUse { .. } => ended(Outcome::InUse),
            Verdict::NeedsUsage(_) | Verdict::Incomplete { .. } => Self::Ended(Outcome::NotReady),
        }
    }

    /// Returns the first state if an earlier attempt made the change of a plan.
    pub(super) fn made(instance: &Instance) -> Self {
        if is_awaited(instance) { Self::Verifying(Outcome::Enforced) } else { Self::Ended(Outcome::Enforced) }
    }

    /// Returns the change to send next.
    pub(super) fn due(&self) -> Option<Change> {
        match self {
            Self::Due(change) => Some(*change),
            Self::Split(split) => split.due(),
            _ => None,
        }
    }

    /// Returns whether the instance must be described.
    pub(super) fn is_awaiting_description(&self) -> bool {
        matches!(self, Self::Verifying(_) | Self::Refused(_))
    }

    /// Returns the outcome.
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Ended(outcome) => *outcome,
            // Every instance reaches `Ended`. If one does not, its success is not verified.
            _ => Outcome::Failed { retry: true },
        }
    }

    /// Returns the state that follows EC2's answer to the due change.
    pub(super) fn answered(self, answer: Answer, record: &mut Record) -> Self {
        match self {
            Self::Due(change) if is_accepted_in_part(&change, &answer) => Self::Split(Split::new(&change)),
            Self::Due(_) => after_change(answer, record),
            Self::Split(mut split) => {
                split.take(answer, record);
                if split.due().is_some() { Self::Split(split) } else { after_split(split, record) }
            }
            state => state,
        }
    }

    /// Returns the state that follows a description; `shown` is `None` if EC2 did not return the instance.
    pub(super) fn described(self, shown: Option<&Instance>, record: &mut Record) -> Self {
        if let Some(state) = shown.and_then(|instance| instance.state).filter(|state| state.is_final()) {
            record.reasons.push(format!("the instance is now {state}"));
            return Self::Ended(Outcome::Gone);
        }
        match (self, shown) {
            (Self::Refused(outcome), _) => Self::Ended(outcome),
            (Self::Verifying(outcome), Some(instance)) => {
                record.options_state = instance.options_state;
                let is_made = record.change.is_none_or(|change| instance.options.contains(&change));
                if is_made && !is_awaited(instance) { Self::Ended(outcome) } else { Self::Verifying(outcome) }
            }
            (state, _) => state,
        }
    }

    /// Returns the state that follows when there is no further description; `why` is the error of the last one.
    pub(super) fn gave_up(self, why: Option<String>, record: &mut Record) -> Self {
        let outcome = match self {
            Self::Verifying(_) => Outcome::Pending,
            Self::Refused(outcome) => outcome,
            state => return state,
        };
        record.reasons.extend(why.map(|why| format!("not verified: {why}")));
        Self::Ended(outcome)
    }
}

fn after_change(answer: Answer, record: &mut Record) -> State {
    match answer {
        Answer::Accepted(options_state) => {
            record.options_state = options_state;
            record.is_accepted = true;
            State::Verifying(Outcome::Enforced)
        }
        Answer::Rejected { outcome: Outcome::WouldEnforce, .. } => State::Ended(Outcome::WouldEnforce),
        Answer::Rejected { outcome, why } => {
            record.reasons.push(why);
            match outcome {
                Outcome::NotReady => State::Refused(outcome),
                _ => State::Ended(outcome),
            }
        }
        Answer::TooLate => {
            record.reasons.push(TOO_LATE.to_owned());
            State::Ended(Outcome::Throttled)
        }
    }
}

/// Returns the state after the last option of a change. Accepted options are verified even if others were rejected.
fn after_split(split: Split, record: &mut Record) -> State {
    let is_changed = split.is_changed();
    match split.outcome(record) {
        outcome if is_changed => State::Verifying(outcome),
        Outcome::NotReady => State::Refused(Outcome::NotReady),
        outcome => State::Ended(outcome),
    }
}

/// Returns whether the instance's options are not known to be applied. A stopped instance applies them at its next
/// start.
fn is_awaited(instance: &Instance) -> bool {
    match instance.state {
        None => true,
        Some(InstanceState::Stopped) => false,
        Some(_) => instance.options_state != Some(OptionsState::Applied),
    }
}
