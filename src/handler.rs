//! Lambda payload → response.
//!
//! The payload is one EventBridge event, or an SQS batch whose bodies are events.

use std::cell::{Cell, RefCell};

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use imds_core::ids::AccountRegion;
use imds_core::outcome::InstanceOutcome;
use imds_core::policy::Policy;
use imds_core::trigger::{NoTrigger, Trigger, TriggerKind};
use imds_engine::deadline::Deadline;
use imds_engine::reconcile::{Delivery, Enforcer};
use imds_engine::report::Report;
use lambda_runtime::Diagnostic;
use serde_json::Value;

/// The maximum size of the outcomes in a response, in bytes: Lambda limits a response to 6 MB, and a sweep may have any
/// number of outcomes.
const OUTCOMES_BYTES: usize = 5_000_000;

/// The result of an invocation.
#[derive(Debug)]
pub struct Answer {
    /// The report. It contains outcomes only if the payload is a single event.
    pub report: Report,
    /// The accounts and Regions whose sweep is complete.
    pub swept: Vec<AccountRegion>,
    /// The response to Lambda: the report or, for a batch, the records to redeliver.
    pub response: Result<Value, HandlerError>,
}

/// Why an invocation fails as a whole. Lambda then retries the payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandlerError {
    /// A single event is not processed completely; a retry may complete it.
    #[error("not complete, must be retried: {0}")]
    Unfinished(String),
    /// The payload is not a valid SQS batch, so no record can be reported as failed individually.
    #[error("not an SQS batch, although its eventSource is aws:sqs: {0}")]
    MalformedBatch(String),
}

impl From<HandlerError> for Diagnostic {
    fn from(error: HandlerError) -> Self {
        let error_type = match error {
            HandlerError::Unfinished(_) => "Unfinished",
            HandlerError::MalformedBatch(_) => "MalformedBatch",
        };
        Self { error_type: error_type.to_owned(), error_message: error.to_string() }
    }
}

/// Processes one invocation. Calls `on_report` with the outcome of each instance as soon as it is known.
pub async fn answer(
    enforcer: &Enforcer,
    payload: Value,
    deadline: Deadline,
    on_report: &dyn Fn(&InstanceOutcome),
) -> Answer {
    if payload.pointer("/Records/0/eventSource").and_then(Value::as_str) != Some("aws:sqs") {
        return answer_event(enforcer, &payload, deadline, on_report).await;
    }
    match read_batch(payload, enforcer.policy()) {
        Ok(records) => answer_batch(enforcer, records, deadline, on_report).await,
        Err(error) => {
            Answer { report: Report::new(enforcer.mode()), swept: Vec::new(), response: Err(error) }
        }
    }
}

async fn answer_event(
    enforcer: &Enforcer,
    event: &Value,
    deadline: Deadline,
    on_report: &dyn Fn(&InstanceOutcome),
) -> Answer {
    let report = RefCell::new(Report::new(enforcer.mode()));
    let (mut is_unfinished, mut swept) = (false, Vec::new());
    match Trigger::from_event(event, enforcer.policy()) {
        Err(NoTrigger::Ignored(why)) => report.borrow_mut().ignore(&why),
        Err(unreadable) => {
            report.borrow_mut().unresolved.push(unreadable.to_string());
            is_unfinished = true;
        }
        Ok(trigger) => {
            let unread = unread(&trigger);
            let room = Cell::new(OUTCOMES_BYTES);
            let take = |outcome: InstanceOutcome| {
                on_report(&outcome);
                let mut report = report.borrow_mut();
                report.count(outcome.outcome);
                let size = serde_json::to_vec(&outcome).map_or(0, |json| json.len());
                room.set(room.get().saturating_sub(size));
                match room.get() {
                    0 => report.only_logged += 1,
                    _ => report.outcomes.push(outcome),
                }
            };
            let ended = enforcer.enforce(&[Delivery { trigger, redelivered: false }], deadline, &take).await;
            is_unfinished = !ended.retry.is_empty() || unread.is_some();
            report.borrow_mut().unresolved = ended.unresolved.into_iter().chain(unread).collect();
            swept = ended.swept;
        }
    }
    let report = report.into_inner();
    let response = if is_unfinished {
        Err(HandlerError::Unfinished(unfinished(&report)))
    } else {
        serde_json::to_value(&report).map_err(|error| HandlerError::Unfinished(error.to_string()))
    };
    Answer { report, swept, response }
}

