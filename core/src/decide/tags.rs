//! The instance's own tags: what they ask for, and how much of it the policy lets them have.

use time::{Duration, OffsetDateTime};

use super::Demands;
use super::reason::{Demand, Origin, Reason, Unaccepted, Warning};
use crate::instance::Instance;
use crate::metadata::{HttpTokens, MetadataOptions, OptionName, OptionValue, Requirement};
use crate::policy::{Authority, TagRules, holds, parse_date, today};

/// The name, after the prefix, of the tag that exempts its instance.
const EXEMPT_UNTIL: &str = "ExemptUntil";

/// What the tags under the prefix come to.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// What was accepted, an option each.
    pub(super) demands: Vec<Demand>,
    /// The exemption, if one was accepted.
    pub(super) exempt: Option<Reason>,
    /// What was ignored.
    pub(super) warnings: Vec<Warning>,
}

/// Reads the instance's tags under the prefix; `demands` is what the policy requires without them.
pub(super) fn read(rules: &TagRules, instance: &Instance, demands: &Demands, now: OffsetDateTime) -> Asked {
    let mut asked = Asked::default();
    if rules.authority == Authority::None {
        return asked;
    }
    for (key, value) in instance.tags.range(rules.prefix.clone()..) {
        let Some(name) = key.strip_prefix(&rules.prefix) else { break };
        let taken = match name {
            EXEMPT_UNTIL => exemption(rules, key, value, now).map(|reason| asked.exempt = Some(reason)),
            name => demand(rules, name, key, value, &instance.options, demands)
                .map(|demand| asked.demands.push(demand)),
        };
        asked.warnings.extend(taken.err().map(|why| Warning::IgnoredTag {
            key: key.clone(),
            value: value.clone(),
            why,
        }));
    }
    asked
}

fn exemption(rules: &TagRules, key: &str, value: &str, now: OffsetDateTime) -> Result<Reason, Unaccepted> {
    let max_days = rules.max_exempt_days.ok_or(Unaccepted::NoExemptions)?;
    let until = parse_date(value).ok_or(Unaccepted::NoDate)?;
    if !holds(until, now) {
        return Err(Unaccepted::Expired);
    }
    if until - today(now) > Duration::days(max_days.into()) {
        return Err(Unaccepted::TooFarAhead { max_days });
    }
    Ok(Reason::Exempt { origin: Origin::Tag(key.to_owned()), until })
}

fn demand(
    rules: &TagRules,
    name: &str,
    key: &str,
    value: &str,
    present: &MetadataOptions,
    demands: &Demands,
) -> Result<Demand, Unaccepted> {
    let name = OptionName::from_name(name).ok_or(Unaccepted::UnknownName)?;
    let value = name.parse(value).ok_or(Unaccepted::Malformed(name))?;
    if rules.authority == Authority::Tighten {
        fits(value, present.get(name), demands.get(&name))?;
    }
    Ok(Demand { requirement: Requirement::Exactly(value), origin: Origin::Tag(key.to_owned()) })
}

/// Whether `value` lies within the room that the policy leaves to a tag.
fn fits(value: OptionValue, present: Option<OptionValue>, demand: Option<&Demand>) -> Result<(), Unaccepted> {
    match value {
        OptionValue::HttpTokens(HttpTokens::Required) => return Ok(()),
        OptionValue::HttpEndpoint(_) => return Err(Unaccepted::NeedsRule),
        _ => {}
    }
    let Some(demand) = demand else {
        let present = present.ok_or(Unaccepted::PresentUnknown)?;
        return if value.is_looser_than(present) { Err(Unaccepted::Looser) } else { Ok(()) };
    };
    if !demand.requirement.is_met_by(value) {
        return Err(Unaccepted::NoRoom(demand.clone()));
    }
    // Without an upper bound, a tag may raise the limit no further than it is, or must be.
    let is_unbounded = matches!(demand.requirement, Requirement::HopLimit { at_most: None, .. });
    if is_unbounded && value.is_looser_than(demand.requirement.nearest(present)) {
        return Err(Unaccepted::Looser);
    }
    Ok(())
}
