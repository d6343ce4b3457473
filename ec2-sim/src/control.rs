//! The simulator's controls over HTTP, for tests in other processes.

use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::world::World;

/// Returns the JSON response to a request under `/_sim/`.
pub fn answer(world: &mut World, method: &Method, path: &str, body: &[u8]) -> (StatusCode, Vec<u8>) {
    let done = json!({"done": true});
    let (status, answer) = match (method.as_str(), path) {
        ("GET", "/_sim/calls") => (StatusCode::OK, json!(world.calls)),
        ("DELETE", "/_sim/calls") => {
            world.calls.clear();
            (StatusCode::OK, done)
        }
        ("POST", "/_sim/faults") => match faults(body) {
            Ok(faults) => {
                world.faults.extend(faults);
                (StatusCode::OK, done)
            }
            Err(error) => (StatusCode::BAD_REQUEST, json!({"error": error.to_string()})),
        },
        ("DELETE", "/_sim/faults") => {
            world.faults.clear();
            (StatusCode::OK, done)
        }
        ("GET", "/_sim/events") => (StatusCode::OK, json!(world.events())),
        ("POST", "/_sim/reset") => {
            world.reset();
            (StatusCode::OK, done)
        }
        (method, path) => {
            let known =
                "GET or DELETE /_sim/calls, POST or DELETE /_sim/faults, GET /_sim/events, POST /_sim/reset";
            let error = format!("unknown control {method} {path}; the controls are {known}");
            (StatusCode::NOT_FOUND, json!({"error": error}))
        }
    };
    (status, answer.to_string().into_bytes())
}

/// One fault, or a list of them.
fn faults(body: &[u8]) -> Result<Vec<Fault>, serde_json::Error> {
    let value: Value = serde_json::from_slice(body)?;
    if value.is_array() { Vec::deserialize(value) } else { Ok(vec![Fault::deserialize(value)?]) }
}
