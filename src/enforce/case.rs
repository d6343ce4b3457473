//! One instance on its way from decision to outcome.

use imds_core::decide::{Decision, Facts, Reason, Verdict, decide};
use imds_core::ids::Place;
use imds_core::instance::{Instance, InstanceState, OptionsState};
use imds_core::metadata::{Change, HttpTokens, OptionName, OptionValue};
use imds_core::outcome::{Aside, InstanceReport, Mode, Outcome, Refusal, unknown_instance};
use imds_core::policy::Policy;
use imds_core::trigger::TriggerKind;
use time::OffsetDateTime;

use super::act::Answer;
use super::observe::{Sight, Subject};

/// What comes next for an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Send this change.
    Act(Change),
    /// See whether its options, with the change where there was one, are applied: then it ends so.
    Verify(Outcome),
    /// EC2 refused the change because of the instance's state: see whether the instance is gone, else it ends so.
    LookOnce(Outcome),
    /// Nothing.
    Ended(Outcome),
}

/// All that a decision needs beside the instance.
#[derive(Debug)]
pub(super) struct Judge<'a> {
    pub(super) policy: &'a Policy,
    pub(super) place: &'a Place,
    pub(super) now: OffsetDateTime,
    /// Whether the account's defaults enforce tokens, or why EC2 does not say; `None` where nobody asked.
    pub(super) tokens_enforced: Option<Result<bool, Refusal>>,
}

impl Judge<'_> {
    fn decide(&self, instance: &Instance) -> Decision {
        let Place { account, region } = self.place;
        // Whoever's credentials showed it: rules are about the account that owns it.
        let account = instance.owner.as_ref().unwrap_or(account);
        let tokens_enforced = self.tokens_enforced.as_ref().and_then(|known| known.clone().ok());
        decide(self.policy, &Facts { account, region, instance, tokens_enforced }, self.now)
    }

    /// Whether the account's defaults matter to the instance, as they can forbid `HttpTokens=optional`.
    pub(super) fn would_make_tokens_optional(&self, sight: &Sight) -> bool {
        let Sight::Shown(instance) = sight else { return false };
        let Verdict::Change { change, .. } = self.decide(instance).verdict else { return false };
        makes_tokens_optional(&change)
    }
}

fn makes_tokens_optional(change: &Change) -> bool {
    change.options().get(OptionName::HttpTokens) == Some(OptionValue::HttpTokens(HttpTokens::Optional))
}

/// One instance on its way from decision to outcome.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) subject: Subject,
    pub(super) step: Step,
    instance: Option<Instance>,
    change: Option<Change>,
    state: Option<OptionsState>,
    reasons: Vec<String>,
    warnings: Vec<String>,
    aside: Aside,
}

impl Case {
    /// Opens the case of an instance: decides on it if EC2 showed it.
    pub(super) fn open(subject: Subject, sight: Sight, judge: &Judge<'_>) -> Self {
        match sight {
            Sight::Shown(instance) => {
                let decision = judge.decide(&instance);
                let mut case = Self::decided(subject, instance, &decision);
                if let Some(Err(refusal)) = &judge.tokens_enforced
                    && case.change.as_ref().is_some_and(makes_tokens_optional)
                {
                    case.warnings
                        .push(format!("whether the account enforces tokens is not known: {refusal}"));
                }
                case
            }
            Sight::NotShown => {
                let outcome = unknown_instance(subject.age, subject.redelivered);
                Self::unseen(subject, outcome, "EC2 does not show the instance".to_owned())
            }
            Sight::Refused(refusal) => {
                let outcome = refusal.outcome(subject.age, subject.redelivered);
                Self::unseen(subject, outcome, refusal.to_string())
            }
        }
    }

    fn unseen(subject: Subject, outcome: Outcome, reason: String) -> Self {
        Self {
            aside: Aside { redelivered: subject.redelivered, ..Aside::default() },
            subject,
            step: Step::Ended(outcome),
            instance: None,
            change: None,
            state: None,
            reasons: vec![reason],
            warnings: Vec::new(),
        }
    }

    fn decided(subject: Subject, instance: Instance, decision: &Decision) -> Self {
        // An earlier delivery may have made a change and not seen it applied.
        let ended = |outcome| match subject.redelivered && is_awaited(&instance) {
            true => Step::Verify(outcome),
            false => Step::Ended(outcome),
        };
        let (step, change) = match &decision.verdict {
            Verdict::Change { change, .. } => (Step::Act(*change), Some(*change)),
            Verdict::Compliant { .. } => (ended(Outcome::Compliant), None),
            Verdict::Exempt { .. } => (Step::Ended(Outcome::Exempt), None),
            Verdict::OutOfScope { .. } => (Step::Ended(Outcome::OutOfScope), None),
            Verdict::Blocked { .. } => (ended(Outcome::Blocked), None),
        };
        let reasons = decision.verdict.reasons();
        let exempt_until = reasons.iter().filter_map(Reason::exempt_until).max();
        Self {
            aside: Aside { redelivered: subject.redelivered, launch_to_applied: None, exempt_until },
            subject,
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
            Answer::Refused(refusal) => Some(refusal.outcome(self.subject.age, self.subject.redelivered)),
            Answer::TooLate => Some(Outcome::Throttled),
        }
    }

