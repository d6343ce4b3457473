//! One account and Region during one invocation: observations → outcomes.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use imds_core::call_error::Call;
use imds_core::ids::AccountRegion;
use imds_core::mode::Mode;
use imds_core::policy::Policy;

use super::allowance::Allowance;
use super::apply::Applier;
use super::decide::{DecisionContext, Questions};
use super::group::Groups;
use super::reconciliation::Reconciliation;
use super::target::{Observation, Target};
use super::verify::verify;
use crate::aws::client::RegionClient;
use crate::deadline::Deadline;

/// How long to wait for the account's defaults, which are not needed: EC2 refuses what they forbid.
const DEFAULTS_WITHIN: Duration = Duration::from_secs(5);

/// The maximum number of sets of instances that are reconciled at once, each of which depends on other answers. Some may
/// wait for CloudWatch while the others go on.
const PARTS_AT_ONCE: usize = 64;

/// An account and Region during one invocation.
pub(super) struct Reconciler<'a> {
    pub(super) mode: Mode,
    pub(super) policy: &'a Policy,
    pub(super) verify_within: Duration,
    pub(super) account_region: &'a AccountRegion,
    pub(super) client: RegionClient,
    pub(super) deadline: Deadline,
    pub(super) groups: Groups,
}

impl<'a> Reconciler<'a> {
    /// Decides on the observed instances, then applies and verifies the changes. An instance that depends on further
    /// answers, such as those of CloudWatch, delays only those that depend on the same answers.
    pub(super) async fn reconcile(
        &self,
        observations: Vec<(Target, Observation)>,
        allowance: &Allowance,
    ) -> Vec<Reconciliation> {
        let context = self.empty_context();
        let mut parts: BTreeMap<_, (Questions, Vec<(Target, Observation)>)> = BTreeMap::new();
        for observed in observations {
            let asked = context.questions([&observed]);
            // The use of all instances is one question, from whichever day.
            let part = (asked.tokens_enforced, asked.since.is_some(), asked.groups.clone());
            let (questions, observations) = parts.entry(part).or_default();
            questions.add(asked);
            observations.push(observed);
        }
        let reconciled = stream::iter(parts.into_values())
            .map(|(questions, part)| self.reconcile_part(questions, part, allowance))
            .buffer_unordered(PARTS_AT_ONCE);
        reconciled.concat().await
    }

    async fn reconcile_part(
        &self,
        questions: Questions,
        observations: Vec<(Target, Observation)>,
        allowance: &Allowance,
    ) -> Vec<Reconciliation> {
        let context = self.answered(questions).await;
        let mut reconciliations = open(observations, &context);
        self.finish(&mut reconciliations, &context, allowance).await;
        reconciliations
    }

    /// Asks what the decisions on the observed instances depend on.
    pub(super) async fn context(&self, observations: &[(Target, Observation)]) -> DecisionContext<'a> {
        self.answered(self.empty_context().questions(observations)).await
    }

    async fn answered(&self, questions: Questions) -> DecisionContext<'a> {
        let Self { client, deadline, .. } = self;
        let mut context = self.empty_context();
        if questions.tokens_enforced {
            let enforced = client.tokens_enforced();
            let asked = deadline.bound_within(DEFAULTS_WITHIN, Call::GetInstanceMetadataDefaults, enforced);
            // If this call fails, the change is sent nevertheless, and EC2 refuses it if tokens are enforced.
            context.tokens_enforced = Some(asked.await);
        }
        if let Some(since) = questions.since {
            context.usage =
                client.calls_without_token(&questions.usage_of, since, deadline.now, deadline).await;
        }
        let groups = stream::iter(questions.groups)
            .map(async |group| {
                let answer = self.groups.ask(&group, self.empty_context(), client, deadline).await;
                (group, answer)
            })
            .buffer_unordered(PARTS_AT_ONCE);
        context.groups = groups.collect().await;
        context
    }

    fn empty_context(&self) -> DecisionContext<'a> {
        DecisionContext::new(self.policy, self.account_region, self.deadline.now, self.mode)
    }

    /// Applies and verifies the changes that are due.
    pub(super) async fn finish(
        &self,
        reconciliations: &mut [Reconciliation],
        context: &DecisionContext<'_>,
        allowance: &Allowance,
    ) {
        let Self { client, deadline, .. } = self;
        let applier = Applier { client, deadline, context, allowance };
        applier.apply(reconciliations).await;
        verify(client, self.verify_within, deadline, reconciliations).await;
    }
}

/// Decides on the observed instances.
pub(super) fn open(
    observations: Vec<(Target, Observation)>,
    context: &DecisionContext<'_>,
) -> Vec<Reconciliation> {
    let open = |(target, observation)| Reconciliation::open(target, observation, context);
    observations.into_iter().map(open).collect()
}
