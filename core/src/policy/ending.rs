//! What of a policy ends with a day.

use std::fmt;

use time::{Date, OffsetDateTime};

use super::day::{ENDING_DAYS, days_left, ends_within};
use super::json::{index, join};
use super::model::{Effect, Policy, Rule};
use super::rule_label::RuleLabel;
use crate::text::counted;

/// A part of a policy that ends with a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending<'p> {
    /// The place of its last day in the document, such as `rules[0].exempt.until`.
    pub place: String,
    /// What ends.
    pub kind: EndingKind,
    /// The rule that it is in; `None` for the usage gate of the policy.
    pub rule: Option<&'p RuleLabel>,
    /// Its last day, in UTC.
    pub until: Date,
}

/// What can end with a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndingKind {
    /// An exemption by a rule.
    Exemption,
    /// A dry run of the instances of a rule.
    DryRun,
    /// A usage gate.
    UsageGate,
}

impl EndingKind {
    /// `exemption`, `dry-run` or `usage-gate`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exemption => "exemption",
            Self::DryRun => "dry-run",
            Self::UsageGate => "usage-gate",
        }
    }
}

impl Policy {
    /// What ends with a day, in the order of the document, whether or not the day has passed.
    pub fn endings(&self) -> impl Iterator<Item = Ending<'_>> {
        let whole = self.usage_gate.and_then(|gate| gate.until).map(|until| Ending {
            place: "usageGate.until".to_owned(),
            kind: EndingKind::UsageGate,
            rule: None,
            until,
        });
        let rules = self.rules.iter().enumerate().filter_map(|(number, rule)| ending(number, rule));
        whole.into_iter().chain(rules)
    }

    /// How many usage gates still hold instances back, and end in less than 14 days: the metric `GateEnding`.
    pub fn gates_ending(&self, now: OffsetDateTime) -> usize {
        let last_days = self.gates().filter_map(|gate| gate.until);
        last_days.filter(|until| (0..i64::from(ENDING_DAYS)).contains(&days_left(*until, now))).count()
    }
}

fn ending(number: usize, rule: &Rule) -> Option<Ending<'_>> {
    let (kind, key, until) = match rule.effect {
        Effect::Exempt { until } => (EndingKind::Exemption, "exempt.until", until),
        Effect::Mode { until, .. } => (EndingKind::DryRun, "until", until?),
        Effect::UsageGate(gate) => (EndingKind::UsageGate, "usageGate.until", gate?.until?),
        Effect::Require(_) => return None,
    };
    Some(Ending { place: join(&index("rules", number), key), kind, rule: Some(&rule.label), until })
}

impl Ending<'_> {
    /// The number of days from today to its last day, in UTC: 0 on that day, and less than 0 after it.
    pub fn days_left(&self, now: OffsetDateTime) -> i64 {
        days_left(self.until, now)
    }

    /// Whether its last day is at most `days` days ahead, or has passed.
    pub fn is_within(&self, days: u16, now: OffsetDateTime) -> bool {
        ends_within(days, self.until, now)
    }

    /// What ends when, in one sentence without a full stop, with the owner and the ticket of the rule.
    pub fn summary(&self, now: OffsetDateTime) -> String {
        let until = self.until;
        let end = match self.days_left(now) {
            0 => format!("ends today, {until} (UTC)"),
            left @ 1.. => format!("ends on {until} (UTC), {} left", counted(left, "day", "days")),
            passed => format!("ended on {until} (UTC), {} ago", counted(-passed, "day", "days")),
        };
        let what = self.kind;
        match self.rule {
            Some(rule) => format!("the {what} in rule {rule} {end}{}", rule.responsible()),
            None => format!("the {what} of the policy {end}"),
        }
    }
}

/// The words for it in a sentence.
impl fmt::Display for EndingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exemption => "exemption",
            Self::DryRun => "dry run",
            Self::UsageGate => "usage gate",
        })
    }
}
