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

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use imds_core::ids::{AccountRegion, InstanceId};
use imds_core::mode::Mode;
use imds_core::outcome::InstanceOutcome;
use imds_core::policy::Policy;
use imds_core::selector::InstanceSelector;

use crate::aws::clients::RegionClients;
use crate::deadline::Deadline;
use caught::caught;
use reconciler::Reconciler;
use resolve::Resolver;
use sweep::Sweep;
use target::Unresolved;
pub use target::{Delivery, Retry};

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
    /// How many instances have an ID of a form that is not known, so that nobody acts on them.
    pub unknown_ids: usize,
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
                self.enforce_isolated(account_region, &batch, deadline, on_report).await
            })
            .buffer_unordered(ACCOUNT_REGIONS_AT_ONCE);
        ended.fold(Enforced::default(), |all, ended| async { all.and(ended) }).await
    }

    /// Processes the deliveries of one account and Region. A panic does not stop other accounts and Regions. After it, the
    /// deliveries are processed again by halves, so that only the one that meets the defect is retried. They count as
    /// redelivered then, as changes may be unverified.
    async fn enforce_isolated(
        &self,
        account_region: &AccountRegion,
        batch: &[(usize, &Delivery)],
        deadline: Deadline,
        on_report: &dyn Fn(InstanceOutcome),
    ) -> Enforced {
        let ended = RefCell::new(BTreeSet::new());
        // An instance that has ended is reported once.
        let report = |outcome: InstanceOutcome| {
            let (id, is_ended) = (outcome.instance_id.clone(), !outcome.outcome.is_retryable());
            if !ended.borrow().contains(&id) {
                on_report(outcome);
                is_ended.then(|| ended.borrow_mut().insert(id));
            }
        };
        let try_with = async |batch: &[(usize, &Delivery)]| {
            caught(self.enforce_in(account_region, batch, deadline, &report)).await
        };
        let again = match try_with(batch).await {
            Ok(enforced) => return enforced,
            Err(panic) if batch.len() == 1 => return Enforced::panicked(account_region, batch, &panic),
            Err(_) => batch.iter().map(|(index, delivery)| (*index, delivery.redelivered())),
        };
        let again: Vec<(usize, Delivery)> = again.collect();
        let again: Vec<(usize, &Delivery)> =
            again.iter().map(|(index, delivery)| (*index, delivery)).collect();
        let (mut all, mut parts) = (Enforced::default(), halves(&again));
        while let Some(part) = parts.pop() {
            match try_with(part).await {
                Ok(enforced) => all = all.and(enforced),
                Err(panic) if part.len() == 1 => {
                    all = all.and(Enforced::panicked(account_region, part, &panic))
                }
                Err(_) => parts.extend(halves(part)),
            }
        }
        all
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

fn halves<T>(all: &[T]) -> Vec<&[T]> {
    let (first, second) = all.split_at(all.len() / 2);
    vec![first, second]
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
        self.unknown_ids += resolver.unknown_ids();
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
        self.unknown_ids += sweep.unknown_ids.len();
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
            ..Self::default()
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
        self.unknown_ids += other.unknown_ids;
        self
    }
}
