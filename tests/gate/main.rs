//! The usage gate, staged enforcement and the limits of sweeps, verified with the calls that the simulator recorded.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ages;
mod conditions;
mod days;
mod errors;
mod failures;
mod fleet;
mod follow;
mod held;
mod limits;
mod modes;
mod outages;
mod pages;
mod renaming_proxy;
mod siblings;
#[path = "../support/mod.rs"]
mod support;
mod sweeps;
mod triggers;
mod watch;

use ec2_sim::{Fault, FaultKind, Launch};
use imds_core::outcome::InstanceOutcome;
use imds_enforcer::handler::Answer;
use serde_json::{Value, json};
use time::{Date, Duration};

use support::*;

const DESCRIBE: &str = "DescribeInstances";
const MODIFY: &str = "ModifyInstanceMetadataOptions";
const METRICS: &str = "GetMetricData";
const USED: &str = "MetadataNoToken";

/// Requires tokens, behind a gate with all defaults.
const GATED: &str = r#"{"baseline": {"HttpTokens": "required"}, "usageGate": {}}"#;

/// Instances with optional tokens that first ran this long ago.
fn ran_for(count: usize, age: Duration) -> Launch {
    Launch { first_ran: Some(now() - age), sends_events: false, ..imdsv1(count) }
}

/// Instances with optional tokens that first ran 90 days ago.
fn old(count: usize) -> Launch {
    ran_for(count, Duration::days(90))
}

/// These instances, with a tag.
fn tagged(launch: Launch, key: &str, value: &str) -> Launch {
    let mut tags = launch.tags;
    tags.push((key.to_owned(), value.to_owned()));
    Launch { tags, ..launch }
}

/// The day this many days ago, in UTC.
fn day(ago: i64) -> Date {
    (now() - Duration::days(ago)).date()
}

/// Lets each instance have these calls without a token, by how many days ago.
fn used(scene: &Scene, ids: &[String], calls: &[(i64, f64)]) {
    let sums: Vec<_> = calls.iter().map(|(ago, calls)| (day(*ago), Some(*calls))).collect();
    scene.account_region.set_daily_sums(ids, USED, &sums);
}

/// Lets each instance have no call without a token in the last two weeks and today.
fn unused(scene: &Scene, ids: &[String]) {
    used(scene, ids, &(0..=14).map(|ago| (ago, 0.0)).collect::<Vec<_>>());
}

/// Lets each instance have 40 calls without a token, yesterday.
fn in_use(scene: &Scene, ids: &[String]) {
    unused(scene, ids);
    used(scene, ids, &[(1, 40.0)]);
}

/// Denies every change of these instances.
fn deny(scene: &Scene, ids: &[String]) {
    for id in ids {
        scene.sim.inject(Fault::new(FaultKind::Deny).on(MODIFY).of(id));
    }
}

/// Why an instance of [`in_use`] is held back.
fn forty_calls() -> String {
    format!("40 calls without a token in 14 days, the last on {}", day(1))
}

/// The reason of an instance that is held back for this.
fn held(why: &str) -> String {
    format!("HttpTokens=required is held back: {why}")
}

/// The instances for which a change of `HttpTokens` to `required` was sent, dry runs included.
fn tokens_sent(scene: &Scene) -> Vec<String> {
    let calls = scene.calls(MODIFY).into_iter();
    let calls =
        calls.filter(|call| call.parameters.get("HttpTokens").is_some_and(|value| value == "required"));
    calls.flat_map(|call| call.instance_ids).collect()
}

/// The instances that each GetMetricData call asked about, sorted.
fn asked_about(scene: &Scene) -> Vec<Vec<String>> {
    let sorted = |mut ids: Vec<String>| {
        ids.sort();
        ids
    };
    scene.calls(METRICS).into_iter().map(|call| sorted(call.instance_ids)).collect()
}

/// The names of all calls so far, in their order.
fn actions(scene: &Scene) -> Vec<String> {
    scene.sim.calls().into_iter().map(|call| call.action).collect()
}

fn outcome<'a>(answer: &'a Answer, id: &str) -> &'a InstanceOutcome {
    let found = answer.report.outcomes.iter().find(|outcome| outcome.instance_id.as_str() == id);
    found.unwrap_or_else(|| panic!("{id} has an outcome: {:?}", answer.report.outcomes))
}

/// The name of an instance's outcome.
fn became(answer: &Answer, id: &str) -> &'static str {
    outcome(answer, id).outcome.as_str()
}

/// The JSON of an instance's outcome.
fn reported(answer: &Answer, id: &str) -> Value {
    serde_json::to_value(outcome(answer, id)).unwrap()
}

fn http_tokens(scene: &Scene, id: &str) -> String {
    scene.instance(id).options["HttpTokens"].clone()
}

/// The event of an instance that was started or stopped now.
fn state_event(id: &str) -> Value {
    running_event(id, now())
}

/// An SQS batch of these events.
fn records(events: &[Value]) -> Value {
    batch(&events.iter().map(Value::to_string).collect::<Vec<_>>(), 1)
}

/// A sweep with this event ID.
fn sweep_of(id: &str) -> Value {
    let mut event = sweep_event();
    event["id"] = json!(id);
    event
}