    /// Warns that EC2 refuses this option, whatever becomes of the others.
    pub(super) fn warn_left_out(&mut self, value: OptionValue, answer: &Answer) {
        if let Answer::Refused(refusal) = answer {
            self.warnings.push(format!("{value} is left out: {refusal}"));
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
            Answer::Refused(refusal) if outcome != Some(Outcome::WouldEnforce) => {
                self.reasons.push(refusal.to_string());
            }
            Answer::Refused(_) => {}
            Answer::TooLate => {
                self.reasons
                    .push("the invocation's time ends before the pace of changes allows this one".to_owned());
            }
        }
        self.step = match outcome {
            None => Step::Verify(Outcome::Enforced),
            Some(outcome @ Outcome::NotReady) => Step::LookOnce(outcome),
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
        if let (Mode::Enforce, Step::Ended(outcome) | Step::LookOnce(outcome)) = (mode, &self.step) {
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

    /// Takes a look at the instance, at the time `at`; `None` where EC2 did not show it.
    pub(super) fn looked(&mut self, instance: Option<&Instance>, at: OffsetDateTime) {
        if let Some(instance) = instance.filter(|instance| instance.state.is_final()) {
            self.reasons.push(format!("the instance is {} meanwhile", instance.state));
            self.step = Step::Ended(Outcome::Gone);
            return;
        }
        match (&self.step, instance) {
            (Step::LookOnce(outcome), _) => self.step = Step::Ended(*outcome),
            (Step::Verify(outcome), Some(instance)) => {
                self.state = instance.options_state;
                let is_made = self.change.is_none_or(|change| instance.options.contains(&change));
                if is_made && !is_awaited(instance) {
                    self.step = Step::Ended(*outcome);
                    self.aside.launch_to_applied = self.exposed_until(instance, at);
                }
            }
            _ => {}
        }
    }

    /// How long the instance answered IMDSv1 since its launch or start, if its event was that and our change ended it.
    fn exposed_until(&self, instance: &Instance, at: OffsetDateTime) -> Option<time::Duration> {
        let is_of_launch = matches!(self.subject.kind, TriggerKind::Launch | TriggerKind::StateChange);
        let tokens = self.change?.options().get(OptionName::HttpTokens);
        let is_ended = tokens == Some(OptionValue::HttpTokens(HttpTokens::Required))
            && instance.options_state == Some(OptionsState::Applied);
        let exposed = at - instance.launched.filter(|_| is_of_launch && is_ended)?;
        // The clocks of EC2 and of Lambda need not agree.
        Some(exposed.max(time::Duration::ZERO))
    }

    /// Takes that there will be no further look; `refusal` is what the last one met, if anything.
    pub(super) fn time_is_up(&mut self, refusal: Option<&Refusal>) {
        let outcome = match self.step {
            Step::Verify(_) => Outcome::Pending,
            Step::LookOnce(outcome) => outcome,
            Step::Act(_) | Step::Ended(_) => return,
        };
        self.step = Step::Ended(outcome);
        self.reasons.extend(refusal.map(|refusal| format!("not verified: {refusal}")));
    }

    /// How it ended.
    pub(super) fn outcome(&self) -> Outcome {
        match self.step {
            Step::Ended(outcome) => outcome,
            // Every case is driven to its end; one that is not has not been seen to succeed.
            _ => Outcome::Failed { retry: true },
        }
    }

    /// The case as it is reported.
    pub(super) fn into_report(self, place: &Place) -> InstanceReport {
        InstanceReport {
            account: place.account.clone(),
            region: place.region.clone(),
            outcome: self.outcome(),
            instance_id: self.subject.id,
            trigger: self.subject.kind,
            before: self.instance.map(|instance| instance.options),
            change: self.change,
            state: self.state,
            reasons: self.reasons,
            warnings: self.warnings,
            aside: self.aside,
        }
    }
}

/// Whether the instance's options are still on their way to it. A stopped one takes them at its next start.
fn is_awaited(instance: &Instance) -> bool {
    instance.options_state != Some(OptionsState::Applied) && instance.state != InstanceState::Stopped
}
