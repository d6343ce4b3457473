//! The baseline and the rules for one instance.

use std::collections::BTreeSet;
use std::sync::Arc;

use time::OffsetDateTime;

use super::decision::Facts;
use super::reason::{Reason, Warning};
use super::sourced::{Origin, SourcedRequirement, SourcedRequirements};
use crate::instance::Missing;
use crate::mode::Mode;
use crate::policy::{Effect, Policy, Requirements, RuleLabel, UsageGate};

/// The result of the baseline and the rules for one instance.
pub(super) struct Ruled {
    pub(super) requirements: SourcedRequirements,
    pub(super) exempt: Vec<Reason>,
    pub(super) mode: Mode,
    pub(super) usage_gate: Option<UsageGate>,
    /// What EC2 did not report, so that it is unknown whether a rule matches.
    pub(super) missing: BTreeSet<Missing>,
    pub(super) warnings: Vec<Warning>,
}

pub(super) fn apply_rules(policy: &Policy, facts: &Facts<'_>, now: OffsetDateTime) -> Ruled {
    let mut ruled = Ruled {
        requirements: SourcedRequirements::new(),
        exempt: Vec::new(),
        mode: policy.mode,
        usage_gate: policy.usage_gate,
        missing: BTreeSet::new(),
        warnings: Vec::new(),
    };
    ruled.require(&policy.baseline, &Origin::Baseline);
    for rule in &policy.rules {
        match rule.when.hold(facts.account, facts.region, facts.instance) {
            Ok(true) => ruled.apply(&rule.label, &rule.effect, now),
            Ok(false) => {}
            Err(_) if rule.effect.is_over(now) => {}
            Err(missing) => {
                ruled.missing.insert(missing);
            }
        }
    }
    ruled
}

impl Ruled {
    fn apply(&mut self, rule: &Arc<RuleLabel>, effect: &Effect, now: OffsetDateTime) {
        let rule = || Arc::clone(rule);
        match *effect {
            Effect::Require(ref requirements) => self.require(requirements, &Origin::Rule(rule())),
            Effect::Exempt { until } if effect.is_over(now) => {
                self.warnings.push(Warning::ExpiredRule { rule: rule(), until });
            }
            Effect::Exempt { until } => {
                self.exempt.push(Reason::Exempt { origin: Origin::Rule(rule()), until });
            }
            Effect::Mode { until: Some(until), .. } if effect.is_over(now) => {
                self.warnings.push(Warning::ExpiredDryRun { rule: rule(), until });
            }
            Effect::Mode { mode, .. } => self.mode = mode,
            Effect::UsageGate(usage_gate) => self.usage_gate = usage_gate,
        }
    }

    fn require(&mut self, requirements: &Requirements, origin: &Origin) {
        let sourced =
            |(&name, &requirement)| (name, SourcedRequirement { requirement, origin: origin.clone() });
        self.requirements.extend(requirements.iter().map(sourced));
    }
}
