//! The decision on an instance, and everything it depends on besides the instance.

use std::collections::{BTreeMap, BTreeSet};

use imds_core::call_error::CallError;
use imds_core::decide::{Decision, Facts, Group, GroupUse, Needed, Verdict, decide};
use imds_core::ids::{AccountRegion, InstanceId};
use imds_core::instance::Instance;
use imds_core::metadata::{Change, OptionName, OptionValue};
use imds_core::mode::Mode;
use imds_core::policy::Policy;
use imds_core::usage::Usage;
use time::{Date, OffsetDateTime};

use super::planned::Wanted;
use super::target::{Observation, Target};

/// Everything that a decision depends on besides the instance.
#[derive(Debug)]
pub(super) struct DecisionContext<'a> {
    pub(super) policy: &'a Policy,
    pub(super) account_region: &'a AccountRegion,
    pub(super) now: OffsetDateTime,
    /// The mode of the function. If it is a dry run, so is every change, whatever the policy says.
    pub(super) mode: Mode,
    /// Whether the account's defaults enforce tokens, or the error of that call; `None` if the call was not made.
    pub(super) tokens_enforced: Option<Result<bool, CallError>>,
    /// The use of IMDSv1, or the error of that call, of the instances for which it was asked.
    pub(super) usage: BTreeMap<InstanceId, Result<Usage, CallError>>,
    /// Whether an instance of a group is held back, or the error of the calls that would tell.
    pub(super) groups: BTreeMap<Group, Result<GroupUse, CallError>>,
}

/// What must be asked before instances can be decided on.
#[derive(Debug, Default)]
pub(super) struct Questions {
    /// Whether the account's defaults enforce tokens.
    pub(super) tokens_enforced: bool,
    /// The instances whose use of IMDSv1 is needed, from `since` on.
    pub(super) usage_of: Vec<InstanceId>,
    pub(super) since: Option<Date>,
    pub(super) groups: BTreeSet<Group>,
}

/// What the decision on an instance depends on besides the instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum DependsOn {
    Nothing,
    Defaults,
    Usage,
    Group,
}

impl Questions {
    /// Returns what kind of answer is needed.
    pub(super) fn kind(&self) -> DependsOn {
        match self {
            Self { tokens_enforced: true, .. } => DependsOn::Defaults,
            Self { since: Some(_), .. } => DependsOn::Usage,
            Self { groups, .. } if !groups.is_empty() => DependsOn::Group,
            _ => DependsOn::Nothing,
        }
    }

    /// Adds the questions about another instance.
    pub(super) fn add(&mut self, more: Self) {
        self.tokens_enforced |= more.tokens_enforced;
        self.usage_of.extend(more.usage_of);
        self.since = self.since.into_iter().chain(more.since).min();
        self.groups.extend(more.groups);
    }
}

impl<'a> DecisionContext<'a> {
    /// Creates a context in which nothing was asked yet.
    pub(super) fn new(
        policy: &'a Policy,
        account_region: &'a AccountRegion,
        now: OffsetDateTime,
        mode: Mode,
    ) -> Self {
        let (usage, groups) = (BTreeMap::new(), BTreeMap::new());
        Self { policy, account_region, now, mode, tokens_enforced: None, usage, groups }
    }

    /// The mode of an instance that is not decided on.
    pub(super) fn default_mode(&self) -> Mode {
        self.mode.max(self.policy.mode())
    }

    /// Decides on an instance. `is_launch`: a record of its launch names it.
    pub(super) fn decide(&self, is_launch: bool, instance: &Instance) -> Decision {
        let AccountRegion { account, region } = self.account_region;
        let known = self.usage.get(&instance.id).and_then(|usage| usage.as_ref().ok());
        let group = match self.groups.is_empty() {
            true => None,
            false => Group::of(instance).and_then(|group| self.groups.get(&group)?.as_ref().ok()),
        };
        let facts = Facts {
            // Rules apply to the account that owns the instance, not to the one whose credentials described it.
            account: instance.owner.as_ref().unwrap_or(account),
            region,
            instance,
            tokens_enforced: self.tokens_enforced.as_ref().and_then(|known| known.clone().ok()),
            is_launch,
            usage: known,
            group,
        };
        let mut decision = decide(self.policy, &facts, self.now);
        decision.mode = decision.mode.max(self.mode);
        decision
    }

    /// Returns what must be asked before the observed instance can be decided on.
    pub(super) fn questions(&self, (target, observation): &(Target, Observation)) -> Questions {
        match observation {
            // Whether the policy would change it back is decided without further answers.
            Observation::Shown(_) if matches!(target.wanted, Some(Wanted::Restored(_))) => {
                Questions::default()
            }
            Observation::Shown(instance) => self.questions_about(target.is_launch, instance),
            Observation::NotShown | Observation::Failed(_) => Questions::default(),
        }
    }

    /// Returns what must be asked before the instance can be decided on.
    pub(super) fn questions_about(&self, is_launch: bool, instance: &Instance) -> Questions {
        let mut questions = Questions::default();
        match self.decide(is_launch, instance).verdict {
            Verdict::Change { change, .. } => questions.tokens_enforced = makes_tokens_optional(&change),
            Verdict::NeedsUsage(Needed::Usage { since }) => {
                questions.usage_of.push(instance.id.clone());
                questions.since = Some(since);
            }
            Verdict::NeedsUsage(Needed::Group(group)) => _ = questions.groups.insert(group),
            _ => {}
        }
        questions
    }

    /// Returns why what a decision needs is not known, if it was asked.
    pub(super) fn usage_error(&self, id: &InstanceId, needed: &Needed) -> Option<&CallError> {
        match needed {
            Needed::Usage { .. } => self.usage.get(id)?.as_ref().err(),
            Needed::Group(group) => self.groups.get(group)?.as_ref().err(),
        }
    }
}

/// Returns whether the change sets `HttpTokens=optional`, which the account's defaults can forbid.
pub(super) fn makes_tokens_optional(change: &Change) -> bool {
    change.options().get(OptionName::HttpTokens) == Some(OptionValue::TOKENS_OPTIONAL)
}
