//! One instance on its way from decision to outcome.

use imds_core::call_error::{CallError, unknown_instance};
use imds_core::decide::{Decision, Reason, Verdict};
use imds_core::ids::AccountRegion;
use imds_core::instance::{Instance, InstanceState, OptionsState};
use imds_core::metadata::{Change, HttpTokens, OptionName, OptionValue};
use imds_core::outcome::{InstanceOutcome, MetricFields, Mode, Outcome};
use imds_core::trigger::TriggerKind;
use time::OffsetDateTime;

use super::decide::{DecisionContext, makes_tokens_optional};
use super::target::{Observation, Target};

/// What comes next for an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Send this change.
    Apply(Change),
    /// See whether its options, with the change where there was one, are applied: then it ends so.
    Verify(Outcome),
    /// EC2 refused the change because of the instance's state: see whether the instance is gone, else it ends so.
    DescribeOnce(Outcome),
    /// Nothing.
    Ended(Outcome),
}

/// What became of a change that was to be sent.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// EC2 took it, and says in which state the options are.
    Accepted(Option<OptionsState>),
    /// EC2 did not, or only would have.
    Failed(CallError),
    /// It was not sent, as its turn comes too late.
    TooLate,
}

/// One instance on its way from decision to outcome.
#[derive(Debug)]
pub(super) struct Reconciliation {
    pub(super) target: Target,
    pub(super) step: Step,
    instance: Option<Instance>,
    change: Option<Change>,
    state: Option<OptionsState>,
    reasons: Vec<String>,
    warnings: Vec<String>,
    metric_fields: MetricFields,
}

impl Reconciliation {
    /// Begins the reconciliation of an instance: decides on it if EC2 showed it.
    pub(super) fn open(target: Target, observation: Observation, context: &DecisionContext<'_>) -> Self {
        match observation {
            Observation::Shown(instance) => {
                let decision = context.decide(&instance);
                let mut reconciliation = Self::decided(target, instance, &decision);
                if let Some(Err(error)) = &context.tokens_enforced
                    && reconciliation.change.as_ref().is_some_and(makes_tokens_optional)
                {
                    reconciliation
                        .warnings
                        .push(format!("whether the account enforces tokens is not known: {error}"));
                }
                reconciliation
            }
            Observation::NotShown => {
                let outcome = unknown_instance(target.age, target.redelivered);
                Self::unseen(target, outcome, "EC2 does not show the instance".to_owned())
            }
            Observation::Failed(error) => {
                let outcome = error.outcome(target.age, target.redelivered);
                Self::unseen(target, outcome, error.to_string())
            }
        }
    }

    fn unseen(target: Target, outcome: Outcome, reason: String) -> Self {
        Self {
            metric_fields: MetricFields { redelivered: target.redelivered, ..MetricFields::default() },
            target,
            step: Step::Ended(outcome),
            instance: None,
            change: None,
            state: None,
            reasons: vec![reason],
            warnings: Vec::new(),
        }
    }

    fn decided(target: Target, instance: Instance, decision: &Decision) -> Self {
        // An earlier delivery may have made a change and not seen it applied.
        let ended = |outcome| match target.redelivered && is_awaited(&instance) {
            true => Step::Verify(outcome),
            false => Step::Ended(outcome),
        };
        let (step, change) = match &decision.verdict {
            Verdict::Change { change, .. } => (Step::Apply(*change), Some(*change)),
            Verdict::Compliant { .. } => (ended(Outcome::Compliant), None),
            Verdict::Exempt { .. } => (Step::Ended(Outcome::Exempt), None),
            Verdict::OutOfScope { .. } => (Step::Ended(Outcome::OutOfScope), None),
            Verdict::Blocked { .. } => (ended(Outcome::Blocked), None),
        };
        let reasons = decision.verdict.reasons();
        let exempt_until = reasons.iter().filter_map(Reason::exempt_until).max();
        Self {
            metric_fields: MetricFields {
                redelivered: target.redelivered,
                launch_to_applied: None,
                exempt_until,
            },
            target,
            step,
            change,
            state: instance.options_state,
            reasons: reasons.iter().map(ToString::to_string).collect(),
            warnings: decision.warnings.iter().map(ToString::to_string).collect(),
            instance: Some(instance),
        }
    }

    /// What an answer makes of the instance; `None` where EC2 took the change, which is to be verified.
    pub(super) fn outcome_of(&self, answer: &Answer) -> Option<Outcome> {
        match answer {
            Answer::Accepted(_) => None,
            Answer::Failed(error) => Some(error.outcome(self.target.age, self.target.redelivered)),
            Answer::TooLate => Some(Outcome::Throttled),
        }
    }

    /// Warns that EC2 refuses this option, whatever becomes of the others.
    pub(super) fn warn_left_out(&mut self, value: OptionValue, answer: &Answer) {
        if let Answer::Failed(error) = answer {
            self.warnings.push(format!("{value} is left out: {error}"));
        }
    }

