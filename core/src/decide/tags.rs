//! The instance's own tags: what they request, and which requests the policy accepts.

use time::{Duration, OffsetDateTime};

use super::reason::{Origin, Reason, SourcedRequirement, SourcedRequirements, TagRejection, Warning};
use crate::instance::Instance;
use crate::metadata::{HttpTokens, MetadataOptions, OptionName, OptionValue, Requirement};
use crate::policy::{Authority, TagRules, is_active, parse_date, today};

/// The name, after the prefix, of the tag that exempts its instance.
const EXEMPT_UNTIL: &str = "ExemptUntil";

/// What the tags under the prefix request.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// The accepted requirements, one per option.
    pub(super) requirements: Vec<SourcedRequirement>,
    /// The exemption, if one was accepted.
    pub(super) exempt: Option<Reason>,
    /// What was ignored.
    pub(super) warnings: Vec<Warning>,
}

/// Reads the instance's tags under the prefix; `requirements` are those of the baseline and the rules.
pub(super) fn read(
    rules: &TagRules,
    instance: &Instance,
    requirements: &SourcedRequirements,
    now: OffsetDateTime,
) -> Asked {
    let mut asked = Asked::default();
    if rules.authority == Authority::None {
        return asked;
    }
    for (key, value) in instance.tags.range(rules.prefix.clone()..) {
        let Some(name) = key.strip_prefix(&rules.prefix) else { break };
        let taken = match name {
            EXEMPT_UNTIL => exemption(rules, key, value, now).map(|reason| asked.exempt = Some(reason)),
            name => requirement(rules, name, key, value, &instance.options, requirements)
                .map(|sourced| asked.requirements.push(sourced)),
        };
        asked.warnings.extend(taken.err().map(|why| Warning::IgnoredTag {
            key: key.clone(),
            value: value.clone(),
            why,
        }));
    }
    asked
}

fn exemption(rules: &TagRules, key: &str, value: &str, now: OffsetDateTime) -> Result<Reason, TagRejection> {
    let max_days = rules.max_exempt_days.ok_or(TagRejection::NoExemptions)?;
    let until = parse_date(value).ok_or(TagRejection::NoDate)?;
    if !is_active(until, now) {
        return Err(TagRejection::Expired);
    }
    if until - today(now) > Duration::days(max_days.into()) {
        return Err(TagRejection::TooFarAhead { max_days });
    }
    Ok(Reason::Exempt { origin: Origin::Tag(key.to_owned()), until })
}

fn requirement(
    rules: &TagRules,
    name: &str,
    key: &str,
    value: &str,
    present: &MetadataOptions,
    requirements: &SourcedRequirements,
) -> Result<SourcedRequirement, TagRejection> {
    let name = OptionName::from_name(name).ok_or(TagRejection::UnknownName)?;
    let value = name.parse(value).ok_or(TagRejection::Malformed(name))?;
    if rules.authority == Authority::Tighten {
        fits(value, present.get(name), requirements.get(&name))?;
    }
    Ok(SourcedRequirement { requirement: Requirement::Exactly(value), origin: Origin::Tag(key.to_owned()) })
}

/// Whether the policy lets a tag set `value`.
fn fits(
    value: OptionValue,
    present: Option<OptionValue>,
    sourced: Option<&SourcedRequirement>,
) -> Result<(), TagRejection> {
    match value {
        OptionValue::HttpTokens(HttpTokens::Required) => return Ok(()),
        OptionValue::HttpEndpoint(_) => return Err(TagRejection::NeedsRule),
        _ => {}
    }
    let Some(sourced) = sourced else {
        let present = present.ok_or(TagRejection::PresentUnknown)?;
        return if value.is_looser_than(present) { Err(TagRejection::Looser) } else { Ok(()) };
    };
    if !sourced.requirement.is_met_by(value) {
        return Err(TagRejection::NoRoom(sourced.clone()));
    }
    // Without an upper bound, a tag may not raise the limit above the present one or the lowest allowed one.
    let is_unbounded = matches!(sourced.requirement, Requirement::HopLimit { at_most: None, .. });
    if is_unbounded && value.is_looser_than(sourced.requirement.nearest(present)) {
        return Err(TagRejection::Looser);
    }
    Ok(())
}
