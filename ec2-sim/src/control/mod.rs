//! The simulator's controls over HTTP, for tests in other processes.

mod setup;

use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::clock::Now;
use crate::fault::Fault;
use crate::world::World;

use setup::Refused;

/// The controls, for the error of an unknown one.
const CONTROLS: &str = "GET or DELETE /_sim/calls, POST or DELETE /_sim/faults, GET /_sim/events, POST /_sim/reset, \
                        POST /_sim/instances, POST /_sim/tags, POST /_sim/metrics";

/// Returns the JSON response to a request under `/_sim/`.
pub fn answer(world: &mut World, method: &Method, path: &str, body: &[u8]) -> (StatusCode, Vec<u8>) {
    let now = Now::read();
    world.advance(now);
    let done = || Ok(json!({"done": true}));
    let answer = match (method.as_str(), path) {
        ("GET", "/_sim/calls") => Ok(json!(world.calls)),
        ("DELETE", "/_sim/calls") => {
            world.calls.clear();
            done()
        }
        ("POST", "/_sim/faults") => faults(body).map_err(Refused::from).and_then(|faults| {
            world.faults.extend(faults);
            done()
        }),
        ("DELETE", "/_sim/faults") => {
            world.faults.clear();
            done()
        }
        ("GET", "/_sim/events") => Ok(json!(world.events())),
        ("POST", "/_sim/reset") => {
            world.reset();
            done()
        }
        ("POST", "/_sim/instances") => setup::instances(world, body, now),
        ("POST", "/_sim/tags") => setup::tags(world, body, now),
        ("POST", "/_sim/metrics") => setup::metrics(world, body, now),
        (method, path) => {
            let error = format!("unknown control {method} {path}; the controls are {CONTROLS}");
            return (StatusCode::NOT_FOUND, json!({"error": error}).to_string().into_bytes());
        }
    };
    let (status, answer) = match answer {
        Ok(answer) => (StatusCode::OK, answer),
        Err(error) => (StatusCode::BAD_REQUEST, json!({"error": error.to_string()})),
    };
    (status, answer.to_string().into_bytes())
}

/// One fault, or a list of them.
fn faults(body: &[u8]) -> Result<Vec<Fault>, serde_json::Error> {
    let value: Value = serde_json::from_slice(body)?;
    if value.is_array() { Vec::deserialize(value) } else { Ok(vec![Fault::deserialize(value)?]) }
}