/// Returns what a retry must complete. Only the first few items, as there may be thousands of instances.
fn unfinished(report: &Report) -> String {
    const SHOWN: usize = 5;
    // The next sweep retries the instances of a sweep.
    let is_due = |r: &&InstanceOutcome| r.outcome.is_retryable() && r.trigger != TriggerKind::Sweep;
    let instances = report.outcomes.iter().filter(is_due).map(|report| {
        let why = report.reasons.last().map(String::as_str).unwrap_or_default();
        format!("{} is {} ({why})", report.instance_id, report.outcome)
    });
    let mut parts: Vec<String> = report.unresolved.iter().cloned().chain(instances).collect();
    let more = parts.len().saturating_sub(SHOWN);
    parts.truncate(SHOWN);
    if more > 0 {
        parts.push(format!("and {more} more"));
    }
    parts.join("; ")
}

/// Returns which instances of the event cannot be read, if there are any.
fn unread(trigger: &Trigger) -> Option<String> {
    const SHOWN: usize = 5;
    let Trigger { unreadable, .. } = trigger;
    let more = unreadable.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let shown = unreadable.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    (!unreadable.is_empty())
        .then(|| format!("the event names as instances what are no instance ids: {shown}{more}"))
}

/// A record of an SQS batch: its message id, and the event in its body.
struct Record {
    message_id: String,
    event: Result<Delivery, Unread>,
}

/// Why a record names no instance.
enum Unread {
    /// The event is not relevant, and the record is done, or it cannot be read.
    NoTrigger(NoTrigger),
    /// The body is not JSON. The record fails, so that the dead-letter queue keeps it.
    NotJson(serde_json::Error),
}

fn read_batch(payload: Value, policy: &Policy) -> Result<Vec<Record>, HandlerError> {
    let batch: SqsEvent =
        serde_json::from_value(payload).map_err(|error| HandlerError::MalformedBatch(error.to_string()))?;
    batch.records.into_iter().map(|message| read_record(message, policy)).collect()
}

fn read_record(message: SqsMessage, policy: &Policy) -> Result<Record, HandlerError> {
    let Some(message_id) = message.message_id else {
        return Err(HandlerError::MalformedBatch("a record has no messageId".to_owned()));
    };
    let receives = message.attributes.get("ApproximateReceiveCount");
    let redelivered = receives.and_then(|count| count.parse::<u32>().ok()).is_some_and(|count| count > 1);
    let event = serde_json::from_str(&message.body.unwrap_or_default()).map_err(Unread::NotJson);
    let trigger =
        event.and_then(|event: Value| Trigger::from_event(&event, policy).map_err(Unread::NoTrigger));
    Ok(Record { message_id, event: trigger.map(|trigger| Delivery { trigger, redelivered }) })
}

async fn answer_batch(
    enforcer: &Enforcer,
    records: Vec<Record>,
    deadline: Deadline,
    on_report: &dyn Fn(&InstanceOutcome),
) -> Answer {
    let (mut deliveries, mut message_ids, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    let report = RefCell::new(Report::new(enforcer.mode()));
    for Record { message_id, event } in records {
        match event {
            Ok(delivery) => {
                if let Some(unread) = unread(&delivery.trigger) {
                    report.borrow_mut().unresolved.push(format!("the record {message_id}: {unread}"));
                    kept.push(message_id.clone());
                }
                deliveries.push(delivery);
                message_ids.push(message_id);
            }
            Err(Unread::NoTrigger(NoTrigger::Ignored(why))) => report.borrow_mut().ignore(&why),
            Err(Unread::NoTrigger(unreadable)) => {
                report.borrow_mut().unresolved.push(format!("the record {message_id}: {unreadable}"));
                kept.push(message_id);
            }
            Err(Unread::NotJson(error)) => {
                let why = format!("the record {message_id} is not JSON: {error}");
                report.borrow_mut().unresolved.push(why);
                kept.push(message_id);
            }
        }
    }
    // Outcomes are reported one by one and not stored, as a sweep may have many.
    let take = |outcome: InstanceOutcome| {
        on_report(&outcome);
        report.borrow_mut().count(outcome.outcome);
    };
    let ended = enforcer.enforce(&deliveries, deadline, &take).await;
    kept.extend(ended.retry.iter().filter_map(|&delivery| message_ids.get(delivery)).cloned());
    kept.sort();
    kept.dedup();
    let mut response = SqsBatchResponse::default();
    kept.into_iter().for_each(|id| response.add_failure(id));
    let mut report = report.into_inner();
    report.unresolved.extend(ended.unresolved);
    let response =
        serde_json::to_value(response).map_err(|error| HandlerError::Unfinished(error.to_string()));
    Answer { report, swept: ended.swept, response }
}
