//! Decisions → calls.

use futures_util::{StreamExt, stream};
use imds_core::instance::OptionsState;
use imds_core::metadata::{Change, MetadataOptions, OptionName};
use imds_core::outcome::{Call, Mode, Outcome, Refusal};

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
    let Some(answer) = ask(reach, mode, times, case, &change).await else { return case.out_of_time() };
    let is_refused = answer.as_ref().is_err_and(|refusal| case.outcome_of(refusal) == Outcome::Blocked);
    if is_refused && can_be_split(&change) {
        return send_one_by_one(reach, mode, times, case, &change).await;
    }
    case.answered(mode, answer);
}

/// Whether one option's refusal need not keep the others back. Where IMDS is switched on, they depend on that.
fn can_be_split(change: &Change) -> bool {
    change.options().iter().count() > 1 && change.options().get(OptionName::HttpEndpoint).is_none()
}

/// Sends each option alone, when EC2 refuses all of them together and does not say because of which.
async fn send_one_by_one(reach: &Reach, mode: Mode, times: &Times, case: &mut Case, change: &Change) {
    let mut accepted = MetadataOptions::default();
    let mut last = None;
    for value in change.options().iter() {
        let Some(one) = Change::new(MetadataOptions::from_iter([value])) else { continue };
        let Some(answer) = ask(reach, mode, times, case, &one).await else { return case.out_of_time() };
        match answer {
            Err(refusal) => match case.outcome_of(&refusal) {
                Outcome::Blocked => case.left_out(value, &refusal),
                Outcome::WouldEnforce => {
                    accepted.set(value);
                    last = Some(Err(refusal));
                }
                // What is left comes again with a retry, if one helps.
                _ => return case.answered(mode, Err(refusal)),
            },
            Ok(state) => {
                accepted.set(value);
                last = Some(Ok(state));
            }
        }
    }
    match (Change::new(accepted), last) {
        (Some(accepted), Some(answer)) => case.narrowed(accepted, mode, answer),
        _ => case.step = Step::Ended(Outcome::Blocked),
    }
}

/// Asks EC2 for a change when its turn has come; `None` where the invocation ends before.
async fn ask(
    reach: &Reach,
    mode: Mode,
    times: &Times,
    case: &Case,
    change: &Change,
) -> Option<Result<Option<OptionsState>, Refusal>> {
    tokio::time::sleep_until(reach.pacer.take(times.last_start)?).await;
    let modify = reach.ec2.modify(&case.subject.id, change, mode);
    Some(times.bound(Call::ModifyInstanceMetadataOptions, modify).await)
}
