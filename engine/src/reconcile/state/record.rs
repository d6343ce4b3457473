//! EC2's answers, and the part of an instance's report that depends on them.

use imds_core::instance::OptionsState;
use imds_core::metadata::Change;
use imds_core::outcome::Outcome;

/// EC2's answer to a due change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::reconcile) enum Answer {
    /// EC2 accepted it and returned the state of the options.
    Accepted(Option<OptionsState>),
    /// EC2 did not accept it; `why` goes into the report.
    Rejected { outcome: Outcome, why: String },
    /// It was not sent: the rate limit does not allow it before the invocation ends.
    TooLate,
}

/// The part of an instance's report that depends on EC2's answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::reconcile) struct Record {
    /// The change that was decided on or, once EC2 has accepted only a part of it, that part.
    pub(in crate::reconcile) change: Option<Change>,
    pub(in crate::reconcile) options_state: Option<OptionsState>,
    /// Whether EC2 accepted the change, or a part of it.
    pub(in crate::reconcile) is_accepted: bool,
    /// Whether EC2 rejected an option of a change whose options were sent one by one.
    pub(in crate::reconcile) is_in_part: bool,
    pub(in crate::reconcile) reasons: Vec<String>,
    pub(in crate::reconcile) warnings: Vec<String>,
}

/// Why a change was not sent.
pub(super) const TOO_LATE: &str = "the invocation ends before the rate limit allows this change";
