//! One instance during one invocation: its observation, its state, and the content of its report.

mod chosen;
mod sentences;

use imds_core::call_error::{CallError, unknown_instance};
use imds_core::decide::{Needed, Reason, Verdict};
use imds_core::ids::AccountRegion;
use imds_core::instance::{Instance, OptionsState};
use imds_core::metadata::{Change, MetadataOptions, OptionValue, Requirement};
use imds_core::mode::Mode;
use imds_core::outcome::{InstanceOutcome, Outcome, Unlogged};
use imds_core::source::Source;
use imds_core::text::counted;
use imds_core::trigger::TriggerKind;
use imds_core::usage::Use;
use time::OffsetDateTime;

use super::decide::DecisionContext;
use super::planned::Wanted;
use super::state::{Answer, Record, State};
use super::target::{Observation, Target};
use sentences::{not_said, warnings};

/// How long after the event options that are still not applied are reported to the operator.
const PENDING_TOO_LONG: time::Duration = time::Duration::minutes(15);

/// How long after a launch or start its event may happen.
const EVENT_AFTER_LAUNCH: time::Duration = time::Duration::minutes(10);

fn requires_tokens(reason: &Reason) -> bool {
    matches!(reason, Reason::Required(sourced) if sourced.requirement == Requirement::Exactly(OptionValue::TOKENS_REQUIRED))
}

/// One instance during one invocation.
#[derive(Debug)]
pub(super) struct Reconciliation {
    pub(super) target: Target,
    pub(super) state: State,
    /// Whether a change is made, or only a dry run is sent.
    pub(super) mode: Mode,
    instance: Option<Instance>,
    /// Whether the usage gate holds `HttpTokens=required` back.
    is_held_back: bool,
    /// Its use of IMDSv1, if the usage gate looked at it.
    usage: Option<Use>,
    /// Whether `HttpTokens=required` is required of it.
    requires_tokens: bool,
    record: Record,
    unlogged: Unlogged,
}

impl Reconciliation {
    /// Decides on the instance if EC2 returned it.
    pub(super) fn open(target: Target, observation: Observation, context: &DecisionContext<'_>) -> Self {
        match observation {
            Observation::Shown(instance) => Self::decided(target, instance, context),
            Observation::NotShown => {
                let outcome = unknown_instance(target.age, target.redelivered);
                Self::undecided(
                    target,
                    outcome,
                    "EC2 does not show the instance".to_owned(),
                    context.default_mode(),
                )
            }
            Observation::Failed(error) => {
                let outcome = error.outcome(target.age, target.redelivered);
                Self::undecided(target, outcome, error.to_string(), context.default_mode())
            }
        }
    }

    /// Decides again on a later observation, before a change that is still due. If a change whose response was lost is found
    /// made, it is this delivery's.
    pub(super) fn reopen(&mut self, observation: Observation, context: &DecisionContext<'_>) {
        let reopened = Self::open(self.target.clone(), observation, context);
        let before = std::mem::replace(self, reopened);
        if self.instance.is_none() {
            (self.mode, self.usage) = (before.mode, before.usage);
        }
        let change = before.record.change.filter(|_| before.target.may_be_changed);
        let is_made =
            |change: &Change| self.instance.as_ref().is_some_and(|now| now.options.contains(change));
        let (State::Ended(found) | State::Verifying(found)) = &self.state else { return };
        if let (Outcome::Compliant | Outcome::InUse, Some(change)) = (found, change.filter(is_made)) {
            self.state = State::Verifying(Outcome::Enforced);
            self.record = Record { change: Some(change), is_accepted: true, ..before.record };
            self.instance = before.instance;
        }
    }

    /// Processes that the invocation ends before the due change is sent, or sent again.
    pub(super) fn take_too_late(&mut self) {
        let failure = self.target.failure.take();
        self.take_answer(failure.map_or(Answer::TooLate, |(outcome, why)| Answer::Rejected { outcome, why }));
    }

