//! Changed instances → whether the change is applied.

use std::time::Duration;

use imds_core::ids::InstanceId;
use tokio::time::Instant;

use super::describe::{Described, describe};
use super::reconciliation::Reconciliation;
use crate::aws::client::RegionClient;
use crate::deadline::{Deadline, wait_until};

/// The first pause; each further pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Describes all instances that await a description, together and repeatedly, until each has ended, `within` has passed
/// or the deadline allows no further description.
pub(super) async fn verify(
    client: &RegionClient,
    within: Duration,
    deadline: &Deadline,
    reconciliations: &mut [Reconciliation],
) {
    let end = deadline.last_start.max(Instant::now()).min(Instant::now() + within);
    let mut pause = FIRST_PAUSE;
    loop {
        let awaited = awaited(reconciliations);
        if awaited.is_empty() {
            return;
        }
        let describe_at = end.min(Instant::now() + pause);
        wait_until(describe_at).await;
        let described = describe(client, deadline, &awaited).await;
        take(&described, deadline, reconciliations);
        if describe_at >= end {
            for reconciliation in reconciliations {
                reconciliation.give_up(described.failed.get(&reconciliation.target.id));
            }
            return;
        }
        pause *= 2;
    }
}

fn awaited(reconciliations: &[Reconciliation]) -> Vec<InstanceId> {
    let awaited = reconciliations.iter().filter(|one| one.state.is_awaiting_description());
    awaited.map(|one| one.target.id.clone()).collect()
}

fn take(described: &Described, deadline: &Deadline, reconciliations: &mut [Reconciliation]) {
    for reconciliation in reconciliations {
        let id = &reconciliation.target.id;
        if !described.failed.contains_key(id) {
            reconciliation.take_description(described.shown.get(id), deadline.at_present());
        }
    }
}
