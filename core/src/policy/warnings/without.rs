//! The gates and modes that apply without a rule.

use crate::mode::Mode;
use crate::policy::model::{Effect, Policy, Rule};
use crate::policy::usage_gate::UsageGate;

/// Whether the rule of that number sets a gate or a mode, and the same applies without it.
pub(super) fn changes_nothing(policy: &Policy, number: usize) -> bool {
    match policy.rules[number].effect {
        Effect::UsageGate(gate) => gates_before(policy, number).all(|other| other == gate),
        Effect::Mode { mode, .. } => modes_before(policy, number).all(|other| other == mode),
        Effect::Require(_) | Effect::Exempt { .. } => false,
    }
}

/// The gates that can apply to an instance without the rule of that number: those of the policy and of earlier rules.
pub(super) fn gates_before(policy: &Policy, number: usize) -> impl Iterator<Item = Option<UsageGate>> {
    let of_rule = |rule: &Rule| match rule.effect {
        Effect::UsageGate(gate) => Some(gate),
        _ => None,
    };
    let (first, rules) = since_override(policy, number, |rule| of_rule(rule).is_some());
    first.then_some(policy.usage_gate).into_iter().chain(rules.iter().filter_map(of_rule))
}

/// The modes that can apply to an instance without the rule of that number: those of the policy and of earlier rules.
fn modes_before(policy: &Policy, number: usize) -> impl Iterator<Item = Mode> {
    let of_rule = |rule: &Rule| match rule.effect {
        Effect::Mode { mode, .. } => Some(mode),
        _ => None,
    };
    let lasts = |rule: &Rule| matches!(rule.effect, Effect::Mode { until: None, .. });
    let (first, rules) = since_override(policy, number, lasts);
    first.then_some(policy.mode).into_iter().chain(rules.iter().filter_map(of_rule))
}

/// The rules before that number from the last one on that overrides everything before it, and whether there is none, so
/// that the default can still apply.
fn since_override(policy: &Policy, number: usize, overrides: impl Fn(&Rule) -> bool) -> (bool, &[Rule]) {
    let earlier = &policy.rules[..number];
    let last = earlier.iter().rposition(|rule| rule.when.is_empty() && overrides(rule));
    (last.is_none(), &earlier[last.unwrap_or(0)..])
}
