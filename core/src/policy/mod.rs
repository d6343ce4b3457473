//! The policy: what it requires of which instances.

mod check;
mod conditions;
mod document;
mod json;
mod pattern;
mod reads;
#[cfg(feature = "schema")]
mod schema;
mod summary;
#[cfg(test)]
mod tests;
mod warnings;

use std::collections::BTreeMap;
use std::fmt;

use time::macros::format_description;
use time::{Date, OffsetDateTime, UtcOffset};

use crate::ids::{AccountId, Region};
use crate::metadata::{HttpTokens, OptionName, OptionValue, Requirement, Switch, metadata_can_carry};
pub use pattern::Pattern;
pub use warnings::PolicyWarning;

/// A checked policy, without contradictions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// What is required of every instance.
    pub(crate) baseline: Requirements,
    /// What overrides the baseline, in order.
    pub(crate) rules: Vec<Rule>,
    /// What an instance's own tags may set.
    pub(crate) tags: TagRules,
}

/// At most one requirement per option.
pub(crate) type Requirements = BTreeMap<OptionName, Requirement>;

/// Requirements or an exemption for the instances that it matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) when: Conditions,
    pub(crate) effect: Effect,
}

/// What a rule does to an instance that it matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    Require(Requirements),
    /// Exempts it until the end of that day, in UTC.
    Exempt {
        until: Date,
    },
}

/// Conditions on an instance; all must hold, and one of several patterns suffices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Conditions {
    pub(crate) tags: BTreeMap<String, Vec<Pattern>>,
    pub(crate) accounts: Option<Vec<Pattern>>,
    pub(crate) regions: Option<Vec<Pattern>>,
}

impl Conditions {
    /// Whether they hold for every instance, as there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.tags.is_empty() && self.accounts.is_none() && self.regions.is_none()
    }

    /// Whether they hold for an instance with these tags in this account and Region.
    pub(crate) fn hold(&self, account: &AccountId, region: &Region, tags: &BTreeMap<String, String>) -> bool {
        let any = |patterns: &[Pattern], text: &str| patterns.iter().any(|pattern| pattern.matches(text));
        let tagged = |(key, patterns): (&String, &Vec<Pattern>)| {
            tags.get(key).is_some_and(|value| any(patterns, value))
        };
        self.accounts.as_ref().is_none_or(|patterns| any(patterns, account.as_str()))
            && self.regions.as_ref().is_none_or(|patterns| any(patterns, region.as_str()))
            && self.tags.iter().all(tagged)
    }
}

/// What a tag under the prefix may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename_all = "lowercase"))]
pub enum Authority {
    /// Tags are not read.
    None,
    /// A tag may set a value that the policy allows and that is not looser than the value without the tag.
    Tighten,
    /// Any valid tag is accepted, even if it loosens a requirement.
    Loosen,
}

impl Authority {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "none" => Some(Self::None),
            "tighten" => Some(Self::Tighten),
            "loosen" => Some(Self::Loosen),
            _ => None,
        }
    }
}

/// What an instance's own tags may set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TagRules {
    pub(crate) prefix: String,
    pub(crate) authority: Authority,
    /// How long a tag may exempt its instance; `None` if no tag may.
    pub(crate) exemptions: Option<ExemptionLimits>,
}

/// How long a tag may exempt its instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ExemptionLimits {
    /// The maximum number of days from today. It limits each renewal.
    pub(crate) max_days: u16,
    /// The maximum number of days since the instance first ran. It limits all renewals.
    pub(crate) max_age_days: Option<u16>,
}

impl Default for TagRules {
    fn default() -> Self {
        Self { prefix: "imds:".to_owned(), authority: Authority::Tighten, exemptions: None }
    }
}

impl Policy {
    /// Whether a change of the tag with this key can change a decision.
    pub fn reads_tag(&self, key: &str) -> bool {
        let shows_tags = Requirement::Exactly(OptionValue::InstanceMetadataTags(Switch::Enabled));
        let is_loose = self.tags.authority == Authority::Loosen;
        let is_asked = self.tags.authority != Authority::None && key.starts_with(&self.tags.prefix);
        let is_matched = self.rules.iter().any(|rule| rule.when.tags.contains_key(key));
        // A key that metadata cannot carry forbids InstanceMetadataTags=enabled; its removal allows it again.
        let forbids = || !metadata_can_carry(key) && (is_loose || self.requires(shows_tags));
        is_asked || is_matched || forbids()
    }

    /// Whether the baseline or any rule has this requirement.
    fn requires(&self, requirement: Requirement) -> bool {
        let rules = self.rules.iter().filter_map(|rule| match &rule.effect {
            Effect::Require(requirements) => Some(requirements),
            Effect::Exempt { .. } => None,
        });
        [&self.baseline]
            .into_iter()
            .chain(rules)
            .any(|all| all.get(&requirement.name()) == Some(&requirement))
    }
}

/// The policy if none is configured: `{"baseline": {"HttpTokens": "required"}}`.
impl Default for Policy {
    fn default() -> Self {
        let required = Requirement::Exactly(OptionValue::HttpTokens(HttpTokens::Required));
        let baseline = Requirements::from([(OptionName::HttpTokens, required)]);
        Self { baseline, rules: Vec::new(), tags: TagRules::default() }
    }
}

/// Parses a date in exactly the form `2027-03-31`.
pub(crate) fn parse_date(text: &str) -> Option<Date> {
    let plain = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    Date::parse(text, format_description!("[year]-[month]-[day]")).ok().filter(|_| plain)
}

/// Whether an exemption through the day `until` is still active.
pub(crate) fn is_active(until: Date, now: OffsetDateTime) -> bool {
    today(now) <= until
}

/// The day of `now` in UTC.
pub(crate) fn today(now: OffsetDateTime) -> Date {
    // The conversion fails only after the last date in UTC: no time in use is before the first one.
    now.checked_to_offset(UtcOffset::UTC).map_or(Date::MAX, OffsetDateTime::date)
}

/// An error in a policy document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyError {
    /// Where: a path such as `rules[0].when.tags`, or a line and column if the document is not JSON.
    pub place: String,
    /// What is wrong, and how to fix it.
    pub problem: String,
}

/// All errors in a policy document; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyErrors(pub Vec<PolicyError>);

impl PolicyErrors {
    /// One line per error: the document, the place, then the problem.
    pub fn in_document(&self, document: &str) -> String {
        let lines = self.0.iter().map(|error| format!("{document}: {}: {}", error.place, error.problem));
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// One line per error: the place, then the problem.
impl fmt::Display for PolicyErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { "\n" };
            write!(f, "{separator}{}: {}", error.place, error.problem)?;
        }
        Ok(())
    }
}

impl std::error::Error for PolicyErrors {}
