//! The path from a delivery to an outcome: resolve → decide → apply → verify.

mod allowance;
mod apply;
#[cfg(feature = "fleet")]
mod apply_chosen;
#[cfg(feature = "fleet")]
mod assess;
mod calls;
mod decide;
mod describe;
mod enforced;
mod group;
mod isolated;
mod pages;
mod planned;
mod reconciler;
mod reconciliation;
mod resolve;
mod selected;
mod selection;
mod state;
mod sweep;
mod target;
mod usage;
mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::time::Duration;

use futures_util::{StreamExt, stream};
#[cfg(feature = "fleet")]
use imds_core::call_error::CallError;
use imds_core::ids::{AccountRegion, InstanceId};
use imds_core::mode::Mode;
use imds_core::outcome::InstanceOutcome;
use imds_core::policy::Policy;
use imds_core::selector::InstanceSelector;
#[cfg(feature = "fleet")]
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::aws::client::RegionClient;
use crate::aws::clients::RegionClients;
use crate::deadline::Deadline;
use allowance::Allowance;
#[cfg(feature = "fleet")]
pub use assess::{AskUsage, Assessed, UnknownIds};
pub use enforced::Enforced;
use group::Groups;
use isolated::{Batch, isolated};
pub use planned::{Attempt, Chosen, Hooks, Planned, Sent, Wanted};
use reconciler::Reconciler;
use resolve::Resolver;
use sweep::{Asked, Sweep};
pub use target::{Delivery, Retry};
use usage::UsageReader;

/// The maximum number of accounts and Regions processed concurrently: as many as a batch is likely to name. Most of the
/// time goes to waiting for each one's rate limit.
const ACCOUNT_REGIONS_AT_ONCE: usize = 128;

/// How many sets of instances are worked on at once in an account and Region: those that EC2 returns at once, after each
/// pause, and not at all.
const OBSERVATIONS_AT_ONCE: usize = 4;

/// How long the decisions of one account and Region may take: pages of instances and what CloudWatch knows of them.
#[cfg(feature = "fleet")]
const ASSESSED_WITHIN: Duration = Duration::from_secs(3600);

/// Brings instances to the options that the policy requires.
#[derive(Debug)]
pub struct Enforcer {
    mode: Mode,
    policy: Policy,
    verify_within: Duration,
    clients: RegionClients,
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
                let enforce = async |batch: &Batch<'_>, report: &dyn Fn(InstanceOutcome)| {
                    self.enforce_in(account_region, batch, deadline, report).await
                };
                isolated(account_region, &batch, on_report, enforce).await
            })
            .buffer_unordered(ACCOUNT_REGIONS_AT_ONCE);
        ended.fold(Enforced::default(), |all, ended| async { all.and(ended) }).await
    }

    /// Decides on every instance of the account and Region, page by page, and changes nothing.
    ///
    /// # Errors
    /// The error of DescribeInstances, or that of `on_page`. The pages before it were passed to `on_page`.
    #[cfg(feature = "fleet")]
    pub async fn assess<E: From<CallError>>(
        &self,
        account_region: &AccountRegion,
        usage: AskUsage,
        now: OffsetDateTime,
        on_page: impl AsyncFnMut(Vec<Assessed>, UnknownIds) -> Result<(), E>,
    ) -> Result<(), E> {
        let client = self.clients.get(account_region).await;
        let reconciler = self.reconciler(account_region, client, Deadline::new(now, ASSESSED_WITHIN));
        reconciler.assess(usage, on_page).await
    }

    fn reconciler<'a>(
        &'a self,
        account_region: &'a AccountRegion,
        client: RegionClient,
        deadline: Deadline,
    ) -> Reconciler<'a> {
        let Self { mode, policy, verify_within, .. } = self;
        let (mode, verify_within) = (*mode, *verify_within);
        let (groups, usage) = (Groups::default(), UsageReader::new(client.clone(), deadline));
        Reconciler {
            mode,
            policy,
            verify_within,
            account_region,
            client,
            deadline,
            groups,
            usage,
            hooks: None,
        }
    }

    /// Processes the deliveries of one account and Region.
    async fn enforce_in(
        &self,
        account_region: &AccountRegion,
        batch: &Batch<'_>,
        deadline: Deadline,
        on_report: &dyn Fn(InstanceOutcome),
    ) -> Enforced {
        let client = self.clients.get(account_region).await;
        let reconciler = self.reconciler(account_region, client, deadline);
        let (sweeps, named): (Vec<_>, Vec<_>) =
            batch.iter().partition(|(_, delivery)| delivery.trigger.instances == InstanceSelector::All);
        let mut enforced = Enforced::default();
        let handled = enforce_named(&mut enforced, &reconciler, &named, on_report).await;
        if !sweeps.is_empty() {
            sweep(&mut enforced, &reconciler, &sweeps, &handled, on_report).await;
        }
        enforced
    }
}

