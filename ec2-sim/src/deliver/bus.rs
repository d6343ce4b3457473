//! Delivery to an EventBridge endpoint with PutEvents in AWS JSON 1.1, one entry per call.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{Method, Request, StatusCode, Uri};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::clock;

/// The command-line flag.
pub const FLAG: &str = "--deliver-to-bus";

/// The form of the flag's value.
pub const FORM: &str = "http://HOST:PORT";

/// The timeout of a call: the read timeout of the AWS SDK for Python.
pub const LONGEST: Duration = Duration::from_secs(60);

/// A placeholder. Emulators do not verify signatures, and there is no secret key to sign with.
const SIGNATURE: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What to do if the endpoint refuses sources that begin with `aws.`, as EventBridge does.
const NOT_AUTHORIZED: &str =
    "the bus refuses sources that begin with aws.; configure the emulator to accept them";

/// The call that puts the event on the default bus of its account and Region.
pub fn request(url: &Uri, event: &Value, now: OffsetDateTime) -> Result<Request<Full<Bytes>>, String> {
    let body = json!({"Entries": [entry(event)]}).to_string();
    let date = clock::basic(now);
    Request::builder()
        .method(Method::POST)
        .uri(url)
        .header("X-Amz-Target", "AWSEvents.PutEvents")
        .header(CONTENT_TYPE, "application/x-amz-json-1.1")
        .header("X-Amz-Date", &date)
        .header(AUTHORIZATION, authorization(event, &date))
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| format!("the event's account or Region cannot be sent: {error}"))
}

/// The credential. Emulators read the event's account and Region from it.
fn authorization(event: &Value, date: &str) -> String {
    let (day, _time) = date.split_once('T').unwrap_or((date, ""));
    let (account, region) = (text(event, "account"), text(event, "region"));
    format!(
        "AWS4-HMAC-SHA256 Credential={account}/{day}/{region}/events/aws4_request, \
         SignedHeaders=host;x-amz-date, Signature={SIGNATURE}"
    )
}

/// The event as an entry of PutEvents: EventBridge API reference, "PutEventsRequestEntry".
fn entry(event: &Value) -> Value {
    let time = OffsetDateTime::parse(text(event, "time"), &Rfc3339).ok();
    json!({
        "Source": event["source"],
        "DetailType": event["detail-type"],
        "Detail": event["detail"].to_string(),
        "Resources": event["resources"],
        "Time": time.map(OffsetDateTime::unix_timestamp),
        "EventBusName": "default",
    })
}

fn text<'a>(event: &'a Value, field: &str) -> &'a str {
    event[field].as_str().unwrap_or_default()
}

/// Why the bus did not accept the event, if it did not. Every successful response of PutEvents has a
/// `FailedEntryCount`; a response without it comes from another service.
pub fn failure(status: StatusCode, body: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    if status.is_success() && answer["FailedEntryCount"] == 0 {
        return None;
    }
    let entry = &answer["Entries"][0];
    let found = |values: [&Value; 3]| values.into_iter().find_map(Value::as_str).map(str::to_owned);
    // An error of the whole call has a type, optionally with a namespace: `NAMESPACE#CODE`.
    let code = found([&entry["ErrorCode"], &answer["__type"], &answer["code"]]);
    let Some(code) = code.as_deref().and_then(|code| code.rsplit('#').next()) else {
        return Some(format!("the response was {status}, which is not one of PutEvents"));
    };
    let message = found([&entry["ErrorMessage"], &answer["message"], &answer["Message"]]);
    let why = shown(&format!("{code}: {}", message.as_deref().unwrap_or("no message")));
    Some(if code == "NotAuthorizedForSourceException" { format!("{why} ({NOT_AUTHORIZED})") } else { why })
}

/// Escapes text of a server for the terminal.
fn shown(text: &str) -> String {
    text.chars().take(300).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_its_code_and_message() {
        let refused = r#"{"FailedEntryCount": 1, "Entries": [{"ErrorCode": "NotAuthorizedForSourceException",
                          "ErrorMessage": "Not authorized for the source."}]}"#;
        let refused_as =
            format!("NotAuthorizedForSourceException: Not authorized for the source. ({NOT_AUTHORIZED})");
        for (status, body, expected) in [
            (200, r#"{"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]}"#, None),
            (200, refused, Some(&*refused_as)),
            (
                200,
                r#"{"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure"}]}"#,
                Some("InternalFailure: no message"),
            ),
            (
                400,
                r#"{"__type": "com.amazonaws#ThrottlingException", "message": "Rate exceeded"}"#,
                Some("ThrottlingException: Rate exceeded"),
            ),
            (400, r#"{"__type": "ValidationException", "Message": "no"}"#, Some("ValidationException: no")),
            (400, r#"{"__type": "X", "Message": "\u001b[31m\n"}"#, Some(r"X: \u{1b}[31m\n")),
            (
                500,
                r#"{"FailedEntryCount": 0}"#,
                Some("the response was 500 Internal Server Error, which is not one of PutEvents"),
            ),
            (503, "<html>", Some("the response was 503 Service Unavailable, which is not one of PutEvents")),
            (200, "null", Some("the response was 200 OK, which is not one of PutEvents")),
            (200, "{}", Some("the response was 200 OK, which is not one of PutEvents")),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(failure(status, body.as_bytes()).as_deref(), expected, "{status} {body}");
        }
    }

    #[test]
    fn what_no_header_can_carry_is_no_request() {
        let event = json!({"account": "1\n2", "region": "us-east-1"});
        let url = Uri::from_static("http://127.0.0.1:1");
        assert!(request(&url, &event, OffsetDateTime::UNIX_EPOCH).is_err());
    }
}
