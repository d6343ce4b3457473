//! The decision on an instance, and all that it needs beside the instance.

use imds_core::call_error::CallError;
use imds_core::decide::{Decision, Facts, Verdict, decide};
use imds_core::ids::AccountRegion;
use imds_core::instance::Instance;
use imds_core::metadata::{Change, HttpTokens, OptionName, OptionValue};
use imds_core::policy::Policy;
use time::OffsetDateTime;

use super::target::Observation;

/// All that a decision needs beside the instance.
#[derive(Debug)]
pub(super) struct DecisionContext<'a> {
    pub(super) policy: &'a Policy,
    pub(super) account_region: &'a AccountRegion,
    pub(super) now: OffsetDateTime,
    /// Whether the account's defaults enforce tokens, or why EC2 does not say; `None` where nobody asked.
    pub(super) tokens_enforced: Option<Result<bool, CallError>>,
}

impl DecisionContext<'_> {
    pub(super) fn decide(&self, instance: &Instance) -> Decision {
        let AccountRegion { account, region } = self.account_region;
        // Whoever's credentials showed it: rules are about the account that owns it.
        let account = instance.owner.as_ref().unwrap_or(account);
        let tokens_enforced = self.tokens_enforced.as_ref().and_then(|known| known.clone().ok());
        decide(self.policy, &Facts { account, region, instance, tokens_enforced }, self.now)
    }

    /// Whether the account's defaults matter to the instance, as they can forbid `HttpTokens=optional`.
    pub(super) fn would_make_tokens_optional(&self, observation: &Observation) -> bool {
        let Observation::Shown(instance) = observation else { return false };
        let Verdict::Change { change, .. } = self.decide(instance).verdict else { return false };
        makes_tokens_optional(&change)
    }
}

pub(super) fn makes_tokens_optional(change: &Change) -> bool {
    change.options().get(OptionName::HttpTokens) == Some(OptionValue::HttpTokens(HttpTokens::Optional))
}
