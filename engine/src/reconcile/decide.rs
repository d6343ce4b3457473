//! The decision on an instance, and everything it depends on besides the instance.

use imds_core::call_error::CallError;
use imds_core::decide::{Decision, Facts, Verdict, decide};
use imds_core::ids::AccountRegion;
use imds_core::instance::Instance;
use imds_core::metadata::{Change, HttpTokens, OptionName, OptionValue};
use imds_core::policy::Policy;
use time::OffsetDateTime;

use super::target::Observation;

/// Everything that a decision depends on besides the instance.
#[derive(Debug)]
pub(super) struct DecisionContext<'a> {
    pub(super) policy: &'a Policy,
    pub(super) account_region: &'a AccountRegion,
    pub(super) now: OffsetDateTime,
    /// Whether the account's defaults enforce tokens, or the error of that call; `None` if the call was not made.
    pub(super) tokens_enforced: Option<Result<bool, CallError>>,
}

impl DecisionContext<'_> {
    pub(super) fn decide(&self, instance: &Instance) -> Decision {
        let AccountRegion { account, region } = self.account_region;
        // Rules apply to the account that owns the instance, not to the one whose credentials described it.
        let account = instance.owner.as_ref().unwrap_or(account);
        let tokens_enforced = self.tokens_enforced.as_ref().and_then(|known| known.clone().ok());
        decide(self.policy, &Facts { account, region, instance, tokens_enforced }, self.now)
    }

    /// Returns whether the change sets `HttpTokens=optional`, which the account's defaults can forbid.
    pub(super) fn would_make_tokens_optional(&self, observation: &Observation) -> bool {
        let Observation::Shown(instance) = observation else { return false };
        let Verdict::Change { change, .. } = self.decide(instance).verdict else { return false };
        makes_tokens_optional(&change)
    }
}

pub(super) fn makes_tokens_optional(change: &Change) -> bool {
    change.options().get(OptionName::HttpTokens) == Some(OptionValue::HttpTokens(HttpTokens::Optional))
}
