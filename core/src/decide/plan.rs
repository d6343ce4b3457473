//! Requirements × present options → what to send.

use super::decision::{Facts, Missing, Verdict};
use super::reason::{Reason, SourcedRequirement, SourcedRequirements, Warning};
use crate::instance::Instance;
use crate::metadata::{
    Change, HttpTokens, MetadataOptions, OptionName, OptionValue, Switch, metadata_can_carry,
};

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

/// What to send so that the requirements are met. None of the values that it needs is [`missing`].
pub(super) fn plan(
    requirements: &SourcedRequirements,
    facts: &Facts<'_>,
    warnings: &mut Vec<Warning>,
) -> Verdict {
    let present = &facts.instance.options;
    let unmet = unmet(requirements, present);
    if unmet.is_empty() {
        let reasons = if is_imds_off(requirements, present) {
            vec![Reason::EndpointDisabled]
        } else if requirements.is_empty() {
            vec![Reason::NothingRequired]
        } else {
            reasons(requirements.values())
        };
        return Verdict::Compliant { reasons };
    }
    let (sent, held): (Vec<Unmet<'_>>, Vec<Unmet<'_>>) = unmet.into_iter().partition(|(_, wanted)| {
        let refusal = refusal(*wanted, facts);
        warnings.extend(refusal.iter().cloned());
        refusal.is_none()
    });
    match Change::new(sent.iter().map(|(_, wanted)| *wanted).collect()) {
        Some(change) => Verdict::Change { change, reasons: reasons(sent.into_iter().map(|(s, _)| s)) },
        None => Verdict::Blocked { reasons: reasons(held.into_iter().map(|(s, _)| s)) },
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
        OptionValue::HttpTokens(HttpTokens::Optional) if facts.tokens_enforced == Some(true) => {
            Some(Warning::TokensEnforced)
        }
        _ => None,
    }
}
