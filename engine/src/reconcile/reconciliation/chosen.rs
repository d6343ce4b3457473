//! An instance that was chosen beforehand: held to its plan, or restored.

use imds_core::decide::{Decision, Verdict};
use imds_core::instance::Instance;
use imds_core::metadata::MetadataOptions;
use imds_core::mode::Mode;
use imds_core::outcome::{Outcome, Unlogged};
use imds_core::restore::{Restoration, Restored};

use super::Reconciliation;
use crate::reconcile::decide::DecisionContext;
use crate::reconcile::planned::{Held, Wanted};
use crate::reconcile::state::{Record, State};
use crate::reconcile::target::Target;

impl Reconciliation {
    /// Ends without a change if a plan names the instance and what was decided is not what the plan says.
    pub(super) fn hold_to_plan(&mut self, decision: &Decision) {
        let (Some(Wanted::Planned(planned)), Some(instance)) = (&self.target.wanted, &self.instance) else {
            return;
        };
        match planned.hold(&decision.verdict, decision.mode, &instance.options) {
            Held::Decided => {}
            Held::Made => {
                self.state = State::made(instance);
                (self.record.change, self.record.is_accepted) = (Some(planned.change), true);
            }
            Held::Changed(what) => {
                self.state = State::Ended(Outcome::ChangedSincePlan);
                self.record.change = None;
                self.record.reasons.insert(0, format!("changed since the plan: {what}"));
            }
        }
    }

    /// The outcome after a change of a chosen instance was made. A plan is made as a whole or not done; what is left of a
    /// restoration is in its warnings.
    pub(super) fn made(&self) -> Outcome {
        match self.target.wanted {
            Some(Wanted::Planned(_)) if self.record.is_in_part => Outcome::Blocked,
            _ => Outcome::Enforced,
        }
    }

    /// Decides what can be restored.
    pub(super) fn restored(
        target: Target,
        instance: Instance,
        restoration: &Restoration,
        context: &DecisionContext<'_>,
    ) -> Self {
        let at_next_event = |options: &_| at_next_event(options, &instance, context);
        let restored = restoration.plan(&instance.options, at_next_event);
        let (state, reasons) = first_state(&restored, &instance, context);
        Self {
            target,
            // Restoring is never a dry run; what the policy only checks it does not change back.
            mode: Mode::Enforce,
            is_held_back: false,
            usage: None,
            requires_tokens: false,
            record: Record {
                change: state.due(),
                options_state: instance.options_state,
                reasons,
                warnings: restored.left.iter().map(ToString::to_string).collect(),
                ..Record::default()
            },
            unlogged: Unlogged::default(),
            state,
            instance: Some(instance),
        }
    }
}

/// Returns the first state of an instance, and why.
fn first_state(
    restored: &Restored,
    instance: &Instance,
    context: &DecisionContext<'_>,
) -> (State, Vec<String>) {
    if let Verdict::OutOfScope { reasons } = context.decide(false, instance).verdict {
        return (State::Ended(Outcome::OutOfScope), reasons.iter().map(ToString::to_string).collect());
    }
    match restored {
        Restored { change: Some(change), .. } => (State::Due(*change), Vec::new()),
        Restored { left, .. } if left.is_empty() => {
            let state = State::decided(&Verdict::Compliant { reasons: Vec::new() }, instance, true);
            (state, vec!["every option is as it was before".to_owned()])
        }
        Restored { .. } => (State::Ended(Outcome::ChangedSincePlan), Vec::new()),
    }
}

/// Returns the verdict on the instance with `options` at the next event. A dry run changes nothing.
fn at_next_event(options: &MetadataOptions, instance: &Instance, context: &DecisionContext<'_>) -> Verdict {
    let instance = Instance { options: *options, ..instance.clone() };
    let Decision { verdict, mode, .. } = context.decide(false, &instance);
    match (verdict, mode) {
        (Verdict::Change { reasons, .. }, Mode::DryRun) => Verdict::Compliant { reasons },
        (Verdict::NeedsUsage(_), Mode::DryRun) => Verdict::Compliant { reasons: Vec::new() },
        (verdict, _) => verdict,
    }
}
