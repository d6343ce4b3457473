//! Changed instances → whether the change is in force.

use std::time::Duration;

use imds_core::ids::InstanceId;
use tokio::time::Instant;

use super::describe::{Look, look};
use super::reconciliation::{Case, Step};
use crate::aws::client::Ec2;
use crate::deadline::{Times, wait_until};

/// The first pause; each further one is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Looks at all cases that await it, together and again and again, until each has ended or `within` is over, or the
/// time that allows another look.
pub(super) async fn verify(ec2: &Ec2, within: Duration, times: &Times, cases: &mut [Case]) {
    let end = times.last_start.max(Instant::now()).min(Instant::now() + within);
    let mut pause = FIRST_PAUSE;
    loop {
        let awaited = awaited(cases);
        if awaited.is_empty() {
            return;
        }
        let look_at = end.min(Instant::now() + pause);
        wait_until(look_at).await;
        let look = look(ec2, times, &awaited).await;
        take(&look, times, cases);
        if look_at >= end {
            cases.iter_mut().for_each(|case| case.time_is_up(look.refused.get(&case.subject.id)));
            return;
        }
        pause *= 2;
    }
}

fn awaited(cases: &[Case]) -> Vec<InstanceId> {
    let is_awaited = |case: &&Case| matches!(case.step, Step::Verify(_) | Step::LookOnce(_));
    cases.iter().filter(is_awaited).map(|case| case.subject.id.clone()).collect()
}

fn take(look: &Look, times: &Times, cases: &mut [Case]) {
    for case in cases.iter_mut().filter(|case| !look.refused.contains_key(&case.subject.id)) {
        case.looked(look.shown.get(&case.subject.id), times.at_present());
    }
}
