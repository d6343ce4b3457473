//! Events, and the instances that they name.

use super::*;
use crate::ids::InstanceId;
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

fn run(rest: Value) -> Value {
    let mut detail = json!({"eventName": "RunInstances", "eventTime": "2026-03-17T00:59:41Z"});
    detail.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    call(detail)
}

fn with(mut event: Value, key: &str, value: Value) -> Value {
    event[key] = value;
    event
}

#[test]
fn events_name_instances() {
    let launched = json!({"instancesSet": {"items": [{"instanceId": ID}, {"instanceId": "i-01234567"}]}});
    let time = time::macros::datetime!(2026-03-17 00:59:41 UTC);
    let rows = [
        ("launch", run(json!({"responseElements": launched})), TriggerKind::Launch, ids(&[ID, "i-01234567"])),
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
            "a sum of counts that overflows",
            run(json!({"requestParameters": {
                "clientToken": "t-1", "instancesSet": {"items": [{"minCount": u64::MAX}, {"minCount": u64::MAX}]},
            }})),
            TriggerKind::Launch,
            InstanceSelector::ClientToken { token: "t-1".to_owned(), at_least: 1000 },
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
        assert!(trigger.unreadable.is_empty(), "{name}: {:?}", trigger.unreadable);
        assert_eq!(trigger.account_region.account.as_str(), "111122223333", "{name}");
        assert_eq!(trigger.account_region.region.as_str(), "us-east-1", "{name}");
    }
}

