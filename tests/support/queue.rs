//! A stand-in for SQS as an event source: visibility timeout, receive count, dead letters.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::REGION;

struct Message {
    id: String,
    body: String,
    visible_from: Instant,
    receives: u32,
}

/// A queue and its dead-letter queue.
pub struct Queue {
    visibility: Duration,
    max_receives: u32,
    messages: Vec<Message>,
    sent: usize,
    /// The ids of messages that were received too often.
    pub dead: Vec<String>,
    /// How many messages were deleted, as they were done.
    pub done: usize,
    /// How often a message was done that had been deleted before: it was visible again while it was worked on.
    pub done_again: usize,
}

impl Queue {
    /// An empty queue. A message that is received stays invisible for `visibility`; after `max_receives` it is dead.
    pub fn new(visibility: Duration, max_receives: u32) -> Self {
        Self {
            visibility,
            max_receives,
            messages: Vec::new(),
            sent: 0,
            dead: Vec::new(),
            done: 0,
            done_again: 0,
        }
    }

    /// Puts a message on it.
    pub fn send(&mut self, body: &Value) {
        self.sent += 1;
        let id = format!("m{}", self.sent);
        self.messages.push(Message { id, body: body.to_string(), visible_from: Instant::now(), receives: 0 });
    }

    /// How many messages were ever put on it.
    pub fn sent(&self) -> usize {
        self.sent
    }

    /// Whether nothing is left, visible or not.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// At most `most` messages as Lambda gets them; `None` where none is visible.
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
                "attributes": {"ApproximateReceiveCount": message.receives.to_string()},
            }));
        }
        (!records.is_empty()).then(|| json!({"Records": records}))
    }

    /// Takes the function's answer to a batch: what it does not fail is deleted.
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
