//! Lambda payload → response.
//!
//! The payload is one EventBridge event, or an SQS batch whose bodies are events.

use std::cell::{Cell, RefCell};

use imds_core::outcome::InstanceOutcome;
use imds_core::trigger::{NoTrigger, Trigger, TriggerKind};
use imds_engine::deadline::Deadline;
use imds_engine::reconcile::{Delivery, Enforcer};
use imds_engine::report::Report;
use serde_json::Value;

pub use crate::answer::{Answer, HandlerError};
use crate::batch;

/// The maximum size of the outcomes in a response, in bytes: Lambda limits a response to 6 MB, and a sweep may have any
/// number of outcomes.
const OUTCOMES_BYTES: usize = 5_000_000;

/// Processes one invocation. Calls `on_report` with the outcome of each instance as soon as it is known.
pub async fn answer(
    enforcer: &Enforcer,
    payload: Value,
    deadline: Deadline,
    on_report: &dyn Fn(&InstanceOutcome),
) -> Answer {
    if payload.get("Records").is_none() {
        return answer_event(enforcer, &payload, deadline, on_report).await;
    }
    match batch::read(payload, enforcer.policy()) {
        Ok(records) => batch::answer(enforcer, records, deadline, on_report).await,
        Err(error) => answer_with(Report::new(enforcer.mode()), Err(error)),
    }
}

fn answer_with(report: Report, response: Result<Value, HandlerError>) -> Answer {
    Answer { report, swept: Vec::new(), stopped: Vec::new(), unreadable: 0, warnings: Vec::new(), response }
}

async fn answer_event(
    enforcer: &Enforcer,
    event: &Value,
    deadline: Deadline,
    on_report: &dyn Fn(&InstanceOutcome),
) -> Answer {
    let mut report = Report::new(enforcer.mode());
    match Trigger::from_event(event, enforcer.policy()) {
        Err(NoTrigger::Ignored(why)) => {
            report.ignore(&why);
            let response = as_json(&report);
            answer_with(report, response)
        }
        Err(error @ NoTrigger::Unreadable { .. }) => {
            report.unresolved.push(error.to_string());
            let response = Err(HandlerError::Unreadable(error.to_string()));
            Answer { unreadable: 1, ..answer_with(report, response) }
        }
        Ok(trigger) => answer_trigger(enforcer, trigger, report, deadline, on_report).await,
    }
}

async fn answer_trigger(
    enforcer: &Enforcer,
    trigger: Trigger,
    report: Report,
    deadline: Deadline,
    on_report: &dyn Fn(&InstanceOutcome),
) -> Answer {
    let unreadable = batch::unreadable_ids(&trigger);
    let (report, room) = (RefCell::new(report), Cell::new(OUTCOMES_BYTES));
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
    let ended =
        enforcer.enforce(&[Delivery { trigger, redelivered: false, is_last: false }], deadline, &take).await;
    let mut report = report.into_inner();
    report.unresolved = unreadable.iter().cloned().chain(ended.unresolved).collect();
    let unreadable_events = usize::from(unreadable.is_some()) + ended.unknown_ids;
    let response = match unreadable {
        _ if !ended.retry.is_empty() => Err(HandlerError::Unfinished(unfinished(&report))),
        Some(why) => Err(HandlerError::Unreadable(why)),
        None => as_json(&report),
    };
    let (swept, stopped) = (ended.swept, ended.stopped);
    Answer { swept, stopped, unreadable: unreadable_events, ..answer_with(report, response) }
}

fn as_json(report: &Report) -> Result<Value, HandlerError> {
    serde_json::to_value(report).map_err(|error| HandlerError::Unfinished(error.to_string()))
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
