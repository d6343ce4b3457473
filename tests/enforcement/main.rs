//! The function's reaction to events, verified with the calls that the simulator recorded.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod changes;
mod cut_off;
mod deliveries;
mod launches;
mod refusals;
mod retries;
#[path = "../support/mod.rs"]
mod support;

const DESCRIBE: &str = "DescribeInstances";

const MODIFY: &str = "ModifyInstanceMetadataOptions";

fn outcomes(answer: &imds_enforcer::handler::Answer) -> Vec<(String, &'static str)> {
    let outcomes = answer.report.outcomes.iter();
    outcomes.map(|report| (report.instance_id.to_string(), report.outcome.as_str())).collect()
}
