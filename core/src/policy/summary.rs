//! A policy in plain sentences, for `imdsctl policy check`.

use time::OffsetDateTime;

use super::day::is_active;
use super::model::{Authority, Conditions, Effect, ExemptionLimits, Policy, Requirements, Rule, TagRules};
use super::pattern::Pattern;
use crate::text::{Escaped, Quoted};

impl Policy {
    /// What the policy does, in the order in which it applies; `now` determines which exemptions have expired.
    pub fn summary(&self, now: OffsetDateTime) -> Vec<String> {
        let baseline = match self.baseline.is_empty() {
            true => "The baseline requires nothing.".to_owned(),
            false => format!("Every instance must have {}.", requirements(&self.baseline)),
        };
        let rules = self.rules.iter().map(|one| rule(one, now));
        [baseline].into_iter().chain(rules).chain(tags(&self.tags)).collect()
    }
}

fn rule(rule: &Rule, now: OffsetDateTime) -> String {
    let (name, who) = (Quoted(&rule.name), conditions(&rule.when));
    match &rule.effect {
        Effect::Require(options) => {
            format!("Rule {name}: {who} must have {}.", requirements(options))
        }
        Effect::Exempt { until } if is_active(*until, now) => {
            format!("Rule {name}: {who} is exempt through {until} (UTC).")
        }
        Effect::Mode { .. } | Effect::UsageGate(_) => format!("Rule {name}: {who}."),
        Effect::Exempt { until } => {
            format!("Rule {name}: {who} was exempt through {until} (UTC); this exemption has expired.")
        }
    }
}

fn requirements(requirements: &Requirements) -> String {
    list(requirements.values().map(ToString::to_string).collect(), "and")
}

fn conditions(when: &Conditions) -> String {
    let tags = when.tags.iter().map(|(key, patterns)| match &patterns[..] {
        [pattern] if pattern.as_str() == "*" => format!("with the tag {}", Quoted(key)),
        patterns => format!("whose tag {} is {}", Quoted(key), either(patterns)),
    });
    let account = when.accounts.iter().map(|patterns| format!("in account {}", either(patterns)));
    let region = when.regions.iter().map(|patterns| format!("in Region {}", either(patterns)));
    let all: Vec<String> = tags.chain(account).chain(region).collect();
    if all.is_empty() { "every instance".to_owned() } else { format!("an instance {}", list(all, "and")) }
}

fn either(patterns: &[Pattern]) -> String {
    list(patterns.iter().map(|pattern| Quoted(pattern.as_str()).to_string()).collect(), "or")
}

fn tags(tags: &TagRules) -> Vec<String> {
    let prefix = Escaped(&tags.prefix);
    let obeyed = match tags.authority {
        Authority::None => "The tags of an instance set nothing.".to_owned(),
        Authority::Tighten => format!(
            "A tag such as {prefix}HttpTokens=required can tighten within what these requirements allow, and never \
             loosen. A tag cannot set HttpEndpoint."
        ),
        Authority::Loosen => {
            format!(
                "A tag such as {prefix}HttpTokens=optional overrides these requirements and can also loosen them."
            )
        }
    };
    let exempted = match tags.exemptions {
        Some(ExemptionLimits { max_days, max_age_days }) => {
            let age =
                max_age_days.map(|days| format!(" and at most {days} days after the instance first ran"));
            Some(format!(
                "A tag such as {prefix}ExemptUntil=2027-01-31 exempts its instance through that day (UTC), at most \
                 {max_days} days ahead{}.",
                age.unwrap_or_default()
            ))
        }
        None => (tags.authority != Authority::None).then(|| "No tag can exempt its instance.".to_owned()),
    };
    [obeyed].into_iter().chain(exempted).collect()
}

/// `a, b and c`.
fn list(mut items: Vec<String>, word: &str) -> String {
    let last = items.pop().unwrap_or_default();
    if items.is_empty() { last } else { format!("{} {word} {last}", items.join(", ")) }
}
