//! One account and Region during one invocation: observations → outcomes.

use std::time::Duration;

use imds_core::call_error::Call;
use imds_core::ids::AccountRegion;
use imds_core::mode::Mode;
use imds_core::policy::Policy;

use super::apply::{Applier, Budget};
use super::decide::DecisionContext;
use super::reconciliation::Reconciliation;
use super::target::{Observation, Target};
use super::verify::verify;
use crate::aws::client::RegionClient;
use crate::deadline::Deadline;

/// How long to wait for the account's defaults, which are not needed: EC2 refuses what they forbid.
const DEFAULTS_WITHIN: Duration = Duration::from_secs(5);

/// An account and Region during one invocation.
pub(super) struct Reconciler<'a> {
    pub(super) mode: Mode,
    pub(super) policy: &'a Policy,
    pub(super) verify_within: Duration,
    pub(super) account_region: &'a AccountRegion,
    pub(super) client: RegionClient,
    pub(super) deadline: Deadline,
}

impl Reconciler<'_> {
    /// Decides on the observed instances, then applies and verifies the changes.
    pub(super) async fn reconcile(
        &self,
        observations: Vec<(Target, Observation)>,
        budget: &mut Budget,
    ) -> Vec<Reconciliation> {
        let Self { mode, policy, verify_within, account_region, client, deadline } = self;
        let mut context =
            DecisionContext { policy, account_region, now: deadline.now, tokens_enforced: None };
        if observations.iter().any(|(_, observation)| context.would_make_tokens_optional(observation)) {
            let enforced = client.tokens_enforced();
            let asked = deadline.bound_within(DEFAULTS_WITHIN, Call::GetInstanceMetadataDefaults, enforced);
            // If this call fails, the change is sent nevertheless, and EC2 refuses it if tokens are enforced.
            context.tokens_enforced = Some(asked.await);
        }
        let open = |(target, observation)| Reconciliation::open(target, observation, &context);
        let mut reconciliations: Vec<Reconciliation> = observations.into_iter().map(open).collect();
        let applier = Applier { client, mode: *mode, deadline, context: &context };
        applier.apply(budget, &mut reconciliations).await;
        verify(client, *verify_within, deadline, &mut reconciliations).await;
        reconciliations
    }
}
