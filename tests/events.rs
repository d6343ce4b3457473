//! Parses every file in events/ as the function does, and compares the result with the table here.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;

use imds_core::policy::Policy;
use imds_core::selector::InstanceSelector;
use imds_core::trigger::{NoTrigger, Trigger};
use serde_json::Value;

/// The expected result by file name: the trigger and the number of instances, or the start of the reason to ignore it.
const EXPECTED: &[(&str, &str)] = &[
    ("ec2-launch-auto-scaling", "launch: 1 instance"),
    ("ec2-launch-cut-off", "launch: the launch with client token"),
    ("ec2-launch-failed", "ignored: the call failed with \"Client.UnauthorizedOperation\""),
    ("ec2-launch-many", "launch: 20 instances"),
    ("ec2-launch-one", "launch: 1 instance"),
    ("ec2-modify-options", "drift: 1 instance"),
    ("ec2-state-running", "state-change: 1 instance"),
    ("ec2-state-stopped", "state-change: 1 instance"),
    ("ec2-state-terminated", "ignored: the state \"terminated\" requires no action"),
    ("events-scheduled", "sweep: every instance"),
    ("imds-enforcer-sweep", "sweep: every instance"),
    ("imds-enforcer-sweep-watch", "sweep: every instance"),
    ("s3-unrelated", "ignored: source \"aws.s3\""),
    ("sqs-batch", "ignored: not an EventBridge event"),
    ("tag-change", "tag-change: 1 instance"),
    ("tag-change-unread", "ignored: the policy reads none of the changed tags"),
];

/// A policy that reads the tag `App`.
fn policy() -> Policy {
    let rule = r#"{"name": "r", "when": {"tags": {"App": "x"}}, "require": {"HttpTokens": "required"}}"#;
    Policy::parse(&format!(r#"{{"rules": [{rule}]}}"#)).unwrap()
}

fn summary(event: &Value) -> String {
    match Trigger::from_event(event, &policy()) {
        Err(NoTrigger::Ignored(why)) => format!("ignored: {why}"),
        Err(unreadable) => unreadable.to_string(),
        Ok(trigger) => {
            let kind = serde_json::to_value(trigger.kind).unwrap();
            let instances = match &trigger.instances {
                InstanceSelector::Ids(ids) if ids.len() == 1 => "1 instance".to_owned(),
                InstanceSelector::Ids(ids) => format!("{} instances", ids.len()),
                selection => selection.to_string(),
            };
            format!("{}: {instances}", kind.as_str().unwrap())
        }
    }
}

#[test]
fn every_sample_event_names_what_it_should() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("events");
    let mut expected: BTreeMap<&str, &str> = EXPECTED.iter().copied().collect();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let event: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let start = expected.remove(&*name).unwrap_or_else(|| panic!("{name}.json: add it to EXPECTED"));
        let summary = summary(&event);
        assert!(summary.starts_with(start), "{name}.json: {summary}, not {start}");
    }
    assert!(expected.is_empty(), "missing files: {expected:?}");
}
