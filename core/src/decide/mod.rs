//! Policy × facts × now → decision.

mod reason;
mod tags;
#[cfg(test)]
mod tests;

use time::OffsetDateTime;

use crate::ids::{AccountId, Region};
use crate::instance::Instance;
use crate::metadata::{Change, HttpTokens, OptionName, OptionValue, Requirement, Switch, metadata_can_carry};
use crate::policy::{Effect, Policy, Requirements, is_active};
use reason::SourcedRequirements;
pub use reason::{Origin, Reason, SourcedRequirement, TagRejection, Warning};

/// All that is known about an instance when it is decided on.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The account that owns it.
    pub account: &'a AccountId,
    /// The Region it is in.
    pub region: &'a Region,
    /// What EC2 said of it.
    pub instance: &'a Instance,
    /// Whether the account's defaults enforce tokens (`HttpTokensEnforced`); `None` where nobody asked EC2.
    pub tokens_enforced: Option<bool>,
}

/// What has to be done about an instance, and what its owner should know beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What has to be done.
    pub verdict: Verdict,
    /// What was left out or ignored on the way.
    pub warnings: Vec<Warning>,
}

/// What has to be done about an instance, with the reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every requirement already holds.
    Compliant {
        /// The requirements that hold.
        reasons: Vec<Reason>,
    },
    /// Send exactly `change`; nothing else moves.
    Change {
        /// What differs.
        change: Change,
        /// The requirements that ask for it.
        reasons: Vec<Reason>,
    },
    /// A rule or a tag leaves it alone.
    Exempt {
        /// Which, and until when; the latest day counts.
        reasons: Vec<Reason>,
    },
    /// Not ours to change.
    OutOfScope {
        /// Why not.
        reasons: Vec<Reason>,
    },
    /// Something is required, but EC2 would refuse all of it; the warnings say why.
    Blocked {
        /// The requirements that cannot be met.
        reasons: Vec<Reason>,
    },
}

impl Verdict {
    /// Why it was decided so.
    pub fn reasons(&self) -> &[Reason] {
        match self {
            Self::Compliant { reasons }
            | Self::Change { reasons, .. }
            | Self::Exempt { reasons }
            | Self::OutOfScope { reasons }
            | Self::Blocked { reasons } => reasons,
        }
    }
}

/// Decides what `policy` asks of the instance in `facts`; `now` decides which exemptions hold.
pub fn decide(policy: &Policy, facts: &Facts<'_>, now: OffsetDateTime) -> Decision {
    if let Some(reason) = out_of_scope(facts.instance) {
        return Decision { verdict: Verdict::OutOfScope { reasons: vec![reason] }, warnings: Vec::new() };
    }
    let Ruled { mut requirements, mut exempt, mut warnings } = apply_rules(policy, facts, now);
    let asked = tags::read(&policy.tags, facts.instance, &requirements, now);
    warnings.extend(asked.warnings);
    exempt.extend(asked.exempt);
    if !exempt.is_empty() {
        return Decision { verdict: Verdict::Exempt { reasons: exempt }, warnings };
    }
    requirements.extend(asked.requirements.into_iter().map(|sourced| (sourced.requirement.name(), sourced)));
    let verdict = plan(&requirements, facts, &mut warnings);
    Decision { verdict, warnings }
}

fn out_of_scope(instance: &Instance) -> Option<Reason> {
    if instance.state.is_final() {
        return Some(Reason::Ending(instance.state));
    }
    instance.managed_by.clone().map(Reason::ManagedBy)
}

/// What baseline and rules come to for one instance.
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

/// What to send so that the requirements hold.
fn plan(requirements: &SourcedRequirements, facts: &Facts<'_>, warnings: &mut Vec<Warning>) -> Verdict {
    let present = &facts.instance.options;
    let mut unmet: Vec<&SourcedRequirement> =
        requirements.values().filter(|sourced| !sourced.is_met_by(present)).collect();

    let off = OptionValue::HttpEndpoint(Switch::Disabled);
    if unmet.iter().any(|sourced| sourced.requirement == Requirement::Exactly(off)) {
        // Switching IMDS off makes the rest moot, so it goes alone.
        unmet.retain(|sourced| sourced.requirement.name() == OptionName::HttpEndpoint);
    } else if present.get(OptionName::HttpEndpoint) == Some(off)
        && !unmet.iter().any(|sourced| sourced.requirement.name() == OptionName::HttpEndpoint)
    {
        return Verdict::Compliant { reasons: vec![Reason::EndpointDisabled] };
    }
    if unmet.is_empty() {
        let reasons = if requirements.is_empty() {
            vec![Reason::NothingRequired]
        } else {
            reasons(requirements.values())
        };
        return Verdict::Compliant { reasons };
    }

    let wanted =
        |sourced: &SourcedRequirement| sourced.requirement.nearest(present.get(sourced.requirement.name()));
    let (sent, held): (Vec<&SourcedRequirement>, Vec<&SourcedRequirement>) =
        unmet.into_iter().partition(|sourced| {
            let refusal = refusal(wanted(sourced), facts);
            warnings.extend(refusal.iter().cloned());
            refusal.is_none()
        });
    match Change::new(sent.iter().map(|sourced| wanted(sourced)).collect()) {
        Some(change) => Verdict::Change { change, reasons: reasons(sent) },
        None => Verdict::Blocked { reasons: reasons(held) },
    }
}

fn reasons<'d>(requirements: impl IntoIterator<Item = &'d SourcedRequirement>) -> Vec<Reason> {
    requirements.into_iter().cloned().map(Reason::Required).collect()
}

/// Why EC2 would refuse this value on this instance, where that can be told beforehand.
fn refusal(value: OptionValue, facts: &Facts<'_>) -> Option<Warning> {
    match value {
        OptionValue::InstanceMetadataTags(Switch::Enabled) => {
            let key = facts.instance.tags.keys().find(|key| !metadata_can_carry(key))?;
            Some(Warning::TagKeyForbidsMetadataTags { key: key.clone() })
        }
        OptionValue::HttpTokens(HttpTokens::Optional) if facts.tokens_enforced == Some(true) => {
            Some(Warning::TokensEnforced)
        }
        _ => None,
    }
}
