//! Decisions → calls.

use futures_util::{StreamExt, stream};
use imds_core::outcome::{Call, Mode};

use super::case::{Case, Step};
use crate::accounts::Reach;
use crate::times::Times;

/// How many changes to one account and Region are under way at once.
const CHANGES_AT_ONCE: usize = 20;

/// How many changes EC2 may still be asked for.
#[derive(Debug)]
pub(super) struct Budget(Option<usize>);

impl Budget {
    /// As many as there are.
    pub(super) fn unlimited() -> Self {
        Self(None)
    }

    /// At most so many.
    pub(super) fn of(most: usize) -> Self {
        Self(Some(most))
    }

    fn take(&mut self) -> bool {
        match &mut self.0 {
            None => true,
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
        }
    }
}

/// Sends the changes that are due, within pace, time and budget. One that fails stops no other.
pub(super) async fn act(reach: &Reach, mode: Mode, times: &Times, budget: &mut Budget, cases: &mut [Case]) {
    let due = cases.iter_mut().filter(|case| matches!(case.step, Step::Act(_)));
    let mut sent = Vec::new();
    for case in due {
        if budget.take() {
            sent.push(case);
        } else {
            case.decided_only();
        }
    }
    stream::iter(sent).for_each_concurrent(CHANGES_AT_ONCE, |case| send(reach, mode, times, case)).await;
}

async fn send(reach: &Reach, mode: Mode, times: &Times, case: &mut Case) {
    let Step::Act(change) = case.step else { return };
    let Some(usable) = reach.pacer.take(times.last_start) else { return case.out_of_time() };
    tokio::time::sleep_until(usable).await;
    let modify = reach.ec2.modify(&case.subject.id, &change, mode);
    let answer = times.bound(Call::ModifyInstanceMetadataOptions, modify).await;
    case.answered(mode, answer);
}