    fn undecided(target: Target, outcome: Outcome, reason: String, mode: Mode) -> Self {
        Self {
            target,
            state: State::Ended(outcome),
            mode,
            instance: None,
            is_held_back: false,
            usage: None,
            requires_tokens: false,
            unlogged: Unlogged::default(),
            record: Record { reasons: vec![reason], ..Record::default() },
        }
    }

    /// Ends without a decision, as it is not known whether the instance uses IMDSv1.
    fn usage_unknown(
        target: Target,
        instance: Instance,
        needed: &Needed,
        mode: Mode,
        context: &DecisionContext<'_>,
    ) -> Self {
        let (outcome, reason) = match context.usage_error(&instance.id, needed) {
            Some(error) => (error.outcome(target.age, target.redelivered), error.to_string()),
            // The instance changed after its use was asked, so that the answer did not seem to matter.
            None => (Outcome::NotReady, "the instance changed before its use of IMDSv1 was known".to_owned()),
        };
        Self { instance: Some(instance), ..Self::undecided(target, outcome, reason, mode) }
    }

    fn decided(target: Target, instance: Instance, context: &DecisionContext<'_>) -> Self {
        if let Some(Wanted::Restored(restoration)) = target.wanted {
            return Self::restored(target, instance, &restoration, context);
        }
        let decision = context.decide(target.is_launch, &instance);
        if let Verdict::NeedsUsage(needed) = &decision.verdict {
            return Self::usage_unknown(target, instance, needed, decision.mode, context);
        }
        let state = State::decided(&decision.verdict, &instance, target.redelivered);
        let reasons = decision.verdict.reasons();
        let mut decided = Self {
            mode: decision.mode,
            is_held_back: decision.verdict.held_back().is_some(),
            usage: decision.usage,
            unlogged: Unlogged {
                exempt_until: reasons.iter().filter_map(Reason::exempt_until).max(),
                first_ran: instance.first_ran,
                ..Unlogged::default()
            },
            requires_tokens: reasons.iter().any(requires_tokens),
            record: Record {
                change: state.due(),
                options_state: instance.options_state,
                reasons: reasons.iter().map(ToString::to_string).chain(not_said(&decision)).collect(),
                warnings: warnings(&decision, context),
                ..Record::default()
            },
            target,
            state,
            instance: Some(instance),
        };
        decided.hold_to_plan(&decision);
        decided.measure(context.now);
        decided
    }

    /// Processes EC2's answer to the due change.
    pub(super) fn take_answer(&mut self, answer: Answer) {
        self.advance(|state, record| state.answered(answer, record));
    }

    /// Ends without a request to EC2, although the instance would be changed.
    pub(super) fn only_decide(&mut self) {
        self.record.reasons.push(
            "the dry-run sweep reached its limit of requests and did not send this change to EC2".to_owned(),
        );
        self.state = State::Ended(Outcome::WouldEnforce);
    }

    /// Leaves the due change to the next sweep; `why` is the reason.
    pub(super) fn defer(&mut self, why: String) {
        self.record.reasons.push(why);
        self.state = State::Ended(Outcome::Deferred);
    }

    /// Records the calls without a token that were refused in the 24 hours before.
    pub(super) fn take_rejected_calls(&mut self, calls: u64) {
        if calls > 0 {
            let refused = counted(calls, "call without a token was", "calls without a token were");
            self.record
                .warnings
                .push(format!("{refused} refused in 24 hours: something on the instance still uses IMDSv1"));
        }
        self.unlogged.rejected_calls = calls;
    }

    /// Returns whether the change failed or was denied, at least in part.
    pub(super) fn is_failed(&self) -> bool {
        matches!(
            self.state,
            State::Ended(Outcome::Denied | Outcome::Failed { .. })
                | State::Verifying(Outcome::Denied | Outcome::Failed { .. })
        )
    }

