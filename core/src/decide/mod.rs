//! Policy × facts × now → decision.

mod decision;
mod plan;
mod reason;
mod tags;
#[cfg(test)]
mod tests;

use time::OffsetDateTime;

use crate::instance::Instance;
use crate::policy::{Effect, Policy, Requirements, is_active};
pub use decision::{Decision, Facts, Missing, Verdict};
use plan::{missing, plan};
use reason::SourcedRequirements;
pub use reason::{Origin, Reason, SourcedRequirement, TagRejection, Warning};

/// Decides what `policy` requires of the instance in `facts`; `now` determines which exemptions are active.
pub fn decide(policy: &Policy, facts: &Facts<'_>, now: OffsetDateTime) -> Decision {
    if let Some(reason) = out_of_scope(facts.instance) {
        return Decision { verdict: Verdict::OutOfScope { reasons: vec![reason] }, warnings: Vec::new() };
    }
    let Ruled { mut requirements, mut exempt, mut warnings } = apply_rules(policy, facts, now);
    let asked = tags::read(&policy.tags, facts.instance, &requirements, now);
    warnings.extend(asked.warnings);
    exempt.extend(asked.exempt);
    if exempt.is_empty() {
        let asked = asked.requirements.into_iter();
        requirements.extend(asked.map(|sourced| (sourced.requirement.name(), sourced)));
    } else {
        requirements.clear();
    }
    let missing = missing(&requirements, facts.instance);
    let verdict = if !missing.is_empty() {
        Verdict::Incomplete { missing }
    } else if !exempt.is_empty() {
        Verdict::Exempt { reasons: exempt }
    } else {
        plan(&requirements, facts, &mut warnings)
    };
    Decision { verdict, warnings }
}

fn out_of_scope(instance: &Instance) -> Option<Reason> {
    let ending = instance.state.filter(|state| state.is_final()).map(Reason::Ending);
    ending.or_else(|| instance.managed_by.clone().map(Reason::ManagedBy))
}

/// The result of the baseline and the rules for one instance.
struct Ruled {
    requirements: SourcedRequirements,
    exempt: Vec<Reason>,
    warnings: Vec<Warning>,
}

fn apply_rules(policy: &Policy, facts: &Facts<'_>, now: OffsetDateTime) -> Ruled {
    let mut ruled =
        Ruled { requirements: SourcedRequirements::new(), exempt: Vec::new(), warnings: Vec::new() };
    ruled.require(&policy.baseline, &Origin::Baseline);
    let tags = &facts.instance.tags;
    for rule in policy.rules.iter().filter(|rule| rule.when.hold(facts.account, facts.region, tags)) {
        let origin = Origin::Rule(rule.name.clone());
        match &rule.effect {
            Effect::Require(requirements) => ruled.require(requirements, &origin),
            Effect::Exempt { until } if is_active(*until, now) => {
                ruled.exempt.push(Reason::Exempt { origin, until: *until });
            }
            Effect::Exempt { until } => {
                ruled.warnings.push(Warning::ExpiredRule { name: rule.name.clone(), until: *until });
            }
        }
    }
    ruled
}

impl Ruled {
    fn require(&mut self, requirements: &Requirements, origin: &Origin) {
        let sourced =
            |(&name, &requirement)| (name, SourcedRequirement { requirement, origin: origin.clone() });
        self.requirements.extend(requirements.iter().map(sourced));
    }
}
