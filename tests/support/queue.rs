//! An emulation of SQS as an event source: visibility timeout, receive count, dead-letter queue.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::REGION;

struct Message {
    id: String,
    body: String,
    visible_from: Instant,
    receives: u32,
}

impl Message {
    /// Valid until the next receive.
    fn receipt_handle(&self) -> String {
        format!("{}#{}", self.id, self.receives)
    }
}

/// The ARN of the queue.
const ARN: &str = "arn:aws:sqs:us-east-1:111122223333:events";

/// A queue and its dead-letter queue.
pub struct Queue {
    visibility: Duration,
    max_receives: u32,
    messages: Vec<Message>,
    sent: usize,
    /// The visibility timeouts that were set, each with how often its message had been received.
    pub timeouts: Vec<(u32, Duration)>,
    /// The ids of messages in the dead-letter queue.
    pub dead: Vec<String>,
    /// The number of messages that were processed and deleted.
    pub done: usize,
    /// How often a deleted message was processed again, because its visibility timeout expired during processing.
    pub done_again: usize,
}

impl Queue {
    /// An empty queue with this visibility timeout. Messages move to the dead-letter queue after `max_receives`.
    pub fn new(visibility: Duration, max_receives: u32) -> Self {
        Self {
            visibility,
            max_receives,
            messages: Vec::new(),
            sent: 0,
            timeouts: Vec::new(),
            dead: Vec::new(),
            done: 0,
            done_again: 0,
        }
    }

    /// Sends a message.
    pub fn send(&mut self, body: &Value) {
        self.sent += 1;
        let id = format!("m{}", self.sent);
        self.messages.push(Message { id, body: body.to_string(), visible_from: Instant::now(), receives: 0 });
    }

    /// The number of messages sent so far.
    pub fn sent(&self) -> usize {
        self.sent
    }

    /// Whether the queue has no messages, visible or not.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Makes all messages visible, as if their visibility timeouts had expired.
    pub fn show_all(&mut self) {
        self.messages.iter_mut().for_each(|message| message.visible_from = Instant::now());
    }

    /// Up to `most` messages as an SQS event; `None` if none is visible.
    pub fn receive(&mut self, most: usize) -> Option<Value> {
        let now = Instant::now();
        let is_dead = |m: &Message| m.visible_from <= now && m.receives >= self.max_receives;
        self.dead.extend(self.messages.iter().filter(|message| is_dead(message)).map(|m| m.id.clone()));
        self.messages.retain(|message| !is_dead(message));
        let mut records = Vec::new();
        for message in self.messages.iter_mut().filter(|m| m.visible_from <= now).take(most) {
            message.receives += 1;
            message.visible_from = now + self.visibility;
            records.push(json!({
                "messageId": message.id, "body": message.body, "eventSource": "aws:sqs", "awsRegion": REGION,
                "eventSourceARN": ARN, "receiptHandle": message.receipt_handle(),
                "attributes": {"ApproximateReceiveCount": message.receives.to_string()},
            }));
        }
        (!records.is_empty()).then(|| json!({"Records": records}))
    }

    /// Makes a message visible after `timeout`, as ChangeMessageVisibility does. Returns whether the handle is valid.
    pub fn change_visibility(&mut self, receipt_handle: &str, timeout: Duration) -> bool {
        let message = self.messages.iter_mut().find(|message| message.receipt_handle() == receipt_handle);
        if let Some(message) = message {
            message.visible_from = Instant::now() + timeout;
            self.timeouts.push((message.receives, timeout));
            return true;
        }
        false
    }

    /// Processes the function's response to a batch: deletes the messages that it does not report as failed.
    pub fn answered(&mut self, batch: &Value, answer: &Value) {
        let failures = answer["batchItemFailures"].as_array().expect("a list of failures");
        let is_failure = |id: &Value| failures.iter().any(|failure| failure["itemIdentifier"] == *id);
        let records = batch["Records"].as_array().expect("records").iter().map(|record| &record["messageId"]);
        let done: Vec<&Value> = records.filter(|id| !is_failure(id)).collect();
        let before = self.messages.len();
        self.messages.retain(|message| !done.iter().any(|id| **id == message.id));
        let deleted = before - self.messages.len();
        self.done += deleted;
        self.done_again += done.len() - deleted;
    }
}
