//! A server for the one call of SQS that the function makes, on an emulated queue.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::http;
use super::queue::Queue;

/// Starts the server. Returns its URL.
pub async fn serve(queue: Arc<Mutex<Queue>>) -> String {
    http::serve(move |target, body| {
        assert_eq!(target, "AmazonSQS.ChangeMessageVisibilityBatch");
        let answer = answer(&body, &queue);
        async { Some((200, answer)) }
    })
    .await
}

fn answer(body: &Value, queue: &Mutex<Queue>) -> Value {
    assert_eq!(body["QueueUrl"], "https://sqs.us-east-1.amazonaws.com/111122223333/events");
    let entries = body["Entries"].as_array().unwrap();
    assert!((1..=10).contains(&entries.len()), "SQS accepts 1 to 10 entries");
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for entry in entries {
        let timeout = Duration::from_secs(entry["VisibilityTimeout"].as_u64().unwrap());
        match queue.lock().unwrap().change_visibility(entry["ReceiptHandle"].as_str().unwrap(), timeout) {
            true => successful.push(json!({"Id": entry["Id"]})),
            false => failed.push(json!({
                "Id": entry["Id"], "Code": "ReceiptHandleIsInvalid", "SenderFault": true, "Message": "The handle is invalid",
            })),
        }
    }
    json!({"Successful": successful, "Failed": failed})
}
