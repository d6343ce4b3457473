//! Under load and failure: the built function as a process, a queue before it, and EC2 behind it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod burst;
mod chaos;
mod poison;
#[path = "../support/mod.rs"]
mod support;
mod sweep;

use std::collections::BTreeMap;

use ec2_sim::RecordedCall;

const DESCRIBE: &str = "DescribeInstances";

const MODIFY: &str = "ModifyInstanceMetadataOptions";

/// Most of these tests measure time and memory, or compute, on a small machine: one at a time.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn by_code(calls: &[RecordedCall]) -> BTreeMap<(String, String), usize> {
    let mut counts = BTreeMap::new();
    for call in calls {
        let code = call.code.clone().or(call.status.map(|s| s.to_string())).unwrap_or("no answer".to_owned());
        *counts.entry((call.action.clone(), code)).or_default() += 1;
    }
    counts
}
