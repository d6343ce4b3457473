//! Decisions → calls.

use futures_util::{StreamExt, stream};
use imds_core::instance::OptionsState;
use imds_core::metadata::{Change, HttpTokens, MetadataOptions, OptionName, OptionValue};
use imds_core::outcome::{Call, Mode, Outcome, Refusal};

use super::case::{Case, Step};
use crate::accounts::Reach;
use crate::times::Times;

/// How many changes to one account and Region are under way at once.
const CHANGES_AT_ONCE: usize = 20;

/// The one value that the function's role may be kept from setting.
const OPTIONAL: OptionValue = OptionValue::HttpTokens(HttpTokens::Optional);

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
    let sender = &Sender { reach, mode, times };
    stream::iter(sent).for_each_concurrent(CHANGES_AT_ONCE, |case| sender.send(case)).await;
}

/// The way to EC2.
struct Sender<'a> {
    reach: &'a Reach,
    mode: Mode,
    times: &'a Times,
}

impl Sender<'_> {
    async fn send(&self, case: &mut Case) {
        let Step::Act(change) = case.step else { return };
        let Some(answer) = self.ask(case, &change).await else { return case.out_of_time() };
        match answer.as_ref().err().and_then(|refusal| worth_alone(case, &change, refusal)) {
            Some(values) => self.send_one_by_one(case, values).await,
            None => case.answered(self.mode, answer),
        }
    }

    async fn send_one_by_one(&self, case: &mut Case, values: Vec<OptionValue>) {
        let mut accepted = MetadataOptions::default();
        let mut last = Step::Ended(Outcome::Blocked);
        for value in values {
            let Some(one) = Change::new(MetadataOptions::from_iter([value])) else { continue };
            match self.ask(case, &one).await {
                None => case.out_of_time(),
                Some(Err(refusal)) if case.outcome_of(&refusal) == Outcome::Blocked => {
                    case.left_out(value, &refusal);
                    continue;
                }
                Some(answer) => case.answered(self.mode, answer),
            }
            last = case.step.clone();
            if !matches!(last, Step::Verify(_) | Step::Ended(Outcome::WouldEnforce)) {
                // What is left comes again with a retry, if one helps.
                break;
            }
            accepted.set(value);
        }
        case.sent_one_by_one(self.mode, accepted, last);
    }

    /// Asks EC2 for a change when its turn has come; `None` where the invocation ends before.
    async fn ask(&self, case: &Case, change: &Change) -> Option<Result<Option<OptionsState>, Refusal>> {
        let Self { reach, mode, times } = self;
        tokio::time::sleep_until(reach.pacer.take(times.last_start)?).await;
        let modify = reach.ec2.modify(&case.subject.id, change, *mode);
        Some(times.bound(Call::ModifyInstanceMetadataOptions, modify).await)
    }
}

/// The options to send each alone, as EC2 refuses all of them together and does not say because of which; `None`
/// where that would help none of them. Where IMDS is switched on, they depend on that.
fn worth_alone(case: &mut Case, change: &Change, refusal: &Refusal) -> Option<Vec<OptionValue>> {
    let values: Vec<OptionValue> = change.options().iter().collect();
    if values.len() < 2 || change.options().get(OptionName::HttpEndpoint).is_some() {
        return None;
    }
    match case.outcome_of(refusal) {
        Outcome::Blocked => Some(values),
        // A guard in IAM, such as the template's, denies a change for this value alone.
        Outcome::Denied if values.contains(&OPTIONAL) => {
            case.left_out(OPTIONAL, refusal);
            Some(values.into_iter().filter(|value| *value != OPTIONAL).collect())
        }
        _ => None,
    }
}
