//! The instance's own tags: what they request, and which requests the policy accepts.

use time::{Date, Duration, OffsetDateTime};

use super::reason::{Reason, Warning};
use super::sourced::{Origin, SourcedRequirement, SourcedRequirements};
use super::tag_rejection::TagRejection;
use crate::instance::Instance;
use crate::metadata::{OptionName, OptionValue, Requirement};
use crate::policy::{Authority, ExemptionLimits, TagRules, is_active, parse_date, today};

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
            EXEMPT_UNTIL => exemption(rules, value, instance.first_ran, now).map(|until| {
                asked.exempt = Some(Reason::Exempt { origin: Origin::Tag(key.clone()), until });
            }),
            name => requirement(rules, name, value, instance, requirements).map(|requirement| {
                let origin = Origin::Tag(key.clone());
                asked.requirements.push(SourcedRequirement { requirement, origin });
            }),
        };
        asked.warnings.extend(taken.err().map(|why| Warning::IgnoredTag {
            key: key.clone(),
            value: value.clone(),
            why,
        }));
    }
    asked
}

/// The last day of the exemption that a tag with this value requests.
fn exemption(
    rules: &TagRules,
    value: &str,
    first_ran: Option<OffsetDateTime>,
    now: OffsetDateTime,
) -> Result<Date, TagRejection> {
    let ExemptionLimits { max_days, max_age_days } = rules.exemptions.ok_or(TagRejection::NoExemptions)?;
    let until = parse_date(value).ok_or(TagRejection::NoDate)?;
    if !is_active(until, now) {
        return Err(TagRejection::Expired);
    }
    if until - today(now) > Duration::days(max_days.into()) {
        return Err(TagRejection::TooFarAhead { max_days });
    }
    let Some(max_age_days) = max_age_days else { return Ok(until) };
    let first_ran = today(first_ran.ok_or(TagRejection::AgeUnknown { max_age_days })?);
    let last = first_ran.saturating_add(Duration::days(max_age_days.into()));
    if is_active(last, now) {
        Ok(until.min(last))
    } else {
        Err(TagRejection::TooOld { max_age_days, first_ran })
    }
}

fn requirement(
    rules: &TagRules,
    name: &str,
    value: &str,
    instance: &Instance,
    requirements: &SourcedRequirements,
) -> Result<Requirement, TagRejection> {
    let name = OptionName::from_name(name).ok_or(TagRejection::UnknownName)?;
    let value = name.parse(value).ok_or(TagRejection::Malformed(name))?;
    if !rules.options.contains(&name) {
        let needs_rule = name == OptionName::HttpEndpoint && rules.authority == Authority::Tighten;
        return Err(if needs_rule { TagRejection::NeedsRule } else { TagRejection::NotListed });
    }
    if rules.authority == Authority::Tighten {
        tightens(value, instance.options.get(name), requirements.get(&name))?;
    }
    Ok(Requirement::Exactly(value))
}

/// Checks that the policy allows `value`, and that it is not looser than the value that would result without the tag.
fn tightens(
    value: OptionValue,
    present: Option<OptionValue>,
    sourced: Option<&SourcedRequirement>,
) -> Result<(), TagRejection> {
    match value {
        OptionValue::TOKENS_REQUIRED => return Ok(()),
        OptionValue::HttpEndpoint(_) => return Err(TagRejection::NeedsRule),
        _ => {}
    }
    if let Some(sourced) = sourced.filter(|sourced| !sourced.requirement.is_met_by(value)) {
        return Err(TagRejection::NoRoom(sourced.clone()));
    }
    let present = present.ok_or(TagRejection::PresentUnknown)?;
    let without = sourced.map_or(present, |sourced| sourced.requirement.nearest(present));
    if value.is_looser_than(without) { Err(TagRejection::Looser { without }) } else { Ok(()) }
}
