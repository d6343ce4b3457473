//! The sweep: every instance of an account and Region, page by page.

use std::collections::BTreeSet;
use std::time::Duration;

use imds_core::call_error::Call;
use imds_core::ids::InstanceId;
use imds_core::instance::Instance;
use imds_core::outcome::{InstanceOutcome, Mode, Outcome};
use imds_core::selector::InstanceSelector;
use imds_core::trigger::TriggerKind;

use super::apply::Budget;
use super::reconciler::Reconciler;
use super::target::{Observation, Target};
use crate::deadline::Deadline;

/// The maximum number of changes that a dry-run sweep sends to EC2: enough to test the permissions without using up the
/// account's rate limit.
const DRY_RUNS: usize = 50;

/// Sweeps the account and Region, except the instances that are `handled` already.
///
/// A retry, which is `redelivered`, starts from the first page. It finds the changed instances compliant and verifies
/// them.
///
/// # Errors
/// Why the sweep stopped, in one sentence.
pub(super) async fn sweep(
    reconciler: &Reconciler<'_>,
    handled: &BTreeSet<InstanceId>,
    redelivered: bool,
    on_report: &dyn Fn(InstanceOutcome),
) -> Result<(), String> {
    let mut budget = (reconciler.mode == Mode::DryRun).then_some(DRY_RUNS);
    let mut token = None;
    loop {
        if is_over(&reconciler.deadline) {
            return Err("the sweep ran out of time and will be retried".to_owned());
        }
        let listed = reconciler.client.page(&InstanceSelector::All, token);
        let listed = reconciler.deadline.bound(Call::DescribeInstances, listed).await;
        let page = listed.map_err(|error| format!("the sweep cannot list the instances: {error}"))?;
        let is_new = |instance: &Instance| !handled.contains(&instance.id);
        let observation =
            |instance: Instance| (target(instance.id.clone(), redelivered), Observation::Shown(instance));
        let observations = page.instances.into_iter().filter(is_new).map(observation).collect();
        if sweep_page(reconciler, observations, &mut budget, on_report).await {
            return Err("the sweep was throttled or ran out of time and will be retried".to_owned());
        }
        match page.next {
            Some(next) => token = Some(next),
            None => return Ok(()),
        }
    }
}

fn is_over(deadline: &Deadline) -> bool {
    !deadline.allows(Duration::ZERO)
}

/// Returns whether changes remain because of the rate limit or the deadline.
async fn sweep_page(
    reconciler: &Reconciler<'_>,
    observations: Vec<(Target, Observation)>,
    budget: &mut Budget,
    on_report: &dyn Fn(InstanceOutcome),
) -> bool {
    let mut is_stopped = false;
    for reconciliation in reconciler.reconcile(observations, budget).await {
        let outcome = reconciliation.state.outcome();
        is_stopped |=
            outcome == Outcome::Throttled || (outcome.is_retryable() && is_over(&reconciler.deadline));
        on_report(reconciliation.into_outcome(reconciler.account_region));
    }
    is_stopped
}

/// An instance of a sweep. It belongs to no delivery, so its outcome fails no record; the next sweep retries it.
fn target(id: InstanceId, redelivered: bool) -> Target {
    Target {
        id,
        kind: TriggerKind::Sweep,
        deliveries: BTreeSet::new(),
        age: time::Duration::ZERO,
        redelivered,
        attempts: 0,
    }
}
