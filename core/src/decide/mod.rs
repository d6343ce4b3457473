//! Policy × facts × now → decision.

mod decision;
mod gate;
mod group;
mod held_back;
mod plan;
mod reason;
mod rules;
mod sourced;
mod tag_rejection;
mod tags;
#[cfg(test)]
mod tests;

use time::OffsetDateTime;

use crate::instance::Instance;
use crate::policy::Policy;
pub use decision::{Decision, Facts, Needed, Verdict};
pub use gate::is_new;
pub use group::{Group, GroupKind};
pub use held_back::{GroupUse, HeldBack};
use plan::{missing, plan};
pub use reason::{Reason, Warning};
use rules::{Ruled, apply_rules};
pub use sourced::{Origin, SourcedRequirement};
pub use tag_rejection::TagRejection;

/// Decides what `policy` requires of the instance in `facts`; `now` determines which exemptions, dry runs and usage gates
/// are active.
pub fn decide(policy: &Policy, facts: &Facts<'_>, now: OffsetDateTime) -> Decision {
    let Ruled { mut requirements, mut exempt, mode, usage_gate, missing: unknown, mut warnings } =
        apply_rules(policy, facts, now);
    let decision = |verdict, warnings| Decision { verdict, mode, usage: None, warnings };
    if let Some(reason) = out_of_scope(facts.instance) {
        return decision(Verdict::OutOfScope { reasons: vec![reason] }, Vec::new());
    }
    let asked = tags::read(&policy.tags, facts.instance, &requirements, now);
    warnings.extend(asked.warnings);
    exempt.extend(asked.exempt);
    if exempt.is_empty() {
        let asked = asked.requirements.into_iter();
        requirements.extend(asked.map(|sourced| (sourced.requirement.name(), sourced)));
    } else {
        requirements.clear();
    }
    let mut missing = missing(&requirements, facts.instance);
    if exempt.is_empty() {
        missing.extend(unknown);
    }
    if !missing.is_empty() {
        return decision(Verdict::Incomplete { missing }, warnings);
    }
    if !exempt.is_empty() {
        return decision(Verdict::Exempt { reasons: exempt }, warnings);
    }
    let gate = || gate::ask(usage_gate.as_ref(), policy.longest_lookback_days(), facts, now);
    let (verdict, usage) = plan(&requirements, facts, gate, &mut warnings);
    Decision { verdict, mode, usage, warnings }
}

fn out_of_scope(instance: &Instance) -> Option<Reason> {
    let ending = instance.state.filter(|state| state.is_final()).map(Reason::Ending);
    ending.or_else(|| instance.managed_by.clone().map(Reason::ManagedBy))
}