    /// Takes what became of the change.
    pub(super) fn take(&mut self, mode: Mode, answer: Answer) {
        let outcome = self.outcome_of(&answer);
        match answer {
            Answer::Accepted(_) if mode == Mode::DryRun => {
                self.reasons.push("EC2 answered the dry run as if it had made the change".to_owned());
                self.step = Step::Ended(Outcome::Failed { retry: false });
                return;
            }
            Answer::Accepted(state) => self.state = state,
            Answer::Failed(error) if outcome != Some(Outcome::WouldEnforce) => {
                self.reasons.push(error.to_string());
            }
            Answer::Failed(_) => {}
            Answer::TooLate => {
                self.reasons
                    .push("the invocation's time ends before the pace of changes allows this one".to_owned());
            }
        }
        self.step = match outcome {
            None => Step::Verify(Outcome::Enforced),
            Some(outcome @ Outcome::NotReady) => Step::DescribeOnce(outcome),
            Some(outcome) => Step::Ended(outcome),
        };
    }

    /// Takes what became of the options that were sent one by one: which of them EC2 accepted, and what it said last but
    /// for those that were left out.
    pub(super) fn take_in_parts(&mut self, mode: Mode, accepted: Option<Change>, last: Option<Answer>) {
        match last {
            Some(last) => self.take(mode, last),
            None => self.step = Step::Ended(Outcome::Blocked),
        }
        if accepted.is_none() {
            return;
        }
        self.change = accepted;
        if let (Mode::Enforce, Step::Ended(outcome) | Step::DescribeOnce(outcome)) = (mode, &self.step) {
            // Whatever kept the rest back, what was accepted is verified.
            self.step = Step::Verify(*outcome);
        }
    }

    /// Takes that EC2 is not asked, though it would be changed.
    pub(super) fn decided_only(&mut self) {
        self.reasons
            .push("EC2 was asked for the first of the sweep's changes only, and not for this one".to_owned());
        self.step = Step::Ended(Outcome::WouldEnforce);
    }

    /// Takes a description of the instance, at the time `at`; `None` where EC2 did not show it.
    pub(super) fn described(&mut self, instance: Option<&Instance>, at: OffsetDateTime) {
        if let Some(instance) = instance.filter(|instance| instance.state.is_final()) {
            self.reasons.push(format!("the instance is {} meanwhile", instance.state));
            self.step = Step::Ended(Outcome::Gone);
            return;
        }
        match (&self.step, instance) {
            (Step::DescribeOnce(outcome), _) => self.step = Step::Ended(*outcome),
            (Step::Verify(outcome), Some(instance)) => {
                self.state = instance.options_state;
                let is_made = self.change.is_none_or(|change| instance.options.contains(&change));
                if is_made && !is_awaited(instance) {
                    self.step = Step::Ended(*outcome);
                    self.metric_fields.launch_to_applied = self.exposed_until(instance, at);
                }
            }
            _ => {}
        }
    }

    /// How long the instance answered IMDSv1 since its launch or start, if its event was that and our change ended it.
    fn exposed_until(&self, instance: &Instance, at: OffsetDateTime) -> Option<time::Duration> {
        let is_of_launch = matches!(self.target.kind, TriggerKind::Launch | TriggerKind::StateChange);
        let tokens = self.change?.options().get(OptionName::HttpTokens);
        let is_ended = tokens == Some(OptionValue::HttpTokens(HttpTokens::Required))
            && instance.options_state == Some(OptionsState::Applied);
        let exposed = at - instance.launched.filter(|_| is_of_launch && is_ended)?;
        // The clocks of EC2 and of Lambda need not agree.
        Some(exposed.max(time::Duration::ZERO))
    }

    /// Takes that there will be no further description; `error` is what the last one met, if anything.
    pub(super) fn time_is_up(&mut self, error: Option<&CallError>) {
        let outcome = match self.step {
            Step::Verify(_) => Outcome::Pending,
            Step::DescribeOnce(outcome) => outcome,
            Step::Apply(_) | Step::Ended(_) => return,
        };
        self.step = Step::Ended(outcome);
        self.reasons.extend(error.map(|error| format!("not verified: {error}")));
    }

    /// How it ended.
    pub(super) fn outcome(&self) -> Outcome {
        match self.step {
            Step::Ended(outcome) => outcome,
            // Every reconciliation is driven to its end; one that is not has not been seen to succeed.
            _ => Outcome::Failed { retry: true },
        }
    }

    /// What became of the instance, as data.
    pub(super) fn into_outcome(self, account_region: &AccountRegion) -> InstanceOutcome {
        InstanceOutcome {
            account: account_region.account.clone(),
            region: account_region.region.clone(),
            outcome: self.outcome(),
            instance_id: self.target.id,
            trigger: self.target.kind,
            before: self.instance.map(|instance| instance.options),
            change: self.change,
            state: self.state,
            reasons: self.reasons,
            warnings: self.warnings,
            metric_fields: self.metric_fields,
        }
    }
}

/// Whether the instance's options are still on their way to it. A stopped one takes them at its next start.
fn is_awaited(instance: &Instance) -> bool {
    instance.options_state != Some(OptionsState::Applied) && instance.state != InstanceState::Stopped
}
