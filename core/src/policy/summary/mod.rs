//! A policy in plain sentences, for `imdsctl policy check`.

mod gate;

use time::OffsetDateTime;

use super::day::is_active;
use super::model::{
    Authority, Conditions, Effect, ExemptionLimits, Limits, Policy, Requirements, Rule, TagRules,
};
use super::pattern::Pattern;
use crate::metadata::OptionName;
use crate::mode::Mode;
use crate::text::{Escaped, Quoted, counted};

impl Policy {
    /// What the policy does, in the order in which it applies; `now` determines what has expired.
    pub fn summary(&self, now: OffsetDateTime) -> Vec<String> {
        let baseline = match self.baseline.is_empty() {
            true => "The baseline requires nothing.".to_owned(),
            false => format!("Every instance must have {}.", requirements(&self.baseline)),
        };
        let dry_run =
            "By default, nothing is changed: EC2 is asked whether it would make each change (dry run).";
        let mode = (self.mode == Mode::DryRun).then(|| dry_run.to_owned());
        let rules = self.rules.iter().map(|one| rule(one, now));
        let parts = [baseline].into_iter().chain(mode).chain(gate::of_policy(self, now)).chain(rules);
        parts.chain(tags(&self.tags)).chain(limits(self.limits)).collect()
    }
}

fn rule(rule: &Rule, now: OffsetDateTime) -> String {
    let (label, who) = (&rule.label, conditions(&rule.when));
    let what = match &rule.effect {
        Effect::Require(options) => format!("must have {}.", requirements(options)),
        Effect::Exempt { until } if is_active(*until, now) => format!("is exempt through {until} (UTC)."),
        Effect::Exempt { until } => {
            format!("was exempt through {until} (UTC); this exemption has expired.")
        }
        Effect::Mode { mode: Mode::Enforce, .. } => "is changed.".to_owned(),
        Effect::Mode { mode: Mode::DryRun, until: None } => {
            "is not changed, only dry runs are sent.".to_owned()
        }
        Effect::Mode { mode: Mode::DryRun, until: Some(until) } if is_active(*until, now) => {
            format!("is not changed, only dry runs are sent, through {until} (UTC).")
        }
        Effect::Mode { mode: Mode::DryRun, until: Some(until) } => {
            format!("got only dry runs through {until} (UTC); this dry run has ended.")
        }
        Effect::UsageGate(gate) => gate::of_rule(gate.as_ref(), now),
    };
    format!("Rule {label}{}: {who} {what}", label.responsible())
}

fn limits(limits: Limits) -> Option<String> {
    let instances = |most| counted(most, "instance", "instances");
    let failures = |most| counted(most, "change that fails or is denied", "changes that fail or are denied");
    let changes = limits.most_changes().map(|most| format!("changes at most {}", instances(most)));
    let failed =
        limits.failures_per_sweep.map(|most| format!("sends no more changes after {}", failures(most)));
    let parts: Vec<String> = changes.into_iter().chain(failed).collect();
    let limits = list(parts, "and");
    (!limits.is_empty()).then(|| {
        format!("A sweep of an account and Region {limits}; the next sweep goes on. Events are not limited.")
    })
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
    let id = when.instance_ids.iter().map(|patterns| format!("with the id {}", either(patterns)));
    let image = when.images.iter().map(|patterns| format!("launched from image {}", either(patterns)));
    let age = when.launched_before.map(|day| format!("that first ran before {day} (UTC)"));
    let all: Vec<String> = tags.chain(account).chain(region).chain(id).chain(image).chain(age).collect();
    if all.is_empty() { "every instance".to_owned() } else { format!("an instance {}", list(all, "and")) }
}

fn either(patterns: &[Pattern]) -> String {
    list(patterns.iter().map(|pattern| Quoted(pattern.as_str()).to_string()).collect(), "or")
}

fn tags(tags: &TagRules) -> Vec<String> {
    let prefix = Escaped(&tags.prefix);
    let obeyed = match tags.authority {
        Authority::None => "The tags of an instance set nothing.".to_owned(),
        _ if tags.options.is_empty() => "No tag can set an option of its instance.".to_owned(),
        Authority::Tighten => format!(
            "{} can tighten within what these requirements allow, and never loosen. A tag cannot set HttpEndpoint.",
            such_as(tags, "required")
        ),
        Authority::Loosen => format!(
            "{} overrides these requirements and can also loosen them.{}",
            such_as(tags, "optional"),
            if tags.options.contains(&OptionName::HttpEndpoint) {
                ""
            } else {
                " A tag cannot set HttpEndpoint."
            }
        ),
    };
    let listed = (tags.authority != Authority::None && tags.options != TagRules::default().options)
        .then(|| list(tags.options.iter().map(ToString::to_string).collect(), "and"))
        .filter(|options| !options.is_empty())
        .map(|options| format!("Tags can set only {options}."));
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
    [obeyed].into_iter().chain(listed).chain(exempted).collect()
}

/// An example of a tag that sets an option; `tokens` is the value of `HttpTokens`.
fn such_as(tags: &TagRules, tokens: &str) -> String {
    let prefix = Escaped(&tags.prefix);
    let example = match tags.options.first() {
        Some(OptionName::HttpTokens) | None => format!("HttpTokens={tokens}"),
        Some(OptionName::HttpPutResponseHopLimit) => "HttpPutResponseHopLimit=1".to_owned(),
        Some(other) => format!("{other}=disabled"),
    };
    format!("A tag such as {prefix}{example}")
}

/// `a, b and c`.
fn list(mut items: Vec<String>, word: &str) -> String {
    let last = items.pop().unwrap_or_default();
    if items.is_empty() { last } else { format!("{} {word} {last}", items.join(", ")) }
}
