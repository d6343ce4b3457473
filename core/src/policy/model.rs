//! The types of a policy.

use std::collections::BTreeMap;

use time::Date;

use super::pattern::Pattern;
use crate::ids::{AccountId, Region};
use crate::metadata::{HttpTokens, OptionName, OptionValue, Requirement};

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
    pub(super) fn parse(text: &str) -> Option<Self> {
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

/// The policy if none is configured: `{"baseline": {"HttpTokens": "required"}}`.
impl Default for Policy {
    fn default() -> Self {
        let required = Requirement::Exactly(OptionValue::HttpTokens(HttpTokens::Required));
        let baseline = Requirements::from([(OptionName::HttpTokens, required)]);
        Self { baseline, rules: Vec::new(), tags: TagRules::default() }
    }
}
