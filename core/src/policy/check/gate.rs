//! The usage gate and the limits of sweeps.

use super::Check;
use crate::policy::document;
use crate::policy::json::join;
use crate::policy::model::Limits;
use crate::policy::usage_gate::UsageGate;

impl Check {
    pub(super) fn usage_gate(&mut self, place: &str, gate: document::UsageGate) -> UsageGate {
        self.unknown(place, &gate.unknown, document::UsageGate::KEYS);
        let defaults = UsageGate::default();
        let min_days_at = join(place, "minDays");
        let lookback_days = self.part(&join(place, "lookbackDays"), gate.lookback_days);
        let lookback_days = lookback_days.map_or(defaults.lookback_days, |days| days.0);
        let min_days = self.part(&min_days_at, gate.min_days).map(|days| days.0);
        if min_days.is_some_and(|days| days > lookback_days) {
            self.fail(&min_days_at, format!("must be at most lookbackDays, which is {lookback_days}"));
        }
        let tolerated_calls = self.part(&join(place, "toleratedCalls"), gate.tolerated_calls);
        let launches = self.part(&join(place, "launches"), gate.launches);
        let on_unknown = self.part(&join(place, "onUnknown"), gate.on_unknown);
        UsageGate {
            lookback_days,
            min_days: min_days.unwrap_or_else(|| UsageGate::default_min_days(lookback_days)),
            tolerated_calls: tolerated_calls.map_or(defaults.tolerated_calls, |calls| calls.0),
            launches: launches.unwrap_or(defaults.launches),
            on_unknown: on_unknown.unwrap_or(defaults.on_unknown),
            until: self.gate_until(&join(place, "until"), gate.until),
        }
    }

    fn gate_until(&mut self, place: &str, until: document::Part<document::DateText>) -> Option<time::Date> {
        let until = self.part(place, until)?;
        if !self.limits_changes {
            self.fail(
                place,
                "needs limits.changesPerSweep, or the first sweep after that day changes every instance that was held \
                 back: add \"limits\": {\"changesPerSweep\": 200} to the policy",
            );
        }
        Some(until.0)
    }

    pub(super) fn limits(&mut self, limits: document::Limits) -> Limits {
        self.unknown("limits", &limits.unknown, document::Limits::KEYS);
        if limits.is_empty() {
            self.fail("limits", "must have changesPerSweep, failuresPerSweep or both");
        }
        let changes = self.part("limits.changesPerSweep", limits.changes_per_sweep);
        let failures = self.part("limits.failuresPerSweep", limits.failures_per_sweep);
        Limits {
            changes_per_sweep: changes.map(|number| number.0),
            failures_per_sweep: failures.map(|number| number.0),
        }
    }
}

impl document::Limits {
    /// Whether it has no limit, not even an invalid one.
    fn is_empty(&self) -> bool {
        use document::Part::Absent;
        matches!((&self.changes_per_sweep, &self.failures_per_sweep), (Absent, Absent))
            && self.unknown.is_empty()
    }
}
