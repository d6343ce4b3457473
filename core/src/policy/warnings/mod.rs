//! What a valid policy probably does not mean, for `imdsctl policy check`.

mod staged;
mod without;

use time::{Date, Duration, OffsetDateTime};

use self::without::changes_nothing;
use super::day::{is_active, today};
use super::json::{index, join};
use super::model::{Authority, Conditions, Effect, Policy, Requirements, Rule, is_set_by_aws};
use super::pattern::Pattern;
use crate::metadata::{OptionName, OptionValue, Requirement};
use crate::text::Quoted;

/// How far ahead an exemption or a dry run may end without a warning: two years, of which one may be a leap year.
const FAR_AHEAD: Duration = Duration::days(731);

const OPTIONAL: Requirement = Requirement::Exactly(OptionValue::TOKENS_OPTIONAL);

/// Something in a valid policy that is probably not meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyWarning {
    /// Where: a path such as `rules[0].exempt.until`.
    pub place: String,
    /// What is unusual, and how to change it.
    pub problem: String,
}

impl Policy {
    /// What is probably not meant, in the order of the document; `now` determines what has ended.
    pub fn warnings(&self, now: OffsetDateTime) -> Vec<PolicyWarning> {
        let mut warnings = Warnings(Vec::new());
        let mut without = self.baseline.clone();
        warnings.default_mode(self);
        warnings.optional("baseline", &self.baseline);
        warnings.default_gate(self, now);
        for (number, rule) in self.rules.iter().enumerate() {
            let place = index("rules", number);
            match &rule.effect {
                Effect::Require(requirements) => {
                    let at = join(&place, "require");
                    warnings.optional(&at, requirements);
                    warnings.loosening(&at, rule, requirements, &without);
                    if rule.when.is_empty() {
                        without.extend(requirements);
                    }
                }
                Effect::Exempt { until } => {
                    if warnings.end(&join(&place, "exempt.until"), "exemption", *until, now) {
                        warnings.exempting(&join(&place, "when.tags"), &rule.when, now);
                    }
                }
                Effect::Mode { mode, until } => warnings.mode(self, number, *mode, *until, now),
                Effect::UsageGate(gate) => warnings.rule_gate(self, number, gate.as_ref(), now),
            }
            warnings.overridden(&place, self, number);
        }
        self.warnings_of_the_whole(&mut warnings);
        warnings.0
    }

    fn warnings_of_the_whole(&self, warnings: &mut Warnings) {
        let requires = |rule: &Rule| matches!(rule.effect, Effect::Require(_));
        if self.baseline.is_empty() && !self.rules.iter().any(requires) {
            let problem =
                "the policy requires nothing: add a baseline, such as {\"HttpTokens\": \"required\"}";
            warnings.add("baseline", problem);
        }
        if self.tags.authority == Authority::Loosen && self.tags.options.contains(&OptionName::HttpTokens) {
            let problem = format!("lets a tag require HttpTokens=optional, which {NEEDS_LOOSENING}");
            warnings.add("instanceTags.authority", problem);
        }
        if self.tags.options.contains(&OptionName::HttpEndpoint) {
            let problem =
                "anyone who may tag an instance can switch its IMDS off: remove HttpEndpoint, and use a rule";
            warnings.add("instanceTags.options", problem);
        }
    }
}

/// What the template's parameter is needed for.
const NEEDS_LOOSENING: &str = "the function may set only if the template's AllowLoosening is true";

struct Warnings(Vec<PolicyWarning>);

impl Warnings {
    fn add(&mut self, place: &str, problem: impl Into<String>) {
        self.0.push(PolicyWarning { place: place.to_owned(), problem: problem.into() });
    }

    /// Warns of the end of an exemption or a dry run. Returns whether it is still active.
    fn end(&mut self, place: &str, what: &str, until: Date, now: OffsetDateTime) -> bool {
        let is_active = is_active(until, now);
        if !is_active {
            self.add(place, format!("the {what} ended on {until}: remove the rule"));
        } else if until - today(now) > FAR_AHEAD {
            self.add(place, "is more than two years ahead: choose an earlier day, and extend it when needed");
        }
        is_active
    }

    fn optional(&mut self, place: &str, requirements: &Requirements) {
        if requirements.get(&OptionName::HttpTokens) == Some(&OPTIONAL) {
            let problem = format!("requires optional, which {NEEDS_LOOSENING}");
            self.add(&join(place, "HttpTokens"), problem);
        }
    }

