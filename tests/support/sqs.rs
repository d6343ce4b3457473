//! A server for the one call of SQS that the function makes, on an emulated queue.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::queue::Queue;

/// Starts the server. Returns its URL.
pub async fn serve(queue: Arc<Mutex<Queue>>) -> String {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let queue = Arc::clone(&queue);
            let service = service_fn(move |request| answer(request, Arc::clone(&queue)));
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    url
}

async fn answer(
    request: Request<Incoming>,
    queue: Arc<Mutex<Queue>>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let target = request.headers().get("x-amz-target").cloned();
    assert_eq!(target.unwrap(), "AmazonSQS.ChangeMessageVisibilityBatch");
    let body: Value = serde_json::from_slice(&request.into_body().collect().await?.to_bytes()).unwrap();
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
    let body = json!({"Successful": successful, "Failed": failed}).to_string();
    let response = Response::builder().header("Content-Type", "application/x-amz-json-1.0");
    Ok(response.body(Full::new(Bytes::from(body))).unwrap())
}
