//! The sweep: every instance of an account and Region, page by page.

use std::collections::BTreeSet;

use futures_util::future::join;
use imds_core::call_error::{Call, CallError};
use imds_core::ids::{AccountRegion, InstanceId};
use imds_core::instance::Instance;
use imds_core::mode::Mode;
use imds_core::outcome::InstanceOutcome;
use imds_core::selector::InstanceSelector;
use imds_core::trigger::TriggerKind;
use time::Duration;
use tokio::time::Instant;

use super::allowance::{Allowance, TooManyFailures};
use super::describe::describe;
use super::reconciler::{Reconciler, open};
use super::reconciliation::Reconciliation;
use super::selected::Selected;
use super::target::{Observation, Retry, Target};
use super::watch::{rejected_calls, watched};
use crate::deadline::Deadline;

/// The maximum number of selected instances that are changed together: those of a page.
const SELECTED_AT_ONCE: usize = 1000;

/// What stopped a sweep.
#[derive(Debug)]
pub(super) struct Stopped {
    /// In one sentence.
    pub(super) why: String,
    pub(super) retry: Retry,
}

/// What the deliveries of a sweep ask for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    /// Whether one of them is a redelivery.
    pub(super) redelivered: bool,
    /// Whether to ask which calls without a token were refused.
    pub(super) watch: bool,
    /// The ID of the event.
    pub(super) event_id: &'a str,
    /// The instances that other deliveries of the batch named.
    pub(super) handled: &'a BTreeSet<InstanceId>,
}

/// A sweep of one account and Region.
pub(super) struct Sweep<'a> {
    reconciler: &'a Reconciler<'a>,
    asked: Asked<'a>,
    on_report: &'a dyn Fn(InstanceOutcome),
    allowance: Allowance,
    /// The changes that are made at the end, if the policy limits them.
    selected: Option<Selected<'a>>,
    /// How many changes EC2 accepted.
    changes: usize,
    /// IDs of a form that is not known, which nobody can act on.
    pub(super) unknown_ids: Vec<String>,
    /// Why calls that were refused are not known.
    pub(super) watch_error: Option<CallError>,
    /// Whether CloudWatch answered nothing about a page, so that it is not asked about the others: each may take a minute.
    is_watch_over: bool,
}

impl<'a> Sweep<'a> {
    pub(super) fn new(
        reconciler: &'a Reconciler<'a>,
        asked: Asked<'a>,
        on_report: &'a dyn Fn(InstanceOutcome),
    ) -> Self {
        let limits = reconciler.policy.limits();
        // An earlier delivery may have made all changes that the limits allow.
        let is_over = asked.redelivered && limits != Default::default();
        let most = if is_over { Some(0) } else { limits.changes_per_sweep };
        let selected = most.map(|most| Selected::new(asked.event_id, most));
        let allowance = Allowance::of_sweep(limits);
        Self {
            reconciler,
            asked,
            on_report,
            allowance,
            selected,
            changes: 0,
            unknown_ids: Vec::new(),
            watch_error: None,
            is_watch_over: false,
        }
    }

    /// Sweeps the account and Region.
    ///
    /// A redelivered sweep starts from the first page. It finds the changed instances compliant and verifies them.
    ///
    /// # Errors
    /// What stopped the sweep. The outcomes of single instances do not: the next sweep retries them.
    pub(super) async fn run(&mut self) -> Result<(), Stopped> {
        let listed = self.list().await;
        self.change_selected().await;
        match listed {
            // Instances whose turn did not come are left to the retry.
            Ok(()) if is_over(&self.reconciler.deadline) => Err(self.out_of_time()),
            listed => listed,
        }
    }

    /// Returns why no more changes were sent, if as many failed as the policy allows.
    pub(super) fn why_stopped(&self) -> Option<String> {
        let TooManyFailures(most) = self.allowance.stopped()?;
        let AccountRegion { account, region } = self.reconciler.account_region;
        Some(format!(
            "the sweep of {account} {region} sent no more changes after {most} were failed or denied \
             (limits.failuresPerSweep)"
        ))
    }

