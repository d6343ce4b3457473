//! The event bus that gets outcome events.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_eventbridge::config::retry::RetryConfig;
use aws_sdk_eventbridge::config::timeout::TimeoutConfig;
use aws_sdk_eventbridge::types::{PutEventsRequestEntry, PutEventsResultEntry};
use futures_util::{StreamExt, stream};
use imds_core::call_error::{Call, CallError};
use tokio::sync::OnceCell;
use tokio::sync::mpsc::Receiver;

use super::error::call_error;
use super::settings::retry_partition;

const CALL: Call = Call::PutEvents;

/// The source of the events.
const SOURCE: &str = "imds-enforcer";

/// The detail type of the events.
const DETAIL_TYPE: &str = "Instance Metadata Options Outcome";

/// The maximum number of entries in a call: EventBridge's limit.
const ENTRIES_PER_CALL: usize = 10;

/// The maximum size of the entries in a call, in bytes.
const BYTES_PER_CALL: usize = 256 * 1024;

/// The maximum number of concurrent calls.
const CALLS_AT_ONCE: usize = 4;

/// The pauses before entries that EventBridge did not take are put again.
const PUT_AGAIN_AFTER: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(400)];

/// An event that tells of the outcome of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutcomeEvent {
    /// The ARN of the instance.
    pub instance_arn: String,
    /// The detail, as JSON.
    pub detail: String,
}

/// How many events were put, and the first reason why others were not.
#[derive(Debug, Default)]
pub struct Tally {
    put: Cell<usize>,
    why_not: RefCell<Option<String>>,
}

/// An event bus. The client is created at first use.
#[derive(Debug)]
pub struct EventBus {
    shared: SdkConfig,
    name: String,
    client: OnceCell<aws_sdk_eventbridge::Client>,
}

impl EventBus {
    /// Calls EventBridge with the credentials and settings of `shared`. `name` is the name or ARN of the bus.
    pub fn new(shared: SdkConfig, name: String) -> Self {
        Self { shared, name, client: OnceCell::new() }
    }

    /// The name or ARN of the bus.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Puts the events as they come, until `events` is closed. They are counted in `tally`.
    pub async fn put(&self, events: Receiver<OutcomeEvent>, tally: &Tally) {
        let batches = stream::unfold(events, async |mut events| {
            let mut batch = Vec::new();
            let received = events.recv_many(&mut batch, ENTRIES_PER_CALL).await;
            (received > 0).then_some((batch, events))
        });
        let calls = batches.flat_map(|batch| stream::iter(calls(batch)));
        calls.for_each_concurrent(CALLS_AT_ONCE, |events| self.put_at_once(events, tally)).await;
    }

    /// Puts the events of one call. Those that EventBridge does not take for now are put again.
    async fn put_at_once(&self, mut events: Vec<OutcomeEvent>, tally: &Tally) {
        let mut pauses = PUT_AGAIN_AFTER.into_iter();
        loop {
            let refused = match self.send(&events).await {
                Ok(refused) => refused,
                Err(error) => return tally.not_put(&error),
            };
            tally.put.set(tally.put.get() + events.len() - refused.len());
            let (again, lost): (Vec<_>, Vec<_>) =
                refused.into_iter().partition(|(_, error)| error.kind().is_tried_again());
            lost.iter().for_each(|(_, error)| tally.not_put(error));
            let Some((_, error)) = again.first() else { return };
            let Some(pause) = pauses.next() else { return tally.not_put(error) };
            tokio::time::sleep(pause).await;
            events = again.into_iter().map(|(event, _)| event).collect();
        }
    }

    /// Returns the events that EventBridge did not take, and why.
    async fn send(&self, events: &[OutcomeEvent]) -> Result<Vec<(OutcomeEvent, CallError)>, CallError> {
        let entry = |event: &OutcomeEvent| {
            PutEventsRequestEntry::builder()
                .event_bus_name(&self.name)
                .source(SOURCE)
                .detail_type(DETAIL_TYPE)
                .resources(&event.instance_arn)
                .detail(&event.detail)
                .build()
        };
        let client = self.client.get_or_init(|| async { client(&self.shared) }).await;
        let request = client.put_events().set_entries(Some(events.iter().map(entry).collect()));
        let answer = request.send().await.map_err(|error| call_error(CALL, &error))?;
        let refused = |(index, event): (usize, &OutcomeEvent)| {
            let entry = answer.entries().get(index);
            let error = match entry {
                Some(entry) if entry.event_id().is_some() => return None,
                _ => refusal(entry),
            };
            Some((event.clone(), error))
        };
        Ok(events.iter().enumerate().filter_map(refused).collect())
    }
}

impl Tally {
    /// The number of events that EventBridge took.
    pub fn put(&self) -> usize {
        self.put.get()
    }

    /// Why events were not put: the first reason, unless EventBridge did not answer in time.
    pub fn why_not(&self) -> Option<String> {
        self.why_not.borrow().clone()
    }

    fn not_put(&self, error: &CallError) {
        self.why_not.borrow_mut().get_or_insert_with(|| error.to_string());
    }
}

/// Why EventBridge did not take an event.
fn refusal(entry: Option<&PutEventsResultEntry>) -> CallError {
    let message = entry.and_then(PutEventsResultEntry::error_message).unwrap_or("no answer about an event");
    let code = entry.and_then(PutEventsResultEntry::error_code).map(str::to_owned);
    CallError { code, ..CallError::without_response(CALL, message) }
}

/// Returns the events of each call. An event that is too large for a call has one alone, and EventBridge's error.
fn calls(batch: Vec<OutcomeEvent>) -> Vec<Vec<OutcomeEvent>> {
    let (mut calls, mut room) = (Vec::<Vec<OutcomeEvent>>::new(), 0);
    for event in batch {
        let size = SOURCE.len() + DETAIL_TYPE.len() + event.instance_arn.len() + event.detail.len();
        match calls.last_mut().filter(|_| size <= room) {
            Some(call) => {
                room -= size;
                call.push(event);
            }
            None => {
                room = BYTES_PER_CALL.saturating_sub(size);
                calls.push(vec![event]);
            }
        }
    }
    calls
}

/// EventBridge responds within a fraction of a second, and an invocation waits for it at its end.
fn client(shared: &SdkConfig) -> aws_sdk_eventbridge::Client {
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(Duration::from_millis(1500))
        .operation_timeout(Duration::from_secs(4))
        .build();
    let config = aws_sdk_eventbridge::config::Builder::from(shared)
        .timeout_config(timeouts)
        .retry_partition(retry_partition("events"))
        .retry_config(RetryConfig::standard().with_initial_backoff(Duration::from_millis(100)));
    aws_sdk_eventbridge::Client::from_conf(config.build())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(size: usize) -> OutcomeEvent {
        OutcomeEvent { instance_arn: "a".to_owned(), detail: "x".repeat(size) }
    }

    #[test]
    fn a_call_has_no_more_than_eventbridge_takes() {
        let most = BYTES_PER_CALL - SOURCE.len() - DETAIL_TYPE.len() - 1;
        let rows: [(&[usize], &[usize]); 5] = [
            (&[], &[]),
            (&[1; 10], &[10]),
            (&[most, 1], &[1, 1]),
            (&[100_000; 5], &[2, 2, 1]),
            (&[1, most + 1, 1, 1], &[1, 1, 2]),
        ];
        for (sizes, expected) in rows {
            let calls = calls(sizes.iter().map(|size| event(*size)).collect());
            assert_eq!(calls.iter().map(Vec::len).collect::<Vec<_>>(), expected, "{sizes:?}");
        }
    }
}
