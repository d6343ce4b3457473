//! The types of a policy.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use time::{Date, OffsetDateTime};

use super::day::{is_active, today};
use super::pattern::Pattern;
use super::rule_label::RuleLabel;
use super::usage_gate::UsageGate;
use crate::ids::{AccountId, Region};
use crate::instance::{Instance, Missing};
use crate::metadata::{OptionName, OptionValue, Requirement};
use crate::mode::Mode;

/// A checked policy, without contradictions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// What is required of every instance.
    pub(crate) baseline: Requirements,
    /// What overrides the baseline, in order.
    pub(crate) rules: Vec<Rule>,
    /// What an instance's own tags may set.
    pub(crate) tags: TagRules,
    /// What holds `HttpTokens=required` back from instances that still use IMDSv1, unless a rule says otherwise.
    pub(crate) usage_gate: Option<UsageGate>,
    /// Whether instances are changed, unless a rule says otherwise.
    pub(crate) mode: Mode,
    /// What limits the changes of one sweep.
    pub(crate) limits: Limits,
}

/// At most one requirement per option.
pub(crate) type Requirements = BTreeMap<OptionName, Requirement>;

/// What applies to the instances that it matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    /// Shared with the reasons of decisions, which name the rule and do not depend on its owner or ticket.
    pub(crate) label: Arc<RuleLabel>,
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
    /// Whether it is changed. A dry run may end with a day, in UTC.
    Mode {
        mode: Mode,
        until: Option<Date>,
    },
    /// The gate that applies to it; `None` opens it.
    UsageGate(Option<UsageGate>),
}

impl Effect {
    /// Whether its last day has passed, so that it has no effect.
    pub(crate) fn is_over(&self, now: OffsetDateTime) -> bool {
        match self {
            Self::Exempt { until } | Self::Mode { until: Some(until), .. } => !is_active(*until, now),
            Self::Require(_) | Self::Mode { until: None, .. } | Self::UsageGate(_) => false,
        }
    }
}

impl Policy {
    /// Whether instances are changed, unless a rule says otherwise.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// What is required of every instance, unless a rule says otherwise.
    pub fn baseline(&self) -> impl Iterator<Item = Requirement> {
        self.baseline.values().copied()
    }

    /// What limits the changes of one sweep.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The longest lookback of any usage gate, in days. Which one applies can change with the instance's tags.
    pub(crate) fn longest_lookback_days(&self) -> u16 {
        self.gates().map(|gate| gate.lookback_days).max().unwrap_or_default()
    }

    /// The usage gates of the policy and of its rules.
    pub(crate) fn gates(&self) -> impl Iterator<Item = UsageGate> {
        let of_rule = |rule: &Rule| match rule.effect {
            Effect::UsageGate(gate) => gate,
            _ => None,
        };
        self.usage_gate.into_iter().chain(self.rules.iter().filter_map(of_rule))
    }
}

/// What limits the changes of one delivery of a sweep in one account and Region. `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// The maximum number of instances that are changed.
    pub changes_per_sweep: Option<usize>,
    /// After this many changes that fail or are denied, no more changes are sent.
    pub failures_per_sweep: Option<usize>,
}

impl Limits {
    /// The maximum of both numbers, and of the changes of a sweep with any limit: more than the default rate allows in an
    /// invocation.
    pub const MOST_CHANGES: usize = 10_000;

    /// The maximum number of instances that are changed, if there is any limit.
    pub fn most_changes(&self) -> Option<usize> {
        (*self != Self::default()).then(|| self.changes_per_sweep.unwrap_or(Self::MOST_CHANGES))
    }
}

/// Conditions on an instance; all must hold, and one of several patterns suffices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Conditions {
    pub(crate) tags: BTreeMap<String, Vec<Pattern>>,
    pub(crate) accounts: Option<Vec<Pattern>>,
    pub(crate) regions: Option<Vec<Pattern>>,
    pub(crate) instance_ids: Option<Vec<Pattern>>,
    pub(crate) images: Option<Vec<Pattern>>,
    /// The instance first ran before this day, in UTC.
    pub(crate) launched_before: Option<Date>,
}

impl Conditions {
    /// Whether there are no conditions, so that every instance matches.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether they hold for `instance` in this account and Region.
    ///
    /// # Errors
    /// What EC2 did not report and the answer depends on.
    pub(crate) fn hold(
        &self,
        account: &AccountId,
        region: &Region,
        instance: &Instance,
    ) -> Result<bool, Missing> {
        let any = |patterns: &[Pattern], text: &str| patterns.iter().any(|pattern| pattern.matches(text));
        let is_of = |patterns: &Option<Vec<Pattern>>, text: &str| {
            patterns.as_ref().is_none_or(|patterns| any(patterns, text))
        };
        let tagged = |(key, patterns): (&String, &Vec<Pattern>)| {
            instance.tags.get(key).is_some_and(|value| any(patterns, value))
        };
        let known = is_of(&self.accounts, account.as_str())
            && is_of(&self.regions, region.as_str())
            && is_of(&self.instance_ids, instance.id.as_str())
            && self.tags.iter().all(tagged)
            && instance.image.as_ref().is_none_or(|image| is_of(&self.images, image))
            && self.launched_before.zip(instance.first_ran).is_none_or(|(day, ran)| today(ran) < day);
        match () {
            () if !known => Ok(false),
            () if self.images.is_some() && instance.image.is_none() => Err(Missing::Image),
            () if self.launched_before.is_some() && instance.first_ran.is_none() => Err(Missing::FirstRan),
            () => Ok(true),
        }
    }
}

/// Whether AWS alone sets tags with this key.
pub(super) fn is_set_by_aws(key: &str) -> bool {
    key.starts_with("aws:")
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
    /// The options that a tag may name.
    pub(crate) options: BTreeSet<OptionName>,
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
        let options = OptionName::ALL.into_iter().filter(|name| *name != OptionName::HttpEndpoint).collect();
        Self { prefix: "imds:".to_owned(), authority: Authority::Tighten, options, exemptions: None }
    }
}

/// The policy if none is configured: `{"baseline": {"HttpTokens": "required"}}`.
impl Default for Policy {
    fn default() -> Self {
        let required = Requirement::Exactly(OptionValue::TOKENS_REQUIRED);
        let baseline = Requirements::from([(OptionName::HttpTokens, required)]);
        Self {
            baseline,
            rules: Vec::new(),
            tags: TagRules::default(),
            usage_gate: None,
            mode: Mode::Enforce,
            limits: Limits::default(),
        }
    }
}
