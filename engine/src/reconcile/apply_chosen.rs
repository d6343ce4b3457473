//! Instances that were chosen beforehand, of one account and Region → outcomes.

use imds_core::ids::{AccountRegion, InstanceId};
use imds_core::outcome::InstanceOutcome;
use imds_core::trigger::TriggerKind;
use tokio::time::Instant;

use super::Enforcer;
use super::allowance::Allowance;
use super::describe::describe;
use super::isolated::caught;
use super::planned::{Chosen, Hooks};
use super::reconciler::Reconciler;
use super::target::{Observation, Target};
use crate::deadline::Deadline;

impl Enforcer {
    /// Brings instances of an account and Region to what they may become, and verifies it. Calls `on_report` with the outcome
    /// of each, in no particular order.
    ///
    /// Describes all of them first, and asks CloudWatch about those for which the policy needs that, so that a call should
    /// have a few hundred. They count as redelivered: an earlier run may have left a change unverified.
    ///
    /// # Errors
    /// That a defect ended the work, in a sentence; instances whose outcome was not reported may have been changed.
    pub async fn apply(
        &self,
        account_region: &AccountRegion,
        chosen: &[Chosen],
        deadline: Deadline,
        hooks: &Hooks<'_>,
        on_report: &dyn Fn(InstanceOutcome),
    ) -> Result<(), String> {
        let AccountRegion { account, region } = account_region;
        let defect = |text| format!("a defect stopped the work in {account} {region}: {text}");
        caught(async {
            let client = self.clients.get(account_region).await;
            let reconciler = self.reconciler(account_region, client, deadline);
            let reconciler = Reconciler { hooks: Some(hooks), ..reconciler };
            apply(&reconciler, chosen, on_report).await;
        })
        .await
        .map_err(defect)
    }
}

async fn apply(reconciler: &Reconciler<'_>, chosen: &[Chosen], on_report: &dyn Fn(InstanceOutcome)) {
    let ids: Vec<InstanceId> = chosen.iter().map(|chosen| chosen.id.clone()).collect();
    let mut described = describe(&reconciler.client, &reconciler.deadline, &ids).await;
    let observed =
        |chosen: &Chosen| (target(chosen), described.take(&chosen.id).unwrap_or(Observation::NotShown));
    let observations = chosen.iter().map(observed).collect();
    let (described_at, allowance) = (Instant::now(), Allowance::default());
    let reconciled = reconciler.reconcile(described_at, observations, &allowance, |all| all).await;
    for reconciliation in reconciled {
        on_report(reconciliation.into_outcome(reconciler.account_region));
    }
}

fn target(chosen: &Chosen) -> Target {
    let target = Target::new(chosen.id.clone(), TriggerKind::Sweep, chosen.age);
    Target { redelivered: true, wanted: Some(chosen.wanted.clone()), ..target }
}
