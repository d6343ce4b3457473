//! One account and Region during one invocation: observations → outcomes.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use imds_core::call_error::Call;
use imds_core::ids::AccountRegion;
use imds_core::mode::Mode;
use imds_core::policy::Policy;
use tokio::time::Instant;

use super::allowance::Allowance;
use super::apply::Applier;
use super::calls::Calls;
use super::decide::{DecisionContext, DependsOn, Questions};
use super::group::Groups;
use super::planned::Hooks;
use super::reconciliation::Reconciliation;
use super::target::{Observation, Target};
use super::usage::UsageReader;
use super::verify::verify;
use crate::aws::client::RegionClient;
use crate::deadline::Deadline;

/// How long to wait for the account's defaults, which are not needed: EC2 refuses what they forbid.
const DEFAULTS_WITHIN: Duration = Duration::from_secs(5);

/// The maximum number of groups that are asked about at once.
const GROUPS_AT_ONCE: usize = 64;

/// An account and Region during one invocation.
pub(super) struct Reconciler<'a> {
    pub(super) mode: Mode,
    pub(super) policy: &'a Policy,
    pub(super) verify_within: Duration,
    pub(super) account_region: &'a AccountRegion,
    pub(super) client: RegionClient,
    pub(super) deadline: Deadline,
    pub(super) groups: Groups,
    pub(super) usage: UsageReader,
    /// What is called around each change, if anything.
    pub(super) hooks: Option<&'a Hooks<'a>>,
}

impl<'a> Reconciler<'a> {
    /// Decides on the instances, which were observed at `described_at`, then applies and verifies the changes, except those
    /// that `put_aside` takes away. An instance that depends on further answers, such as those of CloudWatch, delays only
    /// those that depend on the same kind of answer.
    pub(super) async fn reconcile(
        &self,
        described_at: Instant,
        observations: Vec<(Target, Observation)>,
        allowance: &Allowance,
        put_aside: impl Fn(Vec<Reconciliation>) -> Vec<Reconciliation>,
    ) -> Vec<Reconciliation> {
        let context = self.empty_context();
        let mut parts: BTreeMap<DependsOn, (Questions, Vec<(Target, Observation)>)> = BTreeMap::new();
        for observed in observations {
            let asked = context.questions(&observed);
            let (questions, observations) = parts.entry(asked.kind()).or_default();
            questions.add(asked);
            observations.push(observed);
        }
        let put_aside = &put_aside;
        let reconciled = parts.into_values().map(async |(questions, part)| {
            let context = self.answered(questions).await;
            let open = |(target, observation)| Reconciliation::open(target, observation, &context);
            let mut reconciliations = put_aside(part.into_iter().map(open).collect());
            let Self { client, deadline, hooks, .. } = self;
            let (context, calls) = (&context, Calls::new(*hooks));
            let applier = Applier { client, deadline, context, allowance, described_at, calls };
            applier.apply(&mut reconciliations).await;
            verify(client, self.verify_within, deadline, &mut reconciliations).await;
            reconciliations
        });
        join_all(reconciled).await.into_iter().flatten().collect()
    }

    /// Asks the questions, and returns a context with the answers.
    pub(super) async fn answered(&self, questions: Questions) -> DecisionContext<'a> {
        let Self { client, deadline, .. } = self;
        let mut context = self.empty_context();
        if questions.tokens_enforced {
            let enforced = client.tokens_enforced();
            let asked = deadline.bound_within(DEFAULTS_WITHIN, Call::GetInstanceMetadataDefaults, enforced);
            // If this call fails, the change is sent nevertheless, and EC2 refuses it if tokens are enforced.
            context.tokens_enforced = Some(asked.await);
        }
        if let Some(since) = questions.since {
            context.usage = self.usage.calls_without_token(&questions.usage_of, since).await;
        }
        let groups = stream::iter(questions.groups)
            .map(async |group| {
                let answer =
                    self.groups.ask(&group, self.empty_context(), &self.usage, client, deadline).await;
                (group, answer)
            })
            .buffer_unordered(GROUPS_AT_ONCE);
        context.groups = groups.collect().await;
        context
    }

    /// Returns a context in which nothing was asked.
    pub(super) fn empty_context(&self) -> DecisionContext<'a> {
        DecisionContext::new(self.policy, self.account_region, self.deadline.now, self.mode)
    }
}