    /// Returns the outcome. If the usage gate holds tokens back, it is that, unless something else did not end well.
    pub(super) fn outcome(&self) -> Outcome {
        match self.state.outcome() {
            // The plan's change is not what is held back.
            Outcome::Enforced if self.target.wanted.is_some() => self.made(),
            Outcome::Enforced | Outcome::WouldEnforce | Outcome::Compliant if self.is_held_back => {
                Outcome::InUse
            }
            outcome => outcome,
        }
    }

    /// Processes a description made at the time `at`; `shown` is `None` if EC2 did not return the instance.
    pub(super) fn take_description(&mut self, shown: Option<&Instance>, at: OffsetDateTime) {
        let is_verifying = matches!(self.state, State::Verifying(_));
        self.advance(|state, record| state.described(shown, record));
        if is_verifying && shown.is_some() {
            self.measure(at);
        }
    }

    /// Ends without a further description; `error` is the error of the last one, if it failed.
    pub(super) fn give_up(&mut self, error: Option<&CallError>) {
        self.advance(|state, record| state.gave_up(error.map(ToString::to_string), record));
        // A change of this delivery is too recent to count.
        self.unlogged.is_pending_too_long = self.state == State::Ended(Outcome::Pending)
            && self.target.redelivered
            && self.target.age > PENDING_TOO_LONG
            && !self.record.is_accepted;
    }

    fn advance(&mut self, next: impl FnOnce(State, &mut Record) -> State) {
        // This placeholder is replaced on the next line and never observed.
        let state = std::mem::replace(&mut self.state, State::Ended(Outcome::Failed { retry: true }));
        self.state = next(state, &mut self.record);
    }

    /// Measures how long the instance accepted IMDSv1 since its launch or start, if that has ended and the event was that
    /// launch or start. `at` is the time of the last description.
    fn measure(&mut self, at: OffsetDateTime) {
        let is_of_launch = matches!(self.target.kind, TriggerKind::Launch | TriggerKind::StateChange);
        let is_enforced = match self.record.change {
            Some(change) => change.options().require_tokens(),
            // An earlier delivery made the change, and left this one to see it applied.
            None => self.target.is_retried && self.requires_tokens,
        };
        let is_applied =
            matches!(self.state, State::Ended(_)) && self.record.options_state == Some(OptionsState::Applied);
        let is_over = is_of_launch && is_enforced && is_applied;
        let launched = self.instance.as_ref().and_then(|instance| instance.launched);
        // A stop is a state change too, long after the launch.
        let since_launch = |launched: &OffsetDateTime| {
            self.target.kind == TriggerKind::Launch || *launched >= at - self.target.age - EVENT_AFTER_LAUNCH
        };
        let exposed = launched.filter(|_| is_over).filter(since_launch).map(|launched| at - launched);
        // The clocks of EC2 and Lambda may differ.
        self.unlogged.launch_to_applied = exposed.map(|exposed| exposed.max(time::Duration::ZERO));
    }

    /// Returns the options as last observed.
    pub(super) fn options(&self) -> MetadataOptions {
        self.instance.as_ref().map(|instance| instance.options).unwrap_or_default()
    }

    /// Returns whether EC2 accepted a change.
    pub(super) fn is_changed(&self) -> bool {
        self.record.is_accepted
    }

    /// Converts this into the outcome of the instance.
    pub(super) fn into_outcome(self, account_region: &AccountRegion) -> InstanceOutcome {
        let Target { is_new, is_last, is_watched, .. } = self.target;
        let is_changed = self.is_changed();
        let unlogged = Unlogged { is_changed, is_new, is_last_receive: is_last, is_watched, ..self.unlogged };
        InstanceOutcome {
            account: account_region.account.clone(),
            region: account_region.region.clone(),
            outcome: self.outcome(),
            instance_id: self.target.id,
            trigger: self.target.kind,
            mode: self.mode,
            source: self.instance.as_ref().and_then(Source::of),
            usage: self.usage,
            before: self.instance.map(|instance| instance.options),
            change: self.record.change,
            state: self.record.options_state,
            reasons: self.record.reasons,
            warnings: self.record.warnings,
            unlogged,
        }
    }
}

#[cfg(test)]
mod tests;
