//! What a target that was chosen beforehand may become: the change of a plan, or what it was before a change.

use futures_util::future::LocalBoxFuture;
use imds_core::decide::Verdict;
use imds_core::ids::InstanceId;
use imds_core::metadata::{Change, MetadataOptions, OptionName, OptionValue};
use imds_core::mode::Mode;
use imds_core::restore::Restoration;

/// An instance that a plan or a journal names.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// The instance.
    pub id: InstanceId,
    /// The time since it was chosen.
    pub age: time::Duration,
    /// What it may become.
    pub wanted: Wanted,
}

/// What an instance may become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// What a plan says, and nothing else.
    Planned(Planned),
    /// What it was before a change.
    Restored(Restoration),
}

/// The change of a plan, and how far earlier runs came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The whole change of the plan.
    pub change: Change,
    /// The options that EC2 accepted, of an earlier run or of this one.
    pub accepted: MetadataOptions,
    /// Whether EC2 may have made a change whose result is not known.
    pub may_be_made: bool,
}

/// A change that is about to be sent, or was.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// The instance.
    pub id: &'a InstanceId,
    /// Its options as last observed.
    pub before: &'a MetadataOptions,
    /// What is sent.
    pub change: &'a Change,
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent<'a> {
    /// EC2 accepted it.
    Accepted,
    /// EC2 did not accept it, or did not answer.
    Refused {
        /// EC2's code and message, or why there was no answer.
        why: &'a str,
        /// Whether EC2 may have made the change nevertheless.
        may_be_made: bool,
    },
    /// The rate limit did not allow it in time, or the run was stopped before. It may be sent later.
    NotSent,
}

/// What is called around each change.
pub struct Hooks<'a> {
    /// Called before a change is sent. If it returns an error, this change is not sent, and the error is the reason in its
    /// outcome.
    pub before: &'a dyn Fn(&Attempt<'_>) -> LocalBoxFuture<'static, Result<(), String>>,
    /// Called with the result of each change for which `before` returned `Ok`.
    pub after: &'a dyn Fn(&Attempt<'_>, Sent<'_>),
    /// Why no more changes are sent, if so. It is asked again once the rate limit allows a change, and before each retry.
    pub stopped: &'a dyn Fn() -> Option<String>,
}

/// What becomes of a planned target by a decision.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// What was decided.
    Decided,
    /// An earlier attempt made the change, and nothing is due.
    Made,
    /// It is not the planned change. What differs, in words.
    Changed(String),
}

impl Planned {
    /// Holds the decision on an instance, whose options are `present`, to the plan.
    pub(super) fn hold(&self, verdict: &Verdict, mode: Mode, present: &MetadataOptions) -> Held {
        let is_begun = self.may_be_made || !self.accepted.is_empty();
        match verdict {
            Verdict::NeedsUsage(_) | Verdict::Incomplete { .. } => Held::Decided,
            Verdict::Change { change, .. } => match self.differences(change, present) {
                differences if !differences.is_empty() => Held::Changed(differences.join(", ")),
                _ if mode == Mode::DryRun => {
                    Held::Changed("the policy now asks for dry runs only".to_owned())
                }
                _ => Held::Decided,
            },
            Verdict::OutOfScope { .. } => Held::Changed("the instance must not be changed".to_owned()),
            _ if is_begun && present.contains(&self.change) => Held::Made,
            Verdict::Compliant { .. } => Held::Decided,
            Verdict::Exempt { .. } | Verdict::Blocked { .. } | Verdict::InUse { .. } => {
                Held::Changed(format!("{} is not due", listed(self.change.options().iter())))
            }
        }
    }

    /// Returns how the due change differs from what remains of the plan.
    fn differences(&self, due: &Change, present: &MetadataOptions) -> Vec<String> {
        let options = |name: OptionName| (self.change.options().get(name), due.options().get(name));
        let difference = |name: OptionName| match options(name) {
            (None, None) => None,
            (None, Some(due)) => Some(format!("{due} is due as well")),
            (Some(planned), Some(due)) if planned != due => {
                Some(format!("{due} is due, not {}", planned.text()))
            }
            (Some(planned), Some(_)) if self.accepted.get(name) == Some(planned) => {
                Some(format!("{planned} was set before and is due again"))
            }
            (Some(_), Some(_)) => None,
            (Some(planned), None) => {
                let may_be_ours = self.may_be_made || self.accepted.get(name).is_some();
                let is_ours = may_be_ours && present.get(name) == Some(planned);
                (!is_ours).then(|| format!("{planned} is not due"))
            }
        };
        OptionName::ALL.into_iter().filter_map(difference).collect()
    }
}

fn listed(options: impl Iterator<Item = OptionValue>) -> String {
    options.map(|value| value.to_string()).collect::<Vec<_>>().join(", ")
}

impl Wanted {
    /// Takes that a change is about to be sent. Returns whether an earlier one may have been made.
    pub(super) fn take_attempt(&mut self) -> bool {
        match self {
            Self::Planned(planned) => std::mem::replace(&mut planned.may_be_made, true),
            Self::Restored(_) => false,
        }
    }

    /// Takes what became of it. `may_be_made`: EC2 may have made this change or an earlier one.
    pub(super) fn take_result(&mut self, change: &Change, is_accepted: bool, may_be_made: bool) {
        let Self::Planned(planned) = self else { return };
        planned.may_be_made = may_be_made;
        if is_accepted {
            planned.accepted = planned.accepted.with(change);
        }
    }
}

#[cfg(test)]
mod tests;
