//! Policy × facts × now → decision.

mod plan;
mod reason;
mod tags;
#[cfg(test)]
mod tests;

use time::OffsetDateTime;

use crate::ids::{AccountId, Region};
use crate::instance::Instance;
use crate::metadata::Change;
use crate::policy::{Effect, Policy, Requirements, is_active};
pub use plan::Missing;
use plan::{missing, plan};
use reason::SourcedRequirements;
pub use reason::{Origin, Reason, SourcedRequirement, TagRejection, Warning};

/// What is known about an instance at the time of the decision.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The account that owns it.
    pub account: &'a AccountId,
    /// The Region it is in.
    pub region: &'a Region,
    /// The instance as EC2 described it.
    pub instance: &'a Instance,
    /// Whether the account's defaults enforce tokens (`HttpTokensEnforced`); `None` if they were not read.
    pub tokens_enforced: Option<bool>,
}

/// What to do about an instance, with warnings for its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What to do.
    pub verdict: Verdict,
    /// What was left out of the change, or ignored.
    pub warnings: Vec<Warning>,
}

/// What to do about an instance, with the reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every requirement is already met.
    Compliant {
        /// The requirements that are met.
        reasons: Vec<Reason>,
    },
    /// Send exactly `change`; no other option changes.
    Change {
        /// What differs.
        change: Change,
        /// The requirements that it meets.
        reasons: Vec<Reason>,
    },
    /// A rule or a tag exempts the instance.
    Exempt {
        /// Each exemption and its last day; the latest day applies.
        reasons: Vec<Reason>,
    },
    /// The instance must not be changed: it is terminating, or another operator manages it.
    OutOfScope {
        /// Why not.
        reasons: Vec<Reason>,
    },
    /// Requirements are not met, but EC2 would refuse every change; the warnings say why.
    Blocked {
        /// The requirements that cannot be met.
        reasons: Vec<Reason>,
    },
    /// Nothing is decided: EC2 did not report what the decision needs.
    Incomplete {
        /// What it did not report; never empty.
        missing: Vec<Missing>,
    },
}

impl Verdict {
    /// The reasons for the verdict; none if it is incomplete.
    pub fn reasons(&self) -> &[Reason] {
        match self {
            Self::Compliant { reasons }
            | Self::Change { reasons, .. }
            | Self::Exempt { reasons }
            | Self::OutOfScope { reasons }
            | Self::Blocked { reasons } => reasons,
            Self::Incomplete { .. } => &[],
        }
    }
}

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
