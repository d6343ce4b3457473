//! The usage gate of a policy.

use time::{Date, OffsetDateTime};

use super::day::is_active;

/// Holds `HttpTokens=required` back from instances that still use IMDSv1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UsageGate {
    /// How many days of use are looked at, 1 to 90.
    pub(crate) lookback_days: u16,
    /// On how many different days there must be data, 1 to `lookback_days`.
    pub(crate) min_days: u16,
    /// The calls over the lookback that do not count.
    pub(crate) tolerated_calls: u64,
    /// What happens to a launch into a group whose instances are held back.
    pub(crate) launches: Launches,
    /// What happens if there is too little data.
    pub(crate) on_unknown: OnUnknown,
    /// The last day on which it holds anything back, in UTC.
    pub(crate) until: Option<Date>,
}

/// How many days of use a gate looks at by default.
const LOOKBACK_DAYS: u16 = 14;

/// On how many days there must be data by default.
const MIN_DAYS: u16 = 7;

/// The gate with all defaults.
impl Default for UsageGate {
    fn default() -> Self {
        Self {
            lookback_days: LOOKBACK_DAYS,
            min_days: Self::default_min_days(LOOKBACK_DAYS),
            tolerated_calls: 0,
            launches: Launches::Follow,
            on_unknown: OnUnknown::Hold,
            until: None,
        }
    }
}

impl UsageGate {
    /// On how many days there must be data by default, with a lookback of `lookback_days`.
    pub(super) fn default_min_days(lookback_days: u16) -> u16 {
        lookback_days.min(MIN_DAYS)
    }

    /// Whether it still holds instances back.
    pub(crate) fn is_active(&self, now: OffsetDateTime) -> bool {
        self.until.is_none_or(|until| is_active(until, now))
    }
}

/// What the usage gate does with a launch into a group whose instances are held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename_all = "lowercase"))]
pub(crate) enum Launches {
    /// It is held back as well.
    Follow,
    /// It is enforced.
    Enforce,
}

impl Launches {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "follow" => Some(Self::Follow),
            "enforce" => Some(Self::Enforce),
            _ => None,
        }
    }
}

/// What the usage gate does with an instance about whose use there is too little data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename_all = "lowercase"))]
pub(crate) enum OnUnknown {
    /// It is held back.
    Hold,
    /// It is enforced.
    Enforce,
}

impl OnUnknown {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "hold" => Some(Self::Hold),
            "enforce" => Some(Self::Enforce),
            _ => None,
        }
    }
}