    async fn list(&mut self) -> Result<(), Stopped> {
        let Reconciler { client, deadline, .. } = self.reconciler;
        let ends = self.listing_ends();
        let mut token = None;
        loop {
            if Instant::now() >= ends {
                return Err(self.out_of_time());
            }
            let listed = client.page(&InstanceSelector::All, token);
            let page = deadline.bound(Call::DescribeInstances, listed).await.map_err(not_listed)?;
            self.unknown_ids.extend(page.listed.unknown_ids);
            self.take(page.listed.instances).await;
            match page.next {
                Some(next) => token = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// Reserves half of the time for changes that follow the listing.
    fn listing_ends(&self) -> Instant {
        let (now, last_start) = (Instant::now(), self.reconciler.deadline.last_start);
        match &self.selected {
            Some(_) => now + last_start.saturating_duration_since(now) / 2,
            None => last_start,
        }
    }

    /// Takes a page of instances. The changes do not wait for the answers about refused calls.
    async fn take(&mut self, instances: Vec<Instance>) {
        let Reconciler { client, deadline, .. } = self.reconciler;
        let is_watched = self.asked.watch && !self.is_watch_over;
        let watched = if is_watched { watched(&instances) } else { Vec::new() };
        let is_new = |instance: &Instance| !self.asked.handled.contains(&instance.id);
        let observed = |instance: Instance| (self.target(&instance.id), Observation::Shown(instance));
        let observations = instances.into_iter().filter(is_new).map(observed).collect();
        let rejected = rejected_calls(client, deadline, &watched);
        let (mut reconciliations, (rejected, error)) = join(self.reconcile(observations), rejected).await;
        for reconciliation in &mut reconciliations {
            if let Some(calls) = rejected.get(&reconciliation.target.id) {
                reconciliation.take_rejected_calls(*calls);
            }
        }
        self.is_watch_over |= error.is_some() && rejected.is_empty();
        self.watch_error = self.watch_error.take().or(error);
        self.report(reconciliations);
    }

    async fn reconcile(&mut self, observations: Vec<(Target, Observation)>) -> Vec<Reconciliation> {
        match &self.selected {
            None => self.reconciler.reconcile(observations, &self.allowance).await,
            Some(_) => self.reconcile_unlimited(observations).await,
        }
    }

    /// Reconciles what no limit concerns, and puts changes aside.
    async fn reconcile_unlimited(&mut self, observations: Vec<(Target, Observation)>) -> Vec<Reconciliation> {
        let context = self.reconciler.context(&observations).await;
        let mut unlimited = self.select(open(observations, &context));
        self.reconciler.finish(&mut unlimited, &context, &self.allowance).await;
        unlimited
    }

    fn target(&self, id: &InstanceId) -> Target {
        let target = Target::new(id.clone(), TriggerKind::Sweep, Duration::ZERO);
        Target { redelivered: self.asked.redelivered, ..target }
    }

    /// Puts changes aside. Returns the instances that can be finished now.
    fn select(&mut self, reconciliations: Vec<Reconciliation>) -> Vec<Reconciliation> {
        let Some(selected) = &mut self.selected else { return reconciliations };
        let is_limited = |one: &Reconciliation| one.mode == Mode::Enforce && one.state.due().is_some();
        let (limited, mut others): (Vec<_>, Vec<_>) = reconciliations.into_iter().partition(is_limited);
        let why = why_deferred(self.asked.redelivered, self.reconciler.policy.limits().changes_per_sweep);
        for mut deferred in limited.into_iter().filter_map(|one| selected.offer(one)) {
            deferred.defer(why.clone());
            others.push(deferred);
        }
        others
    }

    /// Makes the selected changes. The instances are described again, as others may have changed them during the listing.
    async fn change_selected(&mut self) {
        let Some(selected) = self.selected.take() else { return };
        let Reconciler { client, deadline, .. } = self.reconciler;
        let ids: Vec<InstanceId> = selected.into_instances().map(|one| one.target.id).collect();
        for ids in ids.chunks(SELECTED_AT_ONCE) {
            let mut described = describe(client, deadline, ids).await;
            let mut observation = |id| described.take(id).unwrap_or(Observation::NotShown);
            let observations = ids.iter().map(|id| (self.target(id), observation(id))).collect();
            let reconciliations = self.reconciler.reconcile(observations, &self.allowance).await;
            self.report(reconciliations);
        }
    }

    fn report(&mut self, reconciliations: Vec<Reconciliation>) {
        for reconciliation in reconciliations {
            self.changes += usize::from(reconciliation.is_changed());
            (self.on_report)(reconciliation.into_outcome(self.reconciler.account_region));
        }
    }

    /// Retries at once if this delivery made a change and the policy has no limits; otherwise with backoff.
    fn out_of_time(&self) -> Stopped {
        let is_limited = self.reconciler.policy.limits() != Default::default();
        let retry = if self.changes > 0 && !is_limited { Retry::AtOnce } else { Retry::AfterBackoff };
        Stopped { why: "the sweep ran out of time and will be retried".to_owned(), retry }
    }
}

fn why_deferred(redelivered: bool, most: Option<usize>) -> String {
    match most {
        Some(most) if !redelivered => {
            format!(
                "the sweep changes at most {most} instances (limits.changesPerSweep): the next sweep goes on"
            )
        }
        _ => "a retried sweep with limits changes nothing more: the next sweep goes on".to_owned(),
    }
}

fn not_listed(error: CallError) -> Stopped {
    Stopped { why: format!("the sweep cannot list the instances: {error}"), retry: Retry::AfterBackoff }
}

fn is_over(deadline: &Deadline) -> bool {
    !deadline.allows(std::time::Duration::ZERO)
}
