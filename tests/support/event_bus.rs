//! A server for the one call of EventBridge that the function makes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::http;

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// EventBridge refuses the whole call.
    Denied,
    /// EventBridge takes only every second entry.
    Half,
    /// EventBridge takes no entry.
    None,
    /// EventBridge refuses every third entry for good, and every third one for now.
    Mixed,
    /// EventBridge answers about the first entry only.
    Short,
    /// No response.
    Hang,
}

/// An event bus, and the calls that it got.
#[derive(Debug, Clone, Default)]
pub struct EventBus {
    /// The entries of each call.
    calls: Arc<Mutex<Vec<Vec<Value>>>>,
    taken: Arc<Mutex<Vec<Value>>>,
    /// The faults of the next calls, the last one first.
    faults: Arc<Mutex<Vec<Fault>>>,
}

impl EventBus {
    /// A bus whose first calls meet these faults. Returns its URL, too.
    pub async fn start(faults: &[Fault]) -> (Self, String) {
        let faults = faults.iter().rev().copied().collect();
        let bus = Self { faults: Arc::new(Mutex::new(faults)), ..Self::default() };
        let served = bus.clone();
        let url = http::serve(move |target, body| {
            assert_eq!(target, "AWSEvents.PutEvents");
            let bus = served.clone();
            async move { bus.answer(&body).await }
        })
        .await;
        (bus, url)
    }

    /// The entries that it took.
    pub fn taken(&self) -> Vec<Value> {
        self.taken.lock().unwrap().clone()
    }

    /// The number of entries of each call.
    pub fn calls(&self) -> Vec<usize> {
        self.calls.lock().unwrap().iter().map(Vec::len).collect()
    }

    async fn answer(&self, body: &Value) -> Option<(u16, Value)> {
        let entries = body["Entries"].as_array().unwrap();
        assert!((1..=10).contains(&entries.len()), "EventBridge accepts 1 to 10 entries");
        self.calls.lock().unwrap().push(entries.clone());
        let fault = self.faults.lock().unwrap().pop();
        match fault {
            Some(Fault::Denied) => {
                return Some((
                    400,
                    json!({"__type": "AccessDeniedException", "message": "is not authorized"}),
                ));
            }
            Some(Fault::Hang) => tokio::time::sleep(Duration::from_secs(3600)).await,
            _ => {}
        }
        let answer = |(index, entry): (usize, &Value)| {
            let throttled = json!({"ErrorCode": "ThrottlingException", "ErrorMessage": "Rate exceeded"});
            match (fault, index % 2, index % 3) {
                (Some(Fault::None), ..) | (Some(Fault::Half), 0, _) | (Some(Fault::Mixed), _, 1) => {
                    return throttled;
                }
                (Some(Fault::Mixed), _, 0) => {
                    return json!({"ErrorCode": "NotAuthorizedForSourceException", "ErrorMessage": "Not authorized"});
                }
                _ => {}
            }
            self.taken.lock().unwrap().push(entry.clone());
            json!({"EventId": index.to_string()})
        };
        let answered = if fault == Some(Fault::Short) { 1 } else { entries.len() };
        let answers: Vec<Value> = entries.iter().take(answered).enumerate().map(answer).collect();
        let failed = answers.iter().filter(|answer| answer.get("ErrorCode").is_some()).count();
        Some((200, json!({"FailedEntryCount": failed, "Entries": answers})))
    }
}
