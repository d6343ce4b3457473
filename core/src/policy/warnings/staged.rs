//! Warnings about usage gates and modes.

use time::{Date, Duration, OffsetDateTime};

use super::without::{changes_nothing, gates_before};
use super::{NARROW, SAFER, Warnings, hold_for_all, key_that_anyone_sets};
use crate::metadata::{OptionName, OptionValue, Requirement};
use crate::mode::Mode;
use crate::policy::day::{is_active, today};
use crate::policy::json::{index, join};
use crate::policy::model::{Authority, Effect, Policy, Rule};
use crate::policy::usage_gate::{Launches, OnUnknown, UsageGate};
use crate::text::Quoted;

/// How far ahead a gate may end without a warning: a year, which may be a leap year.
const GATE_FAR_AHEAD: Duration = Duration::days(366);

/// How many calls a day may be tolerated without a warning.
const TOLERATED_A_DAY: u64 = 5;

const REQUIRED: Requirement = Requirement::Exactly(OptionValue::TOKENS_REQUIRED);

/// What is wrong with a rule that changes nothing.
const SAME: &str = "never has an effect, because the same applies without the rule: remove it";

impl Warnings {
    pub(super) fn default_mode(&mut self, policy: &Policy) {
        if policy.mode == Mode::DryRun {
            self.never_default(policy, "mode", |effect| matches!(effect, Effect::Mode { until: None, .. }));
        }
    }

    pub(super) fn default_gate(&mut self, policy: &Policy, now: OffsetDateTime) {
        match &policy.usage_gate {
            Some(gate) => {
                self.gate("usageGate", gate, now);
                self.never_default(policy, "usageGate", |effect| matches!(effect, Effect::UsageGate(_)));
            }
            None if requires_tokens(policy) && !is_gated_by_rule(policy) => {
                let problem = "there is no usage gate, so HttpTokens=required also reaches instances that still use \
                               IMDSv1, and breaks what uses it: add \"usageGate\": {}";
                self.add("usageGate", problem);
            }
            None => {}
        }
        if policy.gates().next().is_some() && !requires_tokens(policy) && !tag_requires_tokens(policy) {
            self.add("usageGate", "never holds anything back: nothing requires HttpTokens=required");
        }
    }

    /// A default that a rule without conditions overrides. A rule that changes nothing has its own warning.
    fn never_default(&mut self, policy: &Policy, place: &str, overrides: impl Fn(&Effect) -> bool) {
        let mut rules = policy.rules.iter().enumerate();
        let by = rules.find(|(number, rule)| {
            rule.when.is_empty() && overrides(&rule.effect) && !changes_nothing(policy, *number)
        });
        if let Some((by, _)) = by {
            let by = index("rules", by);
            self.add(place, format!("never has an effect, because {by} overrides it: remove one"));
        }
    }

    fn gate(&mut self, place: &str, gate: &UsageGate, now: OffsetDateTime) {
        let at = join(place, "until");
        match gate.until {
            Some(until) if !is_active(until, now) => {
                let problem =
                    format!("the usage gate ended on {until}, and holds nothing back: remove the gate");
                self.add(&at, problem);
            }
            Some(until) if until - today(now) > GATE_FAR_AHEAD => {
                self.add(&at, "is more than a year ahead: choose an earlier day, and extend it when needed");
            }
            _ => {}
        }
        if gate.tolerated_calls > TOLERATED_A_DAY * u64::from(gate.lookback_days) {
            let problem = format!(
                "is more than {TOLERATED_A_DAY} calls a day: an application that gets its credentials over IMDSv1 may \
                 make fewer, and HttpTokens=required breaks it"
            );
            self.add(&join(place, "toleratedCalls"), problem);
        }
    }

    pub(super) fn rule_gate(
        &mut self,
        policy: &Policy,
        number: usize,
        gate: Option<&UsageGate>,
        now: OffsetDateTime,
    ) {
        let (place, rule) = (index("rules", number), &policy.rules[number]);
        let at = join(&place, "usageGate");
        if let Some(gate) = gate {
            self.gate(&at, gate, now);
        }
        if changes_nothing(policy, number) {
            self.add(&place, SAME);
        } else if gate.is_none() && !rule.when.is_empty() && hold_for_all(&rule.when, now) {
            self.add(&at, format!("the rule opens the usage gate for every instance: {NARROW}"));
        } else if let Some(key) = key_that_anyone_sets(&rule.when)
            && gates_before(policy, number).any(|other| other.is_some_and(|other| is_weaker(gate, &other)))
        {
            let problem = format!(
                "holds back less than without the rule, and anyone who may set the tag {} can cause an outage by it: \
                 {SAFER}",
                Quoted(key)
            );
            self.add(&at, problem);
        }
    }

    pub(super) fn mode(
        &mut self,
        policy: &Policy,
        number: usize,
        mode: Mode,
        until: Option<Date>,
        now: OffsetDateTime,
    ) {
        let (place, rule) = (index("rules", number), &policy.rules[number]);
        let is_over = until.is_some_and(|until| !self.end(&join(&place, "until"), "dry run", until, now));
        if is_over {
            return;
        }
        if changes_nothing(policy, number) {
            self.add(&place, SAME);
        } else if let Some(key) = key_that_anyone_sets(&rule.when) {
            let key = Quoted(key);
            let problem = match mode {
                Mode::DryRun => format!("anyone who may set the tag {key} exempts the instance: {SAFER}"),
                Mode::Enforce => {
                    format!("anyone who may set the tag {key} has the instance changed: {SAFER}")
                }
            };
            self.add(&join(&place, "when.tags"), problem);
        }
    }
}

/// Whether some instance is held back by `without`, but not by `gate`.
fn is_weaker(gate: Option<&UsageGate>, without: &UsageGate) -> bool {
    let Some(gate) = gate else { return true };
    let ends_earlier = gate.until.is_some_and(|until| without.until.is_none_or(|other| until < other));
    gate.lookback_days < without.lookback_days
        || gate.min_days < without.min_days
        || gate.tolerated_calls > without.tolerated_calls
        || (gate.launches == Launches::Enforce && without.launches == Launches::Follow)
        || (gate.on_unknown == OnUnknown::Enforce && without.on_unknown == OnUnknown::Hold)
        || ends_earlier
}

/// Whether the baseline or a rule requires `HttpTokens=required`.
fn requires_tokens(policy: &Policy) -> bool {
    policy.requires(REQUIRED)
}

/// Whether a tag can require `HttpTokens=required`.
fn tag_requires_tokens(policy: &Policy) -> bool {
    policy.tags.authority != Authority::None && policy.tags.options.contains(&OptionName::HttpTokens)
}

/// Whether a rule without conditions has a gate.
fn is_gated_by_rule(policy: &Policy) -> bool {
    let is_gate = |rule: &Rule| rule.when.is_empty() && matches!(rule.effect, Effect::UsageGate(Some(_)));
    policy.rules.iter().any(is_gate)
}
