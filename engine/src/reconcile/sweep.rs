//! The sweep: every instance of an account and Region, page by page.

use std::collections::BTreeSet;

use imds_core::call_error::{Call, CallError};
use imds_core::ids::InstanceId;
use imds_core::instance::Instance;
use imds_core::mode::Mode;
use imds_core::outcome::InstanceOutcome;
use imds_core::selector::InstanceSelector;
use imds_core::trigger::TriggerKind;
use time::Duration;

use super::reconciler::Reconciler;
use super::target::{Observation, Retry, Target};
use crate::deadline::Deadline;

/// The maximum number of changes that a dry-run sweep sends to EC2: enough to test the permissions without using up the
/// account's rate limit.
const DRY_RUNS: usize = 50;

/// What stopped a sweep.
#[derive(Debug)]
pub(super) struct Stopped {
    /// In one sentence.
    pub(super) why: String,
    pub(super) retry: Retry,
}

/// What a sweep does beside the outcomes of its instances.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    /// How many changes EC2 accepted.
    changes: usize,
    /// IDs of a form that is not known, which nobody can act on.
    pub(super) unknown_ids: Vec<String>,
}

impl Sweep {
    /// Sweeps the account and Region, except the instances that are `handled` already.
    ///
    /// A retry, which is `redelivered`, starts from the first page. It finds the changed instances compliant and verifies
    /// them.
    ///
    /// # Errors
    /// What stopped the sweep. The outcomes of single instances do not: the next sweep retries them.
    pub(super) async fn run(
        &mut self,
        reconciler: &Reconciler<'_>,
        handled: &BTreeSet<InstanceId>,
        redelivered: bool,
        on_report: &dyn Fn(InstanceOutcome),
    ) -> Result<(), Stopped> {
        let mut budget = (reconciler.mode == Mode::DryRun).then_some(DRY_RUNS);
        let mut token = None;
        loop {
            if is_over(&reconciler.deadline) {
                return Err(self.out_of_time());
            }
            let listed = reconciler.client.page(&InstanceSelector::All, token);
            let page =
                reconciler.deadline.bound(Call::DescribeInstances, listed).await.map_err(not_listed)?;
            self.unknown_ids.extend(page.listed.unknown_ids);
            let is_new = |instance: &Instance| !handled.contains(&instance.id);
            let observation = |instance: Instance| {
                let target = Target {
                    redelivered,
                    ..Target::new(instance.id.clone(), TriggerKind::Sweep, Duration::ZERO)
                };
                (target, Observation::Shown(instance))
            };
            let observations = page.listed.instances.into_iter().filter(is_new).map(observation).collect();
            for reconciliation in reconciler.reconcile(observations, &mut budget).await {
                self.changes += usize::from(reconciliation.is_changed());
                on_report(reconciliation.into_outcome(reconciler.account_region));
            }
            match page.next {
                Some(next) => token = Some(next),
                // Instances whose turn did not come are left to the retry.
                None if is_over(&reconciler.deadline) => return Err(self.out_of_time()),
                None => return Ok(()),
            }
        }
    }

    /// Retries at once if this delivery made a change; otherwise with backoff.
    fn out_of_time(&self) -> Stopped {
        let retry = if self.changes > 0 { Retry::AtOnce } else { Retry::AfterBackoff };
        Stopped { why: "the sweep ran out of time and will be retried".to_owned(), retry }
    }
}

fn not_listed(error: CallError) -> Stopped {
    Stopped { why: format!("the sweep cannot list the instances: {error}"), retry: Retry::AfterBackoff }
}

fn is_over(deadline: &Deadline) -> bool {
    !deadline.allows(std::time::Duration::ZERO)
}
