//! The use of IMDSv1, as CloudWatch has it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use imds_core::call_error::CallError;
use imds_core::ids::InstanceId;
use imds_core::usage::Usage;
use time::Date;

use crate::aws::client::RegionClient;
use crate::deadline::Deadline;

/// How long to wait for the answer to one question: all retries of a throttle included.
const WITHIN: Duration = Duration::from_secs(30);

/// If CloudWatch answers about none of so many instances in a row, it is not asked the same question again in this
/// invocation.
const DOWN_AFTER: usize = 10;

/// The answer about each instance.
type Answers<T> = BTreeMap<InstanceId, Result<T, CallError>>;

/// Asks CloudWatch about the instances of an account and Region, during one invocation.
#[derive(Debug)]
pub(super) struct UsageReader {
    client: RegionClient,
    deadline: Deadline,
    without_token: Unanswered,
    rejected: Unanswered,
}

/// How many instances in a row had no answer to a question, and the last error.
#[derive(Debug, Default)]
struct Unanswered(RefCell<(usize, Option<CallError>)>);

impl Unanswered {
    /// Returns why the question is not asked again, if so.
    fn down(&self) -> Option<CallError> {
        let (count, error) = &*self.0.borrow();
        error.clone().filter(|_| *count >= DOWN_AFTER)
    }

    /// Takes the answers to the question. A few results may be incomplete without any outage.
    fn take<T>(&self, answers: &Answers<T>) {
        let mut unanswered = self.0.borrow_mut();
        match answers.values().next_back() {
            Some(Err(error)) if answers.values().all(Result::is_err) => {
                *unanswered = (unanswered.0 + answers.len(), Some(error.clone()));
            }
            Some(_) => *unanswered = (0, None),
            None => {}
        }
    }
}

impl UsageReader {
    pub(super) fn new(client: RegionClient, deadline: Deadline) -> Self {
        Self { client, deadline, without_token: Unanswered::default(), rejected: Unanswered::default() }
    }

    /// Returns the calls without a token of each instance from the day `since` on.
    pub(super) async fn calls_without_token(&self, ids: &[InstanceId], since: Date) -> Answers<Usage> {
        let deadline = self.deadline.within(WITHIN);
        ask(ids, &self.without_token, self.client.calls_without_token(ids, since, deadline.now, &deadline))
            .await
    }

    /// Returns the calls without a token that each instance refused in the last 24 hours.
    pub(super) async fn rejected_calls(&self, ids: &[InstanceId]) -> Answers<u64> {
        let deadline = self.deadline.within(WITHIN);
        ask(ids, &self.rejected, self.client.rejected_calls(ids, deadline.now, &deadline)).await
    }
}

async fn ask<T>(
    ids: &[InstanceId],
    unanswered: &Unanswered,
    asked: impl Future<Output = Answers<T>>,
) -> Answers<T> {
    if let Some(error) = unanswered.down() {
        return ids.iter().map(|id| (id.clone(), Err(error.clone()))).collect();
    }
    let answers = asked.await;
    unanswered.take(&answers);
    answers
}

#[cfg(test)]
mod tests {
    use super::*;
    use imds_core::call_error::Call;

    #[test]
    fn a_question_is_not_asked_again_after_ten_instances_in_a_row_without_an_answer() {
        let answers = |is_known: bool, ids: std::ops::Range<usize>| -> Answers<u64> {
            let error = CallError::without_response(Call::GetMetricData, "no response");
            let id = |number| InstanceId::new(&format!("i-{number:08}")).expect("an id");
            ids.map(|number| (id(number), if is_known { Ok(0) } else { Err(error.clone()) })).collect()
        };
        let unanswered = Unanswered::default();
        let mut both = answers(false, 0..8);
        both.extend(answers(true, 8..9));
        for (name, answers, is_down) in [
            ("9 in a row", answers(false, 0..9), false),
            ("one answer", both, false),
            ("9 again", answers(false, 0..9), false),
            ("nobody was asked about", answers(false, 0..0), false),
            ("the tenth", answers(false, 0..1), true),
        ] {
            unanswered.take(&answers);
            assert_eq!(unanswered.down().is_some(), is_down, "{name}");
        }
    }
}
