//! Events → the invoke URL of a Lambda runtime emulator, in order.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::sync::mpsc::UnboundedReceiver;

/// How often an event is tried. EventBridge tries for 24 hours.
const TRIES: u32 = 5;

/// The pause after the first failure; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// How long one invocation may take: the most that Lambda allows.
const LONGEST: Duration = Duration::from_secs(900);

/// Reads where to deliver to.
pub fn target(url: &str) -> io::Result<Uri> {
    let invalid = |why: String| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("cannot deliver events to {url:?}: {why}"))
    };
    let url: Uri = url.parse().map_err(|error| invalid(format!("{error}")))?;
    match (url.scheme_str(), url.host()) {
        (Some("http"), Some(_)) => Ok(url),
        _ => Err(invalid("expected http://HOST:PORT/PATH".to_owned())),
    }
}

/// Posts every event until there are no more.
pub async fn deliver(url: Uri, mut events: UnboundedReceiver<Value>) {
    let client = Client::builder(TokioExecutor::new()).build_http();
    while let Some(event) = events.recv().await {
        let mut pause = FIRST_PAUSE;
        for left in (0..TRIES).rev() {
            match post(&client, &url, &event).await {
                Ok(()) => break,
                Err(why) if left == 0 => eprintln!("ec2-sim: an event was not delivered: {why}: {event}"),
                Err(_) => tokio::time::sleep(pause).await,
            }
            pause *= 2;
        }
    }
}

async fn post(client: &Client<HttpConnector, Full<Bytes>>, url: &Uri, event: &Value) -> Result<(), String> {
    let mut request = Request::new(Full::new(Bytes::from(event.to_string())));
    *request.method_mut() = hyper::Method::POST;
    *request.uri_mut() = url.clone();
    let response = tokio::time::timeout(LONGEST, client.request(request)).await;
    let response =
        response.map_err(|_| "no answer".to_owned())?.map_err(|error| format!("{url}: {error}"))?;
    let status = response.status();
    let body = response.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
    // The emulator says in the body that a function failed.
    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    match answer.get("errorMessage").or(answer.get("errorType")) {
        Some(why) => Err(format!("the function failed: {why}")),
        None if status.is_success() => Ok(()),
        None => Err(format!("{url} answered {status}")),
    }
}
