//! The state machine of one instance: (state, what EC2 said) → next state. It has no I/O and no clock.

mod split;
#[cfg(test)]
mod tests;

use imds_core::decide::Verdict;
use imds_core::instance::{Instance, InstanceState, OptionsState};
use imds_core::metadata::Change;
use imds_core::outcome::Outcome;

use split::{Split, is_accepted_in_part};

/// Where an instance is on its way from the decision to its outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// The change is to be sent, all its options in one call.
    Due(Change),
    /// EC2 refused the change as a whole: its options are to be sent one by one.
    Split(Split),
    /// It is to be described until its options are applied, with the change where there was one. Then it ends so.
    Verifying(Outcome),
    /// EC2 refused the change because of the instance's state. It is to be described once, and ends so unless it is gone.
    Refused(Outcome),
    /// Nothing is left to do.
    Ended(Outcome),
}

/// What came of a change that was due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// EC2 accepted it, and says in which state the options are.
    Accepted(Option<OptionsState>),
    /// EC2 did not accept it; `why` is for the report.
    Rejected { outcome: Outcome, why: String },
    /// It was not sent: its turn comes after the invocation's end.
    TooLate,
}

/// What the report is to say of an instance, as far as EC2's answers decide it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// The change that was decided on. Once EC2 has accepted a part of it, that part.
    pub(super) change: Option<Change>,
    pub(super) options_state: Option<OptionsState>,
    pub(super) reasons: Vec<String>,
    pub(super) warnings: Vec<String>,
}

impl State {
    /// The first state. `is_redelivered` says that an earlier delivery may have made a change without seeing it applied.
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
        }
    }

    /// The change that is to be sent next.
    pub(super) fn due(&self) -> Option<Change> {
        match self {
            Self::Due(change) => Some(*change),
            Self::Split(split) => split.due(),
            _ => None,
        }
    }

    /// Whether it is to be described.
    pub(super) fn is_awaiting_description(&self) -> bool {
        matches!(self, Self::Verifying(_) | Self::Refused(_))
    }

    /// How it ended.
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Ended(outcome) => *outcome,
            // Every instance is brought to its end. One that is not has not been seen to succeed.
            _ => Outcome::Failed { retry: true },
        }
    }

    /// What follows from what came of the change that was due.
    pub(super) fn answered(self, answer: Answer, record: &mut Record) -> Self {
        match self {
            Self::Due(change) if is_accepted_in_part(&change, &answer) => Self::Split(Split::new(&change)),
            Self::Due(_) => after_change(answer, record),
            Self::Split(split) => split.answered(answer, record),
            state => state,
        }
    }

    /// What follows from a description of the instance, which EC2 may not show.
    pub(super) fn described(self, shown: Option<&Instance>, record: &mut Record) -> Self {
        if let Some(instance) = shown.filter(|instance| instance.state.is_final()) {
            record.reasons.push(format!("the instance is now {}", instance.state));
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

    /// What follows when there is no further description; `why` is what the last one failed with.
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

/// Why a change was not sent.
const TOO_LATE: &str = "the invocation ends before the rate limit allows this change";

/// Whether the instance's options are still to be applied. A stopped one takes them at its next start.
fn is_awaited(instance: &Instance) -> bool {
    instance.options_state != Some(OptionsState::Applied) && instance.state != InstanceState::Stopped
}
