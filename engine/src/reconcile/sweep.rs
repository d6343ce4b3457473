//! The sweep: every instance of an account and Region, page by page.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join;
use imds_core::call_error::CallError;
use imds_core::ids::{AccountRegion, InstanceId};
use imds_core::instance::Instance;
use imds_core::mode::Mode;
use imds_core::outcome::InstanceOutcome;
use imds_core::policy::Limits;
use imds_core::trigger::TriggerKind;
use time::Duration;
use tokio::time::Instant;

use super::allowance::{Allowance, TooManyFailures};
use super::describe::describe;
use super::pages::{Page, Pages};
use super::reconciler::Reconciler;
use super::reconciliation::Reconciliation;
use super::selected::Selected;
use super::target::{Observation, Retry, Target};
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
    /// Whether one of them is a redelivery, so that an earlier one may have made changes that are not verified.
    pub(super) redelivered: bool,
    /// Whether all of them are, so that an earlier one may have made all changes that the limits allow.
    pub(super) is_retried: bool,
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
    selected: Option<RefCell<Selected<'a>>>,
    /// The calls without a token that were refused, of the instances that are not reported yet.
    rejected_calls: BTreeMap<InstanceId, u64>,
    /// How many changes EC2 accepted.
    changes: usize,
    /// IDs of a form that is not known, which nobody can act on.
    pub(super) unknown_ids: Vec<String>,
    /// Why calls that were refused are not known.
    pub(super) watch_error: Option<CallError>,
}