/// Brings the instances that the deliveries name to their end, and returns their IDs.
async fn enforce_named(
    enforced: &mut Enforced,
    reconciler: &Reconciler<'_>,
    batch: &[(usize, &Delivery)],
    on_report: &dyn Fn(InstanceOutcome),
) -> BTreeSet<InstanceId> {
    let mut resolver = Resolver::new(&reconciler.client, &reconciler.deadline, batch);
    let (mut handled, mut unfinished) = (BTreeSet::new(), Vec::new());
    {
        let observed =
            stream::unfold(&mut resolver, async |resolver| Some((resolver.next().await?, resolver)));
        let reconciled = observed.map(async |observations| {
            reconciler.reconcile(Instant::now(), observations, &Allowance::default(), |all| all).await
        });
        let mut reconciled = pin!(reconciled.buffer_unordered(OBSERVATIONS_AT_ONCE));
        while let Some(reconciliations) = reconciled.next().await {
            for reconciliation in reconciliations {
                let id = reconciliation.target.id.clone();
                if reconciliation.outcome().is_retryable() {
                    unfinished.push(id.clone());
                }
                handled.insert(id);
                on_report(reconciliation.into_outcome(reconciler.account_region));
            }
        }
    }
    let deliveries = unfinished.iter().flat_map(|id| resolver.deliveries_of(id));
    enforced.retry.extend(deliveries.map(|delivery| (delivery, Retry::AfterBackoff)));
    enforced.unknown_ids += resolver.unknown_ids();
    resolver.unresolved().into_iter().for_each(|unresolved| enforced.note(unresolved));
    handled
}

/// Sweeps the account and Region once for all deliveries that ask for it.
async fn sweep(
    enforced: &mut Enforced,
    reconciler: &Reconciler<'_>,
    deliveries: &Batch<'_>,
    handled: &BTreeSet<InstanceId>,
    on_report: &dyn Fn(InstanceOutcome),
) {
    let first = deliveries.iter().find(|(_, delivery)| !delivery.redelivered).or(deliveries.first());
    let asked = Asked {
        redelivered: deliveries.iter().any(|(_, delivery)| delivery.redelivered),
        is_retried: deliveries.iter().all(|(_, delivery)| delivery.redelivered),
        watch: deliveries.iter().any(|(_, delivery)| delivery.trigger.watch),
        event_id: first.map_or("", |(_, delivery)| &delivery.trigger.event_id),
        handled,
    };
    let mut sweep = Sweep::new(reconciler, asked, on_report);
    match sweep.run().await {
        Ok(()) => enforced.swept.push(reconciler.account_region.clone()),
        Err(stopped) => {
            enforced.unresolved.push(stopped.why);
            enforced.retry.extend(deliveries.iter().map(|(delivery, _)| (*delivery, stopped.retry)));
        }
    }
    if let Some(why) = sweep.why_stopped() {
        enforced.unresolved.push(why);
        enforced.stopped.push(reconciler.account_region.clone());
    }
    let unwatched =
        |error| format!("the sweep cannot tell which calls without a token were refused: {error}");
    enforced.unresolved.extend(sweep.watch_error.take().map(unwatched));
    enforced.unknown_ids += sweep.unknown_ids.len();
    let unknown = |id| format!("the sweep skipped an instance whose ID has an unknown form: {id}");
    enforced.unresolved.extend(sweep.unknown_ids.into_iter().map(unknown));
}
