//! The path from a delivery to an outcome: resolve → decide → apply → verify.

mod apply;
mod decide;
mod describe;
mod reconciler;
mod reconciliation;
mod resolve;
mod state;
mod sweep;
mod target;
mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use imds_core::ids::{AccountRegion, InstanceId};
use imds_core::outcome::{InstanceOutcome, Mode};
use imds_core::policy::Policy;
use imds_core::selector::InstanceSelector;

use crate::aws::clients::RegionClients;
use crate::deadline::Deadline;
use reconciler::Reconciler;
use resolve::Unresolved;
pub use target::Delivery;

/// The maximum number of accounts and Regions processed concurrently: as many as a batch is likely to name. Most of the
/// time goes to waiting for each one's rate limit.
const ACCOUNT_REGIONS_AT_ONCE: usize = 128;

/// Brings instances to the options that the policy requires.
#[derive(Debug)]
pub struct Enforcer {
    mode: Mode,
    policy: Policy,
    verify_within: Duration,
    clients: RegionClients,
}

/// The result of a batch of deliveries, besides the outcomes of instances.
#[derive(Debug, Default)]
pub struct Enforced {
    /// Why deliveries were not processed completely, one sentence each.
    pub unresolved: Vec<String>,
    /// The deliveries that must be redelivered, by their index in the batch.
    pub retry: BTreeSet<usize>,
    /// The accounts and Regions whose sweep is complete.
    pub swept: Vec<AccountRegion>,
}

impl Enforcer {
    /// Creates an enforcer of `policy` that waits up to `verify_within` for a change to be applied.
    pub fn new(mode: Mode, policy: Policy, verify_within: Duration, clients: RegionClients) -> Self {
        Self { mode, policy, verify_within, clients }
    }

    /// Whether it changes instances, or only sends dry runs.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The policy that it enforces.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The clients through which it reaches EC2.
    pub fn clients(&self) -> &RegionClients {
        &self.clients
    }

    /// Processes the deliveries. Their order and any redelivery do not matter. Calls `on_report` with the outcome of
    /// each instance as soon as it is known.
    pub async fn enforce(
        &self,
        deliveries: &[Delivery],
        deadline: Deadline,
        on_report: &dyn Fn(InstanceOutcome),
    ) -> Enforced {
        let mut batches: BTreeMap<&AccountRegion, Vec<(usize, &Delivery)>> = BTreeMap::new();
        for (index, delivery) in deliveries.iter().enumerate() {
            batches.entry(&delivery.trigger.account_region).or_default().push((index, delivery));
        }
        let ended = stream::iter(batches)
            .map(|(account_region, batch)| async move {
                let Self { mode, policy, verify_within, clients } = self;
                let (mode, verify_within) = (*mode, *verify_within);
                let client = clients.get(account_region).await;
                let reconciler = Reconciler { mode, policy, verify_within, account_region, client, deadline };
                enforce(&reconciler, &batch, on_report).await
            })
            .buffer_unordered(ACCOUNT_REGIONS_AT_ONCE);
        ended.fold(Enforced::default(), |all, ended| async { all.and(ended) }).await
    }
}

/// Processes the deliveries of one account and Region, which come with their indices in the batch.
async fn enforce(
    reconciler: &Reconciler<'_>,
    batch: &[(usize, &Delivery)],
    on_report: &dyn Fn(InstanceOutcome),
) -> Enforced {
    let (sweeps, named): (Vec<_>, Vec<_>) =
        batch.iter().partition(|(_, delivery)| delivery.trigger.instances == InstanceSelector::All);
    let resolved = resolve::resolve(&reconciler.client, &named, &reconciler.deadline).await;
    let mut enforced = Enforced::default();
    resolved.unresolved.into_iter().for_each(|unresolved| enforced.note(unresolved));
    let handled: BTreeSet<InstanceId> =
        resolved.observations.iter().map(|(target, _)| target.id.clone()).collect();
    for reconciliation in reconciler.reconcile(resolved.observations, &mut None).await {
        if reconciliation.state.outcome().is_retryable() {
            enforced.retry.extend(&reconciliation.target.deliveries);
        }
        on_report(reconciliation.into_outcome(reconciler.account_region));
    }
    if !sweeps.is_empty() {
        let redelivered = sweeps.iter().any(|(_, delivery)| delivery.redelivered);
        match sweep::sweep(reconciler, &handled, redelivered, on_report).await {
            Ok(()) => enforced.swept.push(reconciler.account_region.clone()),
            Err(why) => sweeps.iter().for_each(|(delivery, _)| {
                enforced.note(Unresolved { delivery: *delivery, why: why.clone(), retry: true })
            }),
        }
    }
    enforced
}

impl Enforced {
    fn note(&mut self, unresolved: Unresolved) {
        self.unresolved.push(unresolved.why);
        if unresolved.retry {
            self.retry.insert(unresolved.delivery);
        }
    }

    fn and(mut self, other: Self) -> Self {
        self.unresolved.extend(other.unresolved);
        self.retry.extend(other.retry);
        self.swept.extend(other.swept);
        self
    }
}
