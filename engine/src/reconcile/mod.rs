//! The path from a delivery to an outcome: resolve → decide → apply → verify.

mod apply;
mod caught;
mod decide;
mod describe;
mod reconciler;
mod reconciliation;
mod resolve;
mod selection;
mod state;
mod sweep;
mod target;
mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use imds_core::ids::{AccountRegion, InstanceId};
use imds_core::outcome::{InstanceOutcome, Mode};
use imds_core::policy::Policy;
use imds_core::selector::InstanceSelector;

use crate::aws::clients::RegionClients;
use crate::deadline::Deadline;
use caught::caught;
use reconciler::Reconciler;
use resolve::Resolver;
use sweep::Sweep;
pub use target::Delivery;
use target::Unresolved;

/// The maximum number of accounts and Regions processed concurrently: as many as a batch is likely to name. Most of the
/// time goes to waiting for each one's rate limit.
const ACCOUNT_REGIONS_AT_ONCE: usize = 128;

/// How many sets of instances are worked on at once in an account and Region: those that EC2 returns at once, after each
/// pause, and not at all.
const OBSERVATIONS_AT_ONCE: usize = 4;

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
    pub retry: BTreeMap<usize, Retry>,
    /// The accounts and Regions whose sweep is complete.
    pub swept: Vec<AccountRegion>,
}

/// When a delivery is retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Retry {
    /// At once, as a sweep only ran out of time and made changes.
    AtOnce,
    /// After a pause that is longer after each redelivery.
    AfterBackoff,
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
            .map(async |(account_region, batch)| {
                let work = self.enforce_in(account_region, &batch, deadline, on_report);
                // A defect in the work of one account and Region does not affect the others.
                match caught(work).await {
                    Ok(enforced) => enforced,
                    Err(panic) => Enforced::panicked(account_region, &batch, &panic),
                }
            })
            .buffer_unordered(ACCOUNT_REGIONS_AT_ONCE);
        ended.fold(Enforced::default(), |all, ended| async { all.and(ended) }).await
    }

    /// Processes the deliveries of one account and Region, which come with their indices in the batch.
    async fn enforce_in(
        &self,
        account_region: &AccountRegion,
        batch: &[(usize, &Delivery)],
        deadline: Deadline,
        on_report: &dyn Fn(InstanceOutcome),
    ) -> Enforced {
        let Self { mode, policy, verify_within, clients } = self;
        let (mode, verify_within) = (*mode, *verify_within);
        let client = clients.get(account_region).await;
        let reconciler = Reconciler { mode, policy, verify_within, account_region, client, deadline };
        let (sweeps, named): (Vec<_>, Vec<_>) =
            batch.iter().partition(|(_, delivery)| delivery.trigger.instances == InstanceSelector::All);
        let mut enforced = Enforced::default();
        let handled = enforced.enforce_named(&reconciler, &named, on_report).await;
        if !sweeps.is_empty() {
            enforced.sweep(&reconciler, &sweeps, &handled, on_report).await;
        }
        enforced
    }
}

impl Enforced {
    /// Brings the instances that the deliveries name to their end, and returns their IDs.
    async fn enforce_named(
        &mut self,
        reconciler: &Reconciler<'_>,
        batch: &[(usize, &Delivery)],
        on_report: &dyn Fn(InstanceOutcome),
    ) -> BTreeSet<InstanceId> {
        let mut resolver = Resolver::new(&reconciler.client, &reconciler.deadline, batch);
        let (mut handled, mut unfinished) = (BTreeSet::new(), Vec::new());
        {
            let observed =
                stream::unfold(&mut resolver, async |resolver| Some((resolver.next().await?, resolver)));
            let reconciled =
                observed.map(async |observations| reconciler.reconcile(observations, &mut None).await);
            let mut reconciled = pin!(reconciled.buffer_unordered(OBSERVATIONS_AT_ONCE));
            while let Some(reconciliations) = reconciled.next().await {
                for reconciliation in reconciliations {
                    let id = reconciliation.target.id.clone();
                    if reconciliation.state.outcome().is_retryable() {
                        unfinished.push(id.clone());
                    }
                    handled.insert(id);
                    on_report(reconciliation.into_outcome(reconciler.account_region));
                }
            }
        }
        let deliveries = unfinished.iter().flat_map(|id| resolver.deliveries_of(id));
        self.retry.extend(deliveries.map(|delivery| (delivery, Retry::AfterBackoff)));
        resolver.unresolved().into_iter().for_each(|unresolved| self.note(unresolved));
        handled
    }

    async fn sweep(
        &mut self,
        reconciler: &Reconciler<'_>,
        deliveries: &[(usize, &Delivery)],
        handled: &BTreeSet<InstanceId>,
        on_report: &dyn Fn(InstanceOutcome),
    ) {
        let redelivered = deliveries.iter().any(|(_, delivery)| delivery.redelivered);
        let mut sweep = Sweep::default();
        match sweep.run(reconciler, handled, redelivered, on_report).await {
            Ok(()) => self.swept.push(reconciler.account_region.clone()),
            Err(stopped) => {
                self.unresolved.push(stopped.why);
                self.retry.extend(deliveries.iter().map(|(delivery, _)| (*delivery, stopped.retry)));
            }
        }
        let unknown = |id| format!("the sweep skipped an instance whose ID has an unknown form: {id}");
        self.unresolved.extend(sweep.unknown_ids.into_iter().map(unknown));
    }

    /// The result of deliveries whose processing met a defect of the function.
    fn panicked(account_region: &AccountRegion, batch: &[(usize, &Delivery)], text: &str) -> Self {
        let AccountRegion { account, region } = account_region;
        Self {
            unresolved: vec![format!(
                "a defect of the function stopped the work in {account} {region}: {text}"
            )],
            retry: batch.iter().map(|(delivery, _)| (*delivery, Retry::AfterBackoff)).collect(),
            swept: Vec::new(),
        }
    }

    fn note(&mut self, unresolved: Unresolved) {
        self.unresolved.push(unresolved.why);
        if unresolved.retry {
            self.retry.insert(unresolved.delivery, Retry::AfterBackoff);
        }
    }

    fn and(mut self, other: Self) -> Self {
        self.unresolved.extend(other.unresolved);
        self.retry.extend(other.retry);
        self.swept.extend(other.swept);
        self
    }
}
