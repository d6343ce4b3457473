//! Load and failure tests of the built function as a process, with an emulated SQS queue and EC2.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod burst;
mod chaos;
mod hub;
mod poison;
#[path = "../support/mod.rs"]
mod support;
mod sweep;

use std::collections::BTreeMap;

use ec2_sim::RecordedCall;

const DESCRIBE: &str = "DescribeInstances";

const MODIFY: &str = "ModifyInstanceMetadataOptions";

/// Serializes the tests that measure time and memory or that compute for long.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn by_code(calls: &[RecordedCall]) -> BTreeMap<(String, String), usize> {
    let mut counts = BTreeMap::new();
    for call in calls {
        let code = call.code.clone().or(call.status.map(|s| s.to_string())).unwrap_or("no answer".to_owned());
        *counts.entry((call.action.clone(), code)).or_default() += 1;
    }
    counts
}
