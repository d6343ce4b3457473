//! The controls over HTTP.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod wire;

use ec2_sim::{Ec2Sim, Launch, Settings};
use serde_json::{Value, json};

use wire::{ACCOUNT, MODIFY, REGION, call, code, http, start};

async fn control(sim: &Ec2Sim, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let (status, answer) = http(sim, method, path, "", &body.to_string()).await.unwrap();
    (status, serde_json::from_str(&answer).unwrap())
}

#[tokio::test]
async fn calls_events_and_state_are_returned_and_deleted() {
    let sim = start(Settings::default()).await;
    let id = &sim.account_region(ACCOUNT, REGION).launch(Launch::default())[0];
    call(&sim, &format!("Action={MODIFY}&InstanceId={id}&HttpTokens=required")).await.unwrap();
    let (_, calls) = control(&sim, "GET", "/_sim/calls", &Value::Null).await;
    let expected = json!([{
        "action": MODIFY, "account": ACCOUNT, "region": REGION, "instanceIds": [id], "status": 200, "code": null,
        "fault": null, "parameters": {"Action": MODIFY, "InstanceId": id, "HttpTokens": "required"},
    }]);
    assert_eq!(calls, expected);
    let (_, events) = control(&sim, "GET", "/_sim/events", &Value::Null).await;
    assert_eq!(events[0]["detail"]["eventName"], "RunInstances");
    control(&sim, "DELETE", "/_sim/calls", &Value::Null).await;
    assert_eq!(control(&sim, "GET", "/_sim/calls", &Value::Null).await, (200, json!([])));
    control(&sim, "POST", "/_sim/reset", &Value::Null).await;
    assert_eq!(control(&sim, "GET", "/_sim/events", &Value::Null).await, (200, json!([])));
    assert!(sim.account_region(ACCOUNT, REGION).instances().is_empty());
}

#[tokio::test]
async fn faults_are_read_from_json() {
    let sim = start(Settings::default()).await;
    let rows = [
        (json!({"kind": "throttle"}), (503, "RequestLimitExceeded")),
        (json!({"kind": "deny", "action": "DescribeInstances"}), (403, "UnauthorizedOperation")),
        (json!([{"kind": "server-error", "region": REGION, "account": ACCOUNT}]), (500, "InternalError")),
        (
            json!({"kind": {"error": {"code": "X", "status": 418, "message": "m"}}, "when": {"times": 1}}),
            (418, "X"),
        ),
        (json!({"kind": "throttle", "when": {"probability": 1.0}}), (503, "RequestLimitExceeded")),
        (json!({"kind": "throttle", "when": {"times": 0}}), (200, "")),
        (json!({"kind": "throttle", "region": "eu-west-1"}), (200, "")),
        (json!({"kind": {"delay": 1}}), (200, "")),
        (json!([{"kind": {"delay": 1}}, {"kind": "throttle"}]), (503, "RequestLimitExceeded")),
        (json!([{"kind": "forbidden"}, {"kind": "partial-data"}, {"kind": "internal-error"}]), (200, "")),
        (json!({"kind": "malformed", "when": "always"}), (200, "")),
        (json!({"kind": {"malformed-before": "<Code>"}}), (200, "")),
    ];
    for (fault, expected) in rows {
        assert_eq!(control(&sim, "POST", "/_sim/faults", &fault).await.0, 200, "{fault}");
        let (status, code) = code(&sim, "Action=DescribeInstances").await;
        assert_eq!((status, &*code), expected, "{fault}");
        control(&sim, "DELETE", "/_sim/faults", &Value::Null).await;
        assert_eq!(call(&sim, "Action=DescribeInstances").await.unwrap().0, 200, "{fault}: removed");
    }
}

#[tokio::test]
async fn unknown_controls_and_invalid_faults_are_refused() {
    let sim = start(Settings::default()).await;
    let rows = [
        ("POST", "/_sim/faults", json!({"kind": "nonsense"}), 400),
        ("POST", "/_sim/faults", json!({"kind": "throttle", "instances": []}), 400),
        ("POST", "/_sim/faults", json!(1), 400),
        ("POST", "/_sim/faults", json!({"kind": "delay"}), 400),
        ("GET", "/_sim/nonsense", Value::Null, 404),
        ("DELETE", "/_sim/reset", Value::Null, 404),
    ];
    for (method, path, body, expected) in rows {
        let (status, answer) = control(&sim, method, path, &body).await;
        assert_eq!(status, expected, "{method} {path} {body}");
        assert!(answer["error"].is_string(), "{method} {path} {body}: {answer}");
    }
}
