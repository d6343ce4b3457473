//! Events, and the instances that they name.

use super::*;
use serde_json::json;

fn event(source: &str, detail_type: &str, detail: Value) -> Value {
    json!({
        "version": "0", "source": source, "detail-type": detail_type, "account": "111122223333",
        "region": "us-east-1", "time": "2026-03-17T00:59:42Z", "detail": detail,
    })
}

fn call(detail: Value) -> Value {
    event("aws.ec2", "AWS API Call via CloudTrail", detail)
}

fn state(id: &str, state: &str) -> Value {
    let detail = json!({"instance-id": id, "state": state});
    event("aws.ec2", "EC2 Instance State-change Notification", detail)
}

fn tags(keys: Value, resources: Value) -> Value {
    let detail = json!({"changed-tag-keys": keys, "service": "ec2", "resource-type": "instance", "tags": {}});
    let mut event = event("aws.tag", "Tag Change on Resource", detail);
    event["resources"] = resources;
    event
}

fn policy() -> Policy {
    Policy::parse(
        r#"{"rules": [
            {"name": "a", "when": {"tags": {"App": "*"}}, "require": {"InstanceMetadataTags": "enabled"}}
        ]}"#,
    )
    .unwrap()
}

fn modify(parameters: Value) -> Value {
    call(json!({"eventName": "ModifyInstanceMetadataOptions", "requestParameters": parameters}))
}

const ID: &str = "i-0123456789abcdef0";
const ARN: &str = "arn:aws:ec2:us-east-1:111122223333:instance/i-0123456789abcdef0";

fn ids(ids: &[&str]) -> InstanceSelector {
    InstanceSelector::Ids(ids.iter().map(|id| InstanceId::new(id).unwrap()).collect())
}

#[test]
fn events_name_instances() {
    let run = |rest: Value| {
        let mut detail = json!({"eventName": "RunInstances", "eventTime": "2026-03-17T00:59:41Z"});
        detail.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        call(detail)
    };
    let launched = json!({"instancesSet": {"items": [{"instanceId": ID}, {"instanceId": "i-01234567"}]}});
    let time = time::macros::datetime!(2026-03-17 00:59:41 UTC);
    let rows = [
        ("launch", run(json!({"responseElements": launched})), TriggerKind::Launch, ids(&[ID, "i-01234567"])),
        (
            "launch with one invalid id",
            run(
                json!({"responseElements": {"instancesSet": {"items": [{"instanceId": "i-*"}, {"instanceId": ID}]}}}),
            ),
            TriggerKind::Launch,
            ids(&[ID]),
        ),
        (
            "response omitted",
            run(json!({"requestParameters": {"clientToken": "t-1"}, "responseElements": {"omitted": true}})),
            TriggerKind::Launch,
            InstanceSelector::ClientToken { token: "t-1".to_owned(), at_least: 1 },
        ),
        (
            "empty set",
            run(json!({
                "requestParameters": {"clientToken": "t-1", "instancesSet": {"items": [{"minCount": 3, "maxCount": 5}]}},
                "responseElements": {"instancesSet": {}},
            })),
            TriggerKind::Launch,
            InstanceSelector::ClientToken { token: "t-1".to_owned(), at_least: 3 },
        ),
        (
            "parameters and response omitted",
            run(json!({"requestParameters": {"omitted": true}, "responseElements": {"omitted": true}})),
            TriggerKind::Launch,
            InstanceSelector::LaunchedAround(time),
        ),
        ("running", state(ID, "running"), TriggerKind::StateChange, ids(&[ID])),
        ("stopped", state(ID, "stopped"), TriggerKind::StateChange, ids(&[ID])),
        (
            "drift",
            modify(
                json!({"ModifyInstanceMetadataOptionsRequest": {"InstanceId": ID, "HttpTokens": "optional"}}),
            ),
            TriggerKind::Drift,
            ids(&[ID]),
        ),
        ("tag of a rule", tags(json!(["x", "App"]), json!([ARN])), TriggerKind::TagChange, ids(&[ID])),
        ("tag under the prefix", tags(json!(["imds:x"]), json!([ARN])), TriggerKind::TagChange, ids(&[ID])),
        ("tag that forbids another", tags(json!(["a/b"]), json!([ARN])), TriggerKind::TagChange, ids(&[ID])),
        (
            "sweep on demand",
            event("imds-enforcer", "Sweep", json!({})),
            TriggerKind::Sweep,
            InstanceSelector::All,
        ),
        (
            "sweep by schedule",
            event("aws.events", "Scheduled Event", json!({})),
            TriggerKind::Sweep,
            InstanceSelector::All,
        ),
    ];
    for (name, event, kind, instances) in rows {
        let trigger =
            Trigger::from_event(&event, &policy()).unwrap_or_else(|ignored| panic!("{name}: {ignored}"));
        assert_eq!((trigger.kind, trigger.instances), (kind, instances), "{name}");
        assert_eq!(trigger.account_region.account.as_str(), "111122223333", "{name}");
        assert_eq!(trigger.account_region.region.as_str(), "us-east-1", "{name}");
    }
}

#[test]
fn other_events_are_ignored_with_a_reason() {
    let with = |mut event: Value, key: &str, value: Value| {
        event[key] = value;
        event
    };
    let failed = json!({"eventName": "RunInstances", "errorCode": "Client.UnauthorizedOperation", "responseElements": null});
    let rows = [
        (json!([]), "not an EventBridge event"),
        (json!(7), "not an EventBridge event"),
        (json!({}), "not an EventBridge event"),
        (event("aws.s3", "Object Created", json!({})), "source \"aws.s3\""),
        (call(json!({"eventName": "CreateTags"})), "the call \"CreateTags\""),
        (call(json!({})), "detail.eventName is missing"),
        (call(failed), "the call failed with \"Client.UnauthorizedOperation\""),
        (call(json!({"eventName": "RunInstances"})), "detail.eventTime is missing"),
        (state(ID, "terminated"), "the state \"terminated\" requires no action"),
        (state("i-*", "running"), "detail.instance-id is missing or malformed"),
        (modify(json!({"InstanceId": ID})), "the InstanceId in detail.requestParameters is missing"),
        (tags(json!(["Other"]), json!([ARN])), "the policy reads none of the changed tags"),
        (tags(json!([]), json!([ARN])), "the policy reads none of the changed tags"),
        (tags(json!(null), json!([ARN])), "detail.changed-tag-keys is missing or malformed"),
        (
            tags(json!(["App"]), json!(["arn:aws:ec2:us-east-1:1:volume/vol-1"])),
            "an instance's ARN in resources",
        ),
        (
            with(
                tags(json!(["App"]), json!([ARN])),
                "detail",
                json!({"service": "s3", "resource-type": "bucket"}),
            ),
            "tags of \"bucket\" are not handled",
        ),
        (event("imds-enforcer", "Broom", json!({})), "source \"imds-enforcer\""),
        (with(state(ID, "running"), "account", json!("1")), "account is missing or malformed"),
        (with(state(ID, "running"), "region", json!("evil.example/")), "region is missing or malformed"),
        (with(state(ID, "running"), "time", json!(0)), "time is missing or malformed"),
    ];
    for (event, expected) in rows {
        let ignored = Trigger::from_event(&event, &policy()).expect_err(&event.to_string()).to_string();
        assert!(ignored.starts_with(expected), "{event}: {ignored}");
    }
}
