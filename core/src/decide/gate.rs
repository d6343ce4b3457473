//! The usage gate: whether `HttpTokens=required` is held back from an instance that may still use IMDSv1.

use time::{Date, Duration, OffsetDateTime};

use super::decision::{Facts, Needed};
use super::group::Group;
use super::held_back::{GroupUse, HeldBack};
use crate::instance::Instance;
use crate::policy::{Launches, OnUnknown, UsageGate, today};
use crate::usage::{Usage, Use};

/// How long after it first ran an instance has no history, so that it is enforced at once.
const NEW_FOR: Duration = Duration::minutes(60);

/// The same if a record of its launch names it, which may be delivered late.
const LAUNCHED_FOR: Duration = Duration::hours(6);

/// How far ahead of `now` an instance may have first run: clocks differ, and a sweep decides later than it began.
const AHEAD: Duration = Duration::minutes(60);

/// What the gate says about an instance.
#[derive(Debug)]
pub(super) enum Gate {
    /// The change may be sent.
    Open,
    /// The change is held back.
    Closed(HeldBack),
    /// More must be known.
    Needs(Needed),
}

/// What `gate` says about the instance in `facts`, and its use if that was looked at. Without a gate, or after its last day,
/// nothing is held back. `asked_days` is the lookback that is asked for: the longest of the policy, as another gate may
/// apply when the instance is decided on again.
pub(super) fn ask(
    gate: Option<&UsageGate>,
    asked_days: u16,
    facts: &Facts<'_>,
    now: OffsetDateTime,
) -> (Gate, Option<Use>) {
    match (gate.filter(|gate| gate.is_active(now)), facts.usage) {
        (None, _) => (Gate::Open, None),
        (Some(gate), _) if is_new(facts.instance, facts.is_launch, now) => (ask_group(gate, facts), None),
        (Some(_), None) => {
            (Gate::Needs(Needed::Usage { since: first_day(facts.instance, asked_days, now) }), None)
        }
        (Some(gate), Some(usage)) => judge(gate, usage, facts, now),
    }
}

/// When the instance first ran. A time that is too far ahead is wrong, so that it is not known.
fn first_ran(instance: &Instance, now: OffsetDateTime) -> Option<OffsetDateTime> {
    instance.first_ran.filter(|first_ran| *first_ran - now <= AHEAD)
}

/// The first day of a lookback of `days`, or on which the instance ran.
fn first_day(instance: &Instance, days: u16, now: OffsetDateTime) -> Date {
    let lookback = today(now).saturating_sub(Duration::days(days.into()));
    first_ran(instance, now).map_or(lookback, |first_ran| lookback.max(today(first_ran)))
}

/// Whether the instance is too new to have a history. One whose age is unknown is not. `is_launch`: a record of its launch
/// names it, or may name it.
pub fn is_new(instance: &Instance, is_launch: bool, now: OffsetDateTime) -> bool {
    let limit = if is_launch { LAUNCHED_FOR } else { NEW_FOR };
    first_ran(instance, now).is_some_and(|first_ran| now - first_ran <= limit)
}

fn ask_group(gate: &UsageGate, facts: &Facts<'_>) -> Gate {
    let Some(group) = Group::of(facts.instance).filter(|_| gate.launches == Launches::Follow) else {
        return Gate::Open;
    };
    match facts.group {
        None => Gate::Needs(Needed::Group(group)),
        Some(GroupUse::Free) => Gate::Open,
        Some(GroupUse::HeldBack { instance, why }) => {
            let (instance, why) = (instance.clone(), Box::new(why.clone()));
            Gate::Closed(HeldBack::WithGroup { group, instance, why })
        }
    }
}

fn judge(gate: &UsageGate, usage: &Usage, facts: &Facts<'_>, now: OffsetDateTime) -> (Gate, Option<Use>) {
    let since = first_day(facts.instance, gate.lookback_days, now);
    let found = match usage {
        Usage::Refused(why) => {
            return (Gate::Closed(HeldBack::UsageRefused { why: why.clone() }), None);
        }
        Usage::Days(days) => Use::of(days, since, gate.lookback_days),
    };
    let is_unknown = found.observed_days < gate.min_days;
    let gate = if found.calls > gate.tolerated_calls {
        Gate::Closed(HeldBack::Calls(found))
    } else if is_unknown && gate.on_unknown == OnUnknown::Hold {
        Gate::Closed(HeldBack::TooLittleData { found, min_days: gate.min_days })
    } else {
        Gate::Open
    };
    (gate, Some(found))
}
