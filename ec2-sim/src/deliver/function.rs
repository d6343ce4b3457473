//! The invoke URL of a Lambda runtime emulator: the event is the body.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, StatusCode, Uri};
use serde_json::Value;

/// The flag of the program.
pub const FLAG: &str = "--deliver-to";

/// What the flag takes.
pub const FORM: &str = "http://HOST:PORT/PATH";

/// How long one invocation may take: the most that Lambda allows.
pub const LONGEST: Duration = Duration::from_secs(900);

pub fn request(url: &Uri, event: &Value) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(Bytes::from(event.to_string())));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = url.clone();
    request
}

/// Why the function did not take the event, if it did not. The emulator says in the body that a function failed.
pub fn failure(status: StatusCode, body: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    match answer.get("errorMessage").or(answer.get("errorType")) {
        Some(why) => Some(format!("the function failed: {why}")),
        None => (!status.is_success()).then(|| format!("the answer was {status}")),
    }
}
