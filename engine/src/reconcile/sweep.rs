//! Every instance of an account and Region, page by page.

use std::collections::BTreeSet;
use std::time::Duration;

use imds_core::ids::InstanceId;
use imds_core::instance::Instance;
use imds_core::outcome::{Call, Mode, Outcome};
use imds_core::trigger::{Named, TriggerKind};

use super::Site;
use super::apply::Budget;
use super::resolve::{Sight, Subject};

/// How many changes a dry-run sweep asks EC2 for: enough to try the permissions, without taking the account's calls.
const DRY_RUNS: usize = 50;

impl Site<'_> {
    /// Sweeps the place, without the instances that are handled already.
    ///
    /// What is done stays done: a retry, which is `redelivered`, finds those instances compliant, and verifies them.
    ///
    /// # Errors
    /// What stopped the sweep, in a sentence.
    pub(super) async fn sweep(
        &self,
        handled: &BTreeSet<InstanceId>,
        redelivered: bool,
    ) -> Result<(), String> {
        let mut budget = (self.enforcer.mode == Mode::DryRun).then_some(DRY_RUNS);
        let mut token = None;
        loop {
            if self.is_over() {
                return Err("the sweep ran out of time and goes on at the retry".to_owned());
            }
            let listed = self.reach.ec2.page(&Named::All, token);
            let listed = self.times.bound(Call::DescribeInstances, listed).await;
            let page = listed.map_err(|refusal| format!("the sweep cannot list the instances: {refusal}"))?;
            let is_new = |instance: &Instance| !handled.contains(&instance.id);
            let sight =
                |instance: Instance| (subject(instance.id.clone(), redelivered), Sight::Shown(instance));
            let sights = page.instances.into_iter().filter(is_new).map(sight).collect();
            if self.sweep_page(sights, &mut budget).await {
                return Err("the sweep was throttled or ran out of time, and goes on at the retry".to_owned());
            }
            match page.next {
                Some(next) => token = Some(next),
                None => return Ok(()),
            }
        }
    }

    fn is_over(&self) -> bool {
        !self.times.allows(Duration::ZERO)
    }

    /// Returns whether changes are left that pace or time did not allow.
    async fn sweep_page(&self, sights: Vec<(Subject, Sight)>, budget: &mut Budget) -> bool {
        let mut is_stopped = false;
        for case in self.take_to_the_end(sights, budget).await {
            let outcome = case.outcome();
            is_stopped |= outcome == Outcome::Throttled || (outcome.is_retryable() && self.is_over());
            (self.report)(case.into_report(self.place));
        }
        is_stopped
    }
}

/// An instance of a sweep. Its outcome fails no record: what is left waits for the next sweep.
fn subject(id: InstanceId, redelivered: bool) -> Subject {
    Subject {
        id,
        kind: TriggerKind::Sweep,
        nudges: BTreeSet::new(),
        age: time::Duration::ZERO,
        redelivered,
        attempts: 0,
    }
}
