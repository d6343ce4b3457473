//! Requirements × present options → what to send.

use super::decision::{Facts, Verdict};
use super::gate::Gate;
use super::reason::{Reason, Warning};
use super::sourced::{SourcedRequirement, SourcedRequirements};
use crate::instance::{Instance, Missing};
use crate::metadata::{Change, MetadataOptions, OptionName, OptionValue, Switch, metadata_can_carry};
use crate::usage::Use;

const OFF: OptionValue = OptionValue::HttpEndpoint(Switch::Disabled);

/// What EC2 did not report and the decision needs.
pub(super) fn missing(requirements: &SourcedRequirements, instance: &Instance) -> Vec<Missing> {
    let state = instance.state.is_none().then_some(Missing::State);
    let is_imds_off = is_imds_off(requirements, &instance.options);
    let is_needed = |name: &OptionName| !is_imds_off && instance.options.get(*name).is_none();
    let options = requirements.keys().copied().filter(is_needed).map(Missing::Option);
    state.into_iter().chain(options).collect()
}

/// Whether IMDS is off, or must be switched off, so that the other options have no effect.
fn is_imds_off(requirements: &SourcedRequirements, present: &MetadataOptions) -> bool {
    let required = requirements.get(&OptionName::HttpEndpoint);
    let result = |present| required.map_or(present, |sourced| sourced.requirement.nearest(present));
    present.get(OptionName::HttpEndpoint).map(result) == Some(OFF)
}

/// A requirement that is not met, and the value that meets it.
type Unmet<'r> = (&'r SourcedRequirement, OptionValue);

/// The requirements that are not met. With IMDS off, those of the other options have no effect, so that
/// `HttpEndpoint=disabled` is sent alone.
fn unmet<'r>(requirements: &'r SourcedRequirements, present: &MetadataOptions) -> Vec<Unmet<'r>> {
    let is_imds_off = is_imds_off(requirements, present);
    let has_effect = |(name, _): &(&OptionName, _)| !is_imds_off || **name == OptionName::HttpEndpoint;
    let unmet = |(name, sourced): (&OptionName, &'r SourcedRequirement)| {
        let value = present.get(*name)?;
        let wanted = sourced.requirement.nearest(value);
        (wanted != value).then_some((sourced, wanted))
    };
    requirements.iter().filter(has_effect).filter_map(unmet).collect()
}

/// What to send so that the requirements are met, and the use of IMDSv1 if the usage gate looked at it. None of the values
/// that it needs is [`missing`]. `gate` is asked only if an instance that answers IMDSv1 would stop to.
pub(super) fn plan(
    requirements: &SourcedRequirements,
    facts: &Facts<'_>,
    gate: impl FnOnce() -> (Gate, Option<Use>),
    warnings: &mut Vec<Warning>,
) -> (Verdict, Option<Use>) {
    let mut unmet = unmet(requirements, &facts.instance.options);
    let (gate, usage) =
        if unmet.iter().any(|unmet| ends_imdsv1(unmet, facts)) { gate() } else { (Gate::Open, None) };
    let held_back = match gate {
        Gate::Open => None,
        Gate::Needs(needed) => return (Verdict::NeedsUsage(needed), usage),
        Gate::Closed(why) => {
            unmet.retain(|unmet| !ends_imdsv1(unmet, facts));
            warnings.extend(why.refusal().map(|why| Warning::UsageRefused { why: why.to_owned() }));
            Some(Reason::HeldBack(why))
        }
    };
    (verdict(requirements, unmet, held_back, facts, warnings), usage)
}

/// Whether the change ends IMDSv1 on an instance that answers it. Where the endpoint is disabled, nothing uses IMDSv1.
fn ends_imdsv1((_, wanted): &Unmet<'_>, facts: &Facts<'_>) -> bool {
    let is_off = facts.instance.options.get(OptionName::HttpEndpoint) == Some(OFF);
    *wanted == OptionValue::TOKENS_REQUIRED && !is_off
}

/// The verdict on what is `unmet`, without what is held back.
fn verdict(
    requirements: &SourcedRequirements,
    unmet: Vec<Unmet<'_>>,
    held_back: Option<Reason>,
    facts: &Facts<'_>,
    warnings: &mut Vec<Warning>,
) -> Verdict {
    if unmet.is_empty() && held_back.is_none() {
        return Verdict::Compliant { reasons: met(requirements, &facts.instance.options) };
    }
    let (sent, refused): (Vec<Unmet<'_>>, Vec<Unmet<'_>>) = unmet.into_iter().partition(|(_, wanted)| {
        let refusal = refusal(*wanted, facts);
        warnings.extend(refusal.iter().cloned());
        refusal.is_none()
    });
    let change = Change::new(sent.iter().map(|(_, wanted)| *wanted).collect());
    let sent = reasons(sent.into_iter().map(|(sourced, _)| sourced));
    match (change, held_back) {
        (Some(change), held_back) => {
            Verdict::Change { change, reasons: sent.into_iter().chain(held_back).collect() }
        }
        (None, Some(held_back)) => Verdict::InUse { reasons: vec![held_back] },
        (None, None) => {
            Verdict::Blocked { reasons: reasons(refused.into_iter().map(|(sourced, _)| sourced)) }
        }
    }
}

/// The reasons why an instance is compliant.
fn met(requirements: &SourcedRequirements, present: &MetadataOptions) -> Vec<Reason> {
    if is_imds_off(requirements, present) {
        vec![Reason::EndpointDisabled]
    } else if requirements.is_empty() {
        vec![Reason::NothingRequired]
    } else {
        reasons(requirements.values())
    }
}

fn reasons<'d>(requirements: impl IntoIterator<Item = &'d SourcedRequirement>) -> Vec<Reason> {
    requirements.into_iter().cloned().map(Reason::Required).collect()
}

/// Why EC2 would refuse this value on this instance, if that is known in advance.
fn refusal(value: OptionValue, facts: &Facts<'_>) -> Option<Warning> {
    match value {
        OptionValue::InstanceMetadataTags(Switch::Enabled) => {
            let key = facts.instance.tags.keys().find(|key| !metadata_can_carry(key))?;
            Some(Warning::TagKeyForbidsMetadataTags { key: key.clone() })
        }
        OptionValue::TOKENS_OPTIONAL if facts.tokens_enforced == Some(true) => Some(Warning::TokensEnforced),
        _ => None,
    }
}
