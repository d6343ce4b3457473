//! Delivery to the invoke URL of a Lambda runtime emulator, with the event as the body.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, StatusCode, Uri};
use serde_json::Value;

/// The command-line flag.
pub const FLAG: &str = "--deliver-to";

/// The form of the flag's value.
pub const FORM: &str = "http://HOST:PORT/PATH";

/// The timeout of an invocation: the maximum that Lambda allows.
pub const LONGEST: Duration = Duration::from_secs(900);

pub fn request(url: &Uri, event: &Value) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(Bytes::from(event.to_string())));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = url.clone();
    request
}

/// Why the function did not accept the event, if it did not. The emulator reports a failed function in the body.
pub fn failure(status: StatusCode, body: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    match answer.get("errorMessage").or(answer.get("errorType")) {
        Some(why) => Some(format!("the function failed: {why}")),
        None => (!status.is_success()).then(|| format!("the response was {status}")),
    }
}