#[test]
fn other_events_are_ignored_with_a_reason() {
    let failed = json!({"eventName": "RunInstances", "errorCode": "Client.UnauthorizedOperation", "responseElements": null});
    let of = |service: &str, kind: &str| {
        with(tags(json!(["App"]), json!([ARN])), "detail", json!({"service": service, "resource-type": kind}))
    };
    let rows = [
        (json!([]), "not an EventBridge event"),
        (json!(7), "not an EventBridge event"),
        (json!({}), "not an EventBridge event"),
        (event("aws.s3", "Object Created", json!({})), "source \"aws.s3\""),
        (event("\u{1b}[2J\u{202e}", "x", json!({})), r#"source "\u{1b}[2J\u{202e}" with"#),
        (call(json!({"eventName": "CreateTags"})), "the call \"CreateTags\""),
        (call(failed), "the call failed with \"Client.UnauthorizedOperation\""),
        (state(ID, "terminated"), "the state \"terminated\" requires no action"),
        // An event that is not needed needs no readable envelope.
        (with(state(ID, "terminated"), "time", json!(0)), "the state \"terminated\" requires no action"),
        (tags(json!(["Other"]), json!([ARN])), "the policy reads none of the changed tags"),
        (tags(json!([]), json!([ARN])), "the policy reads none of the changed tags"),
        (of("s3", "bucket"), "tags of \"s3\" are not handled"),
        (of("ec2", "volume"), "tags of \"volume\" are not handled"),
        (event("imds-enforcer", "Broom", json!({})), "source \"imds-enforcer\""),
    ];
    for (event, expected) in rows {
        let NoTrigger::Ignored(why) = Trigger::from_event(&event, &policy()).expect_err(&event.to_string())
        else {
            panic!("{event} is not ignored")
        };
        assert!(why.to_string().starts_with(expected), "{event}: {why}");
    }
}

#[test]
fn an_event_that_matters_and_cannot_be_read_names_the_field() {
    let tag_detail = |detail: Value| with(tags(json!([]), json!([ARN])), "detail", detail);
    let sweep = event("imds-enforcer", "Sweep", json!({}));
    let rows = [
        (call(json!({})), "detail.eventName"),
        (call(json!({"eventName": 7})), "detail.eventName"),
        (call(json!({"eventName": "RunInstances"})), "detail.eventTime"),
        (
            call(
                json!({"eventName": "RunInstances", "responseElements": {"instancesSet": {"items": [{"instanceId": "i-*"}]}}}),
            ),
            "detail.eventTime",
        ),
        (modify(json!({"InstanceId": ID})), "the InstanceId in detail.requestParameters"),
        (
            modify(json!({"ModifyInstanceMetadataOptionsRequest": {"InstanceId": "i-1"}})),
            "the InstanceId in detail.requestParameters",
        ),
        (state("i-*", "running"), "detail.instance-id"),
        (
            event("aws.ec2", "EC2 Instance State-change Notification", json!({"instance-id": ID})),
            "detail.state",
        ),
        (tag_detail(json!({"resource-type": "instance"})), "detail.service"),
        (tag_detail(json!({"service": "ec2"})), "detail.resource-type"),
        (tags(json!(null), json!([ARN])), "detail.changed-tag-keys"),
        (tags(json!(["Other", 7]), json!([ARN])), "detail.changed-tag-keys"),
        (
            tags(json!(["App"]), json!(["arn:aws:ec2:us-east-1:1:volume/vol-1"])),
            "an instance's ARN in resources",
        ),
        (tags(json!(["App"]), json!(null)), "an instance's ARN in resources"),
        (with(state(ID, "running"), "account", json!("1")), "account"),
        (with(state(ID, "running"), "region", json!("evil.example/")), "region"),
        (with(state(ID, "running"), "time", json!(0)), "time"),
        (with(sweep.clone(), "time", json!(null)), "time"),
        (with(sweep, "account", json!(111122223333_u64)), "account"),
    ];
    for (event, expected) in rows {
        let error = Trigger::from_event(&event, &policy()).expect_err(&event.to_string());
        assert_eq!(error, NoTrigger::Unreadable { field: expected }, "{event}");
        let message = format!("the event cannot be read: {expected} is missing or malformed");
        assert_eq!(error.to_string(), message, "{event}");
    }
}

#[test]
fn what_is_readable_of_an_event_is_named_and_the_rest_is_told() {
    let launch = |items: Value, parameters: Value| {
        run(json!({"responseElements": {"instancesSet": {"items": items}}, "requestParameters": parameters}))
    };
    let token = InstanceSelector::ClientToken { token: "t-1".to_owned(), at_least: 1 };
    let long = "x".repeat(500);
    let rows: [(Value, InstanceSelector, &[&str]); 6] = [
        (launch(json!([{"instanceId": "i-*"}, {"instanceId": ID}]), json!({})), ids(&[ID]), &[r#""i-*""#]),
        (
            launch(
                json!([{"instanceId": ID}, {"instanceId": "i-\u{202e}\n"}, {}, {"instanceId": 7}]),
                json!({}),
            ),
            ids(&[ID]),
            &[r#""i-\u{202e}\n""#, "{}", "7"],
        ),
        (
            launch(json!([{"instanceId": ID}, {"instanceId": long}]), json!({})),
            ids(&[ID]),
            &[&format!("\"{}\"…", "x".repeat(128))],
        ),
        (launch(json!([{"instanceId": "i-*"}]), json!({"clientToken": "t-1"})), token, &[r#""i-*""#]),
        (
            launch(json!([{"instanceId": "i-*"}]), json!({})),
            InstanceSelector::LaunchedAround(time::macros::datetime!(2026-03-17 00:59:41 UTC)),
            &[r#""i-*""#],
        ),
        (
            tags(json!(["App"]), json!(["arn:aws:ec2:us-east-1:111122223333:instance/i-x", ARN])),
            ids(&[ID]),
            &[r#""arn:aws:ec2:us-east-1:111122223333:instance/i-x""#],
        ),
    ];
    for (event, instances, unreadable) in rows {
        let trigger = Trigger::from_event(&event, &policy()).unwrap_or_else(|why| panic!("{event}: {why}"));
        assert_eq!(trigger.instances, instances, "{event}");
        assert_eq!(trigger.unreadable, unreadable, "{event}");
    }
}