    /// A rule whose tags anyone can set, and that gives a looser result than `without` it.
    fn loosening(&mut self, place: &str, rule: &Rule, requirements: &Requirements, without: &Requirements) {
        let Some(key) = key_that_anyone_sets(&rule.when) else { return };
        for (name, requirement) in requirements {
            if may_loosen(*requirement, without.get(name)) {
                let problem = format!(
                    "is looser than without the rule, and anyone who may set the tag {} gets it: {SAFER}",
                    Quoted(key)
                );
                self.add(&join(place, name.as_str()), problem);
            }
        }
    }

    fn exempting(&mut self, place: &str, when: &Conditions, now: OffsetDateTime) {
        if hold_for_all(when, now) {
            self.add(place, format!("the rule exempts every instance: {NARROW}"));
        }
        if let Some(key) = key_that_anyone_sets(when) {
            let problem = format!("anyone who may set the tag {} exempts the instance: {SAFER}", Quoted(key));
            self.add(place, problem);
        }
    }

    /// A rule whose whole effect later rules override, for at least the same instances.
    fn overridden(&mut self, place: &str, policy: &Policy, number: usize) {
        let rule = &policy.rules[number];
        let for_the_same = |other: &Rule| other.when.is_empty() || other.when == rule.when;
        let by = |overrides: &dyn Fn(&Effect) -> bool| {
            let mut later = (number + 1..policy.rules.len()).map(|number| (number, &policy.rules[number]));
            let by = later.find(|(number, other)| {
                overrides(&other.effect) && for_the_same(other) && !changes_nothing(policy, *number)
            });
            by.map(|(number, _)| index("rules", number))
        };
        let by: Option<Vec<String>> = match &rule.effect {
            Effect::Require(options) => {
                let sets = |name| move |other: &Effect| matches!(other, Effect::Require(all) if all.contains_key(name));
                options.keys().map(|name| by(&sets(name))).collect()
            }
            Effect::Exempt { .. } => None,
            // A dry run that ends does not override for good.
            Effect::Mode { .. } => {
                by(&|other| matches!(other, Effect::Mode { until: None, .. })).map(|one| vec![one])
            }
            Effect::UsageGate(_) => by(&|other| matches!(other, Effect::UsageGate(_))).map(|one| vec![one]),
        };
        let Some(mut by) = by else { return };
        by.sort();
        by.dedup();
        self.add(place, format!("never has an effect, because {} overrides it: remove one", by.join(" or ")));
    }
}

/// What to do about a condition on a tag that anyone can set.
const SAFER: &str = "add a condition on accounts that you trust or on a tag that begins with aws:, or restrict who may set it";

/// How to fix conditions that match every instance.
const NARROW: &str = "name the accounts or Regions that it is for";

/// Whether the conditions hold for every instance: an instance that exists has first run before a day after today.
fn hold_for_all(when: &Conditions, now: OffsetDateTime) -> bool {
    let is_all = |patterns: &Option<Vec<Pattern>>| {
        let matches_all = |pattern: &Pattern| {
            let text = pattern.as_str();
            text.chars().all(|c| matches!(c, '*' | '?')) && (text.contains('*') || text == "????????????")
                || matches!(text, "i-*" | "ami-*")
        };
        patterns.as_ref().is_none_or(|patterns| patterns.iter().any(matches_all))
    };
    let patterns = [&when.accounts, &when.regions, &when.instance_ids, &when.images];
    when.tags.is_empty()
        && patterns.into_iter().all(is_all)
        && when.launched_before.is_none_or(|day| day > today(now))
}

/// The first tag of the conditions, if anyone who may tag the instance can set all of them.
fn key_that_anyone_sets(when: &Conditions) -> Option<&String> {
    when.tags.keys().next().filter(|_| !when.tags.keys().any(|key| is_set_by_aws(key)))
}

/// Whether the requirement gives some instance a looser value than `without` it, or than its present value if nothing
/// is required without it.
fn may_loosen(requirement: Requirement, without: Option<&Requirement>) -> bool {
    let present = requirement.name().values();
    present.into_iter().any(|present| {
        let without = without.map_or(present, |without| without.nearest(present));
        requirement.nearest(present).is_looser_than(without)
    })
}