impl<'a> Sweep<'a> {
    pub(super) fn new(
        reconciler: &'a Reconciler<'a>,
        asked: Asked<'a>,
        on_report: &'a dyn Fn(InstanceOutcome),
    ) -> Self {
        let limits = reconciler.policy.limits();
        let allowance = Allowance::of_sweep(limits);
        let most = |most| if asked.is_retried { 0 } else { most };
        let selected = |changes| RefCell::new(Selected::new(asked.event_id, most(changes)));
        let selected = limits.most_changes().map(selected);
        Self {
            reconciler,
            asked,
            on_report,
            allowance,
            selected,
            changes: 0,
            unknown_ids: Vec::new(),
            watch_error: None,
            rejected_calls: BTreeMap::new(),
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

    /// Takes all pages. Each after the first is requested ahead, while the page before it is worked on, so that EC2's and
    /// CloudWatch's answers arrive at the same time.
    async fn list(&mut self) -> Result<(), Stopped> {
        let ends = self.listing_ends();
        let mut pages = Pages::new(self.reconciler);
        while !pages.is_over() {
            if Instant::now() >= ends {
                return Err(pages.take_error().map_or_else(|| self.out_of_time(), not_listed));
            }
            let page = pages.next().await.map_err(not_listed)?;
            join(self.take(page), pages.request_ahead(ends)).await;
        }
        Ok(())
    }

    /// Reserves half of the time for changes that follow the listing.
    fn listing_ends(&self) -> Instant {
        let (now, last_start) = (Instant::now(), self.reconciler.deadline.last_start);
        match &self.selected {
            Some(_) if !self.asked.is_retried => now + last_start.saturating_duration_since(now) / 2,
            _ => last_start,
        }
    }

    /// Takes a page of instances. The changes do not wait for the answers about refused calls.
    async fn take(&mut self, page: Page) {
        let Page { mut instances, unknown_ids, described_at } = page;
        self.unknown_ids.extend(unknown_ids);
        instances.retain(|instance| !self.asked.handled.contains(&instance.id));
        let watched = if self.asked.watch { watched(&instances) } else { Vec::new() };
        let observed = |instance: Instance| (self.target(&instance.id), Observation::Shown(instance));
        let observations = instances.into_iter().map(observed).collect();
        let put_aside = |reconciliations| self.put_aside(reconciliations);
        let reconciled = self.reconciler.reconcile(described_at, observations, &self.allowance, put_aside);
        let (reconciliations, rejected) =
            join(reconciled, self.reconciler.usage.rejected_calls(&watched)).await;
        for (id, answer) in rejected {
            match answer {
                Ok(0) => {}
                Ok(calls) => _ = self.rejected_calls.insert(id, calls),
                Err(error) => _ = self.watch_error.get_or_insert(error),
            }
        }
        self.report(reconciliations);
    }

    fn target(&self, id: &InstanceId) -> Target {
        let target = Target::new(id.clone(), TriggerKind::Sweep, Duration::ZERO);
        Target { redelivered: self.asked.redelivered, is_watched: self.asked.watch, ..target }
    }

    /// Puts changes aside if the policy has limits. Returns the instances that can be finished now.
    fn put_aside(&self, reconciliations: Vec<Reconciliation>) -> Vec<Reconciliation> {
        let Some(selected) = &self.selected else { return reconciliations };
        let is_limited = |one: &Reconciliation| one.mode == Mode::Enforce && one.state.due().is_some();
        let (limited, mut others): (Vec<_>, Vec<_>) = reconciliations.into_iter().partition(is_limited);
        let mut selected = selected.borrow_mut();
        for mut deferred in limited.into_iter().filter_map(|one| selected.offer(one)) {
            deferred.defer(self.why_deferred());
            others.push(deferred);
        }
        others
    }

    fn why_deferred(&self) -> String {
        let most = self.reconciler.policy.limits().changes_per_sweep;
        match most {
            _ if self.asked.is_retried => {
                "a retried sweep with limits changes nothing more: the next sweep goes on".to_owned()
            }
            Some(most) => {
                format!(
                    "the sweep changes at most {most} instances (limits.changesPerSweep): the next sweep goes on"
                )
            }
            None => {
                format!(
                    "a sweep with limits changes at most {} instances: the next sweep goes on",
                    Limits::MOST_CHANGES
                )
            }
        }
    }

    /// Makes the selected changes. The instances are described again, as others may have changed them during the listing.
    async fn change_selected(&mut self) {
        let Some(selected) = self.selected.take() else { return };
        let Reconciler { client, deadline, .. } = self.reconciler;
        let ids: Vec<InstanceId> = selected.into_inner().into_ids().collect();
        for ids in ids.chunks(SELECTED_AT_ONCE) {
            let mut described = describe(client, deadline, ids).await;
            let mut observation = |id| described.take(id).unwrap_or(Observation::NotShown);
            let observations = ids.iter().map(|id| (self.target(id), observation(id))).collect();
            let described_at = Instant::now();
            let reconciled =
                self.reconciler.reconcile(described_at, observations, &self.allowance, |all| all).await;
            self.report(reconciled);
        }
    }

    fn report(&mut self, reconciliations: Vec<Reconciliation>) {
        for mut reconciliation in reconciliations {
            if let Some(calls) = self.rejected_calls.remove(&reconciliation.target.id) {
                reconciliation.take_rejected_calls(calls);
            }
            self.changes += usize::from(reconciliation.is_changed());
            (self.on_report)(reconciliation.into_outcome(self.reconciler.account_region));
        }
    }

    /// Retries at once if this delivery made a change and the policy has no limits; otherwise with backoff.
    fn out_of_time(&self) -> Stopped {
        let retry = if self.changes > 0 && !self.allowance.is_limited() {
            Retry::AtOnce
        } else {
            Retry::AfterBackoff
        };
        Stopped { why: "the sweep ran out of time and will be retried".to_owned(), retry }
    }
}

/// Returns the instances that require tokens, so that calls without a token are refused.
fn watched(instances: &[Instance]) -> Vec<InstanceId> {
    let is_watched = |instance: &&Instance| instance.options.require_tokens() && !instance.is_ending();
    instances.iter().filter(is_watched).map(|instance| instance.id.clone()).collect()
}

fn not_listed(error: CallError) -> Stopped {
    Stopped { why: format!("the sweep cannot list the instances: {error}"), retry: Retry::AfterBackoff }
}

fn is_over(deadline: &Deadline) -> bool {
    !deadline.allows(std::time::Duration::ZERO)
}
