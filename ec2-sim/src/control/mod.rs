//! The simulator's controls over HTTP, for tests in other processes.

mod fleet;
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
                        POST /_sim/instances, POST /_sim/tags, POST /_sim/metrics, POST /_sim/regions, \
                        POST /_sim/organization, POST /_sim/launch-templates, \
                        POST /_sim/images, POST /_sim/defaults";

/// Returns the JSON response to a request under `/_sim/`.
pub fn answer(world: &mut World, method: &Method, path: &str, body: &[u8]) -> (StatusCode, Vec<u8>) {
    let now = Now::read();
    world.advance(now);
    let (status, answer) = match run(world, method, path, body, now) {
        Some(Ok(answer)) => (StatusCode::OK, answer),
        Some(Err(error)) => (StatusCode::BAD_REQUEST, json!({"error": error.to_string()})),
        None => {
            let error = format!("unknown control {method} {path}; the controls are {CONTROLS}");
            (StatusCode::NOT_FOUND, json!({"error": error}))
        }
    };
    (status, answer.to_string().into_bytes())
}

/// The answer of a control; `None` if there is no such control.
fn run(
    world: &mut World,
    method: &Method,
    path: &str,
    body: &[u8],
    now: Now,
) -> Option<Result<Value, Refused>> {
    let done = json!({"done": true});
    Some(match (method.as_str(), path) {
        ("GET", "/_sim/calls") => Ok(json!(world.calls)),
        ("DELETE", "/_sim/calls") => {
            world.calls.clear();
            Ok(done)
        }
        ("POST", "/_sim/faults") => faults(body).map_err(Refused::from).map(|faults| {
            world.faults.extend(faults);
            done
        }),
        ("DELETE", "/_sim/faults") => {
            world.faults.clear();
            Ok(done)
        }
        ("GET", "/_sim/events") => Ok(json!(world.events())),
        ("POST", "/_sim/reset") => {
            world.reset();
            Ok(done)
        }
        ("POST", "/_sim/instances") => setup::instances(world, body, now),
        ("POST", "/_sim/tags") => setup::tags(world, body, now).map(|()| done),
        ("POST", "/_sim/metrics") => setup::metrics(world, body, now).map(|()| done),
        ("POST", "/_sim/regions") => fleet::regions(world, body).map(|()| done),
        ("POST", "/_sim/organization") => fleet::organization(world, body).map(|()| done),
        ("POST", "/_sim/launch-templates") => fleet::launch_template(world, body).map(|()| done),
        ("POST", "/_sim/images") => fleet::image(world, body).map(|()| done),
        ("POST", "/_sim/defaults") => fleet::defaults(world, body).map(|()| done),
        _ => return None,
    })
}

/// One fault, or a list of them.
fn faults(body: &[u8]) -> Result<Vec<Fault>, serde_json::Error> {
    let value: Value = serde_json::from_slice(body)?;
    if value.is_array() { Vec::deserialize(value) } else { Ok(vec![Fault::deserialize(value)?]) }
}
