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

/// How long to wait for CloudWatch in all: all retries of a throttle included.
const WITHIN: Duration = Duration::from_secs(30);

/// If CloudWatch answers about none of at least as many instances, it is not asked again in this invocation.
const DOWN_AFTER: usize = 10;

/// The answer about each instance.
type Answers<T> = BTreeMap<InstanceId, Result<T, CallError>>;

/// Asks CloudWatch about the instances of an account and Region, during one invocation.
#[derive(Debug)]
pub(super) struct UsageReader {
    client: RegionClient,
    deadline: Deadline,
    /// Why it is not asked again.
    down: RefCell<Option<CallError>>,
}

impl UsageReader {
    pub(super) fn new(client: RegionClient, deadline: Deadline) -> Self {
        Self { client, deadline, down: RefCell::new(None) }
    }

    /// Returns the calls without a token of each instance from the day `since` on.
    pub(super) async fn calls_without_token(&self, ids: &[InstanceId], since: Date) -> Answers<Usage> {
        let deadline = self.deadline.within(WITHIN);
        self.unless_down(ids, self.client.calls_without_token(ids, since, deadline.now, &deadline)).await
    }

    /// Returns the calls without a token that each instance refused in the last 24 hours.
    pub(super) async fn rejected_calls(&self, ids: &[InstanceId]) -> Answers<u64> {
        let deadline = self.deadline.within(WITHIN);
        self.unless_down(ids, self.client.rejected_calls(ids, deadline.now, &deadline)).await
    }

    async fn unless_down<T>(
        &self,
        ids: &[InstanceId],
        asked: impl Future<Output = Answers<T>>,
    ) -> Answers<T> {
        let down = self.down.borrow().clone();
        if let Some(error) = down {
            return ids.iter().map(|id| (id.clone(), Err(error.clone()))).collect();
        }
        let answers = asked.await;
        // A few results may be incomplete without any outage.
        if answers.len() >= DOWN_AFTER && answers.values().all(Result::is_err) {
            self.down.replace(answers.values().find_map(|answer| answer.as_ref().err().cloned()));
        }
        answers
    }
}
