//! An SQS batch: its records → deliveries, and which of them are delivered again, when.

use std::cell::RefCell;
use std::collections::BTreeMap;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use imds_core::outcome::InstanceOutcome;
use imds_core::policy::Policy;
use imds_core::trigger::{Ignored, NoTrigger, Trigger};
use imds_engine::aws::visibility::Redelivery;
use imds_engine::deadline::Deadline;
use imds_engine::reconcile::{Delivery, Enforcer};
use imds_engine::report::Report;
use serde_json::Value;

use crate::answer::{Answer, HandlerError};
use crate::redelivery::{Cause, RECEIVES, delay};

/// A record of an SQS batch.
pub struct Record {
    message_id: String,
    /// Its queue's ARN and its receipt handle, which SQS always sends.
    handle: Option<(String, String)>,
    /// How often it was received, this time included.
    receives: u32,
    delivery: Option<Delivery>,
    ignored: Option<Ignored>,
    /// What in it cannot be read.
    unreadable: Option<String>,
}

/// Reads the records of a batch.
///
/// # Errors
/// The payload is not a batch of SQS. A retry gives the same result.
pub fn read(payload: Value, policy: &Policy) -> Result<Vec<Record>, HandlerError> {
    let malformed = |why: String| HandlerError::MalformedBatch(why);
    let batch: SqsEvent = serde_json::from_value(payload).map_err(|error| malformed(error.to_string()))?;
    let record = |message: SqsMessage| match message.event_source.as_deref() {
        Some("aws:sqs") => {
            Record::read(message, policy).ok_or_else(|| malformed("a record has no messageId".to_owned()))
        }
        source => Err(malformed(format!("the eventSource of a record is {:?}", source.unwrap_or_default()))),
    };
    batch.records.into_iter().map(record).collect()
}

impl Record {
    fn read(message: SqsMessage, policy: &Policy) -> Option<Self> {
        let receives = message.attributes.get("ApproximateReceiveCount").and_then(|count| count.parse().ok());
        let mut record = Self {
            message_id: message.message_id?,
            handle: message.event_source_arn.zip(message.receipt_handle),
            receives: receives.unwrap_or(1),
            delivery: None,
            ignored: None,
            unreadable: None,
        };
        let (redelivered, is_last) = (record.receives > 1, record.receives >= RECEIVES);
        match serde_json::from_str(&message.body.unwrap_or_default()) {
            Err(error) => record.unreadable = Some(format!("it is not JSON: {error}")),
            Ok(event) => match Trigger::from_event(&event, policy) {
                Err(NoTrigger::Ignored(why)) => record.ignored = Some(why),
                Err(error @ NoTrigger::Unreadable { .. }) => record.unreadable = Some(error.to_string()),
                Ok(trigger) => {
                    record.unreadable = unreadable_ids(&trigger);
                    record.delivery = Some(Delivery { trigger, redelivered, is_last });
                }
            },
        }
        Some(record)
    }
}

/// What the event has in place of instance IDs, if anything.
pub fn unreadable_ids(trigger: &Trigger) -> Option<String> {
    (!trigger.unreadable.is_empty())
        .then(|| format!("the event contains invalid instance IDs: {}", trigger.unreadable.join(", ")))
}

/// Processes the records; `on_report` gets the outcome of each instance as soon as it is known.
pub async fn answer(
    enforcer: &Enforcer,
    mut records: Vec<Record>,
    deadline: Deadline,
    on_report: &dyn Fn(&InstanceOutcome),
) -> Answer {
    let report = RefCell::new(Report::new(enforcer.mode()));
    let (mut deliveries, mut indices) = (Vec::new(), Vec::new());
    for (index, record) in records.iter_mut().enumerate() {
        if let Some(delivery) = record.delivery.take() {
            deliveries.push(delivery);
            indices.push(index);
        }
        record.ignored.iter().for_each(|why| report.borrow_mut().ignore(why));
    }
    // Outcomes are reported one by one and not kept: a sweep may have many.
    let take = |outcome: InstanceOutcome| {
        on_report(&outcome);
        report.borrow_mut().count(outcome.outcome);
    };
    let ended = enforcer.enforce(&deliveries, deadline, &take).await;
    let mut report = report.into_inner();
    let mut failed: BTreeMap<usize, Cause> = BTreeMap::new();
    for (index, why) in unreadable(&records) {
        report.unresolved.push(why);
        failed.insert(index, Cause::Unreadable);
    }
    let unreadable = failed.len() + ended.unknown_ids;
    for (delivery, retry) in ended.retry {
        failed.extend(indices.get(delivery).map(|index| (*index, Cause::Retry(retry))));
    }
    report.unresolved.extend(ended.unresolved);
    let warnings =
        enforcer.clients().queues().redeliver(&redeliveries(&records, &failed), deadline.report_by).await;
    let response = response(&records, &failed);
    Answer { report, swept: ended.swept, stopped: ended.stopped, unreadable, warnings, response }
}

/// Returns the records that have something which cannot be read, by index, and what that is.
fn unreadable(records: &[Record]) -> impl Iterator<Item = (usize, String)> {
    records.iter().enumerate().filter_map(|(index, record)| {
        let why = record.unreadable.as_ref()?;
        Some((index, format!("the record {}: {why}", record.message_id)))
    })
}

/// Reports the failed records, which Lambda then does not delete.
fn response(records: &[Record], failed: &BTreeMap<usize, Cause>) -> Result<Value, HandlerError> {
    let mut response = SqsBatchResponse::default();
    failed
        .keys()
        .filter_map(|index| records.get(*index))
        .for_each(|record| response.add_failure(&record.message_id));
    serde_json::to_value(response).map_err(|error| HandlerError::Unfinished(error.to_string()))
}

fn redeliveries(records: &[Record], failed: &BTreeMap<usize, Cause>) -> Vec<Redelivery> {
    let redelivery = |(index, cause): (&usize, &Cause)| {
        let Record { message_id, handle, receives, .. } = records.get(*index)?;
        let (queue_arn, receipt_handle) = handle.clone()?;
        Some(Redelivery { queue_arn, receipt_handle, after: delay(*cause, *receives, message_id) })
    };
    failed.iter().filter_map(redelivery).collect()
}
