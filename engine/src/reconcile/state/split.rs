//! A change whose options are sent one by one, because EC2 refused them together and does not say which one is the
//! cause.

use imds_core::metadata::{Change, MetadataOptions, OptionName, OptionValue};
use imds_core::outcome::Outcome;

use super::record::{Answer, Record, TOO_LATE};

/// A change whose options are sent one by one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::reconcile) struct Split {
    /// The options that are not sent yet. The last one is next.
    left: Vec<OptionValue>,
    /// The options that EC2 accepted or, in a dry run, would accept.
    accepted: MetadataOptions,
    /// `Enforced` or `WouldEnforce` once an option was accepted.
    taken: Option<Outcome>,
    /// The outcome of the first rejection that decides it, and the reason.
    rejected: Option<(Outcome, String)>,
    /// Why `HttpTokens=optional` was denied. It decides the outcome only if nothing was accepted and `rejected` is
    /// `None`.
    kept_required: Option<String>,
}

impl Split {
    pub(super) fn new(change: &Change) -> Self {
        let mut left: Vec<OptionValue> = change.options().iter().collect();
        left.reverse();
        Self { left, accepted: MetadataOptions::default(), taken: None, rejected: None, kept_required: None }
    }

    pub(super) fn due(&self) -> Option<Change> {
        Change::new(MetadataOptions::from_iter([*self.left.last()?]))
    }

    /// Processes EC2's answer to the due option.
    pub(super) fn take(&mut self, answer: Answer, record: &mut Record) {
        let Some(value) = self.left.pop() else { return };
        match answer {
            Answer::Accepted(options_state) => {
                record.options_state = options_state;
                record.is_accepted = true;
                self.accept(value, Outcome::Enforced);
            }
            Answer::Rejected { outcome: Outcome::WouldEnforce, .. } => {
                self.accept(value, Outcome::WouldEnforce);
            }
            Answer::Rejected { outcome, why } => self.reject(value, outcome, why, record),
            Answer::TooLate => self.stop(Outcome::Throttled, TOO_LATE.to_owned()),
        }
    }

    fn accept(&mut self, value: OptionValue, outcome: Outcome) {
        self.accepted.set(value);
        self.taken = Some(outcome);
    }

    fn reject(&mut self, value: OptionValue, outcome: Outcome, why: String, record: &mut Record) {
        let leave_out = format!("{value} is left out: {why}");
        record.is_in_part = true;
        match outcome {
            Outcome::Blocked => record.warnings.push(leave_out),
            Outcome::Denied if value == OptionValue::TOKENS_OPTIONAL => {
                record.warnings.push(leave_out);
                self.kept_required.get_or_insert(why);
            }
            // A denial of a value that no guard denies means that no change is permitted, unless one was accepted
            // before.
            Outcome::Denied if may_be_guarded(value) || self.taken.is_some() => {
                record.warnings.push(leave_out);
                self.rejected.get_or_insert((outcome, why));
            }
            Outcome::Failed { .. } => {
                record.warnings.push(leave_out);
                self.rejected.get_or_insert((outcome, why));
            }
            // A retry sends the remaining options, or no change is permitted and they would be denied, too.
            outcome => self.stop(outcome, why),
        }
    }

    fn stop(&mut self, outcome: Outcome, why: String) {
        self.left.clear();
        self.rejected = Some((outcome, why));
    }

    /// Returns whether EC2 made a part of the change, not only a dry run of it.
    pub(super) fn is_changed(&self) -> bool {
        self.taken == Some(Outcome::Enforced)
    }

    /// Returns the outcome of the change when no option is due.
    pub(super) fn outcome(self, record: &mut Record) -> Outcome {
        record.change = Change::new(self.accepted).or(record.change);
        let (outcome, why) = match (self.rejected, self.taken, self.kept_required) {
            (Some((outcome, why)), _, _) => (outcome, Some(why)),
            (None, Some(taken), _) => (taken, None),
            (None, None, Some(why)) => (Outcome::Denied, Some(why)),
            (None, None, None) => (Outcome::Blocked, None),
        };
        record.reasons.extend(why);
        outcome
    }
}

/// Returns whether EC2 may accept some options of the change individually. If the change sets `HttpEndpoint`, its
/// options depend on each other and are not sent individually.
pub(super) fn is_accepted_in_part(change: &Change, answer: &Answer) -> bool {
    let options = change.options();
    let Answer::Rejected { outcome, .. } = answer else { return false };
    if options.iter().count() < 2 || options.get(OptionName::HttpEndpoint).is_some() {
        return false;
    }
    match outcome {
        Outcome::Blocked => true,
        Outcome::Denied => options.iter().any(may_be_guarded),
        _ => false,
    }
}

/// Returns whether an IAM policy, such as the template's, may deny a change only because of this value.
fn may_be_guarded(value: OptionValue) -> bool {
    value == OptionValue::TOKENS_OPTIONAL || value.name() == OptionName::HttpPutResponseHopLimit
}
