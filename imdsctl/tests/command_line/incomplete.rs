//! Input that lacks what a decision needs gets an error, not a decision.

use serde_json::{Value, json};

use crate::{Folder, NEW, POLICY, described, imdsctl, instance, stderr, stdout, without};

/// A policy whose tags may exempt an instance until it is 90 days old.
const AGING: &str = r#"{"baseline": {"HttpTokens": "required"},
    "instanceTags": {"exemptions": {"maxDays": 30, "maxAgeDays": 90}}}"#;

fn optional() -> Value {
    instance(1, "optional", json!([]))
}

#[test]
fn what_the_decision_needs_and_the_input_lacks_is_an_error() {
    let hop_limit = "policy/examples/container-hosts.json";
    let lacks = |field| without(optional(), &[field]);
    let nulled = |field: &str| {
        let mut instance = optional();
        instance[field] = Value::Null;
        instance
    };
    let rows = [
        (POLICY, described(&[optional(), lacks("State")]), "Reservations[0].Instances[1]", "State.Name"),
        (POLICY, described(&[nulled("State")]), "Reservations[0].Instances[0]", "State.Name"),
        (
            POLICY,
            described(&[lacks("MetadataOptions.HttpTokens")]),
            "Reservations[0].Instances[0]",
            "MetadataOptions.HttpTokens",
        ),
        (
            POLICY,
            described(&[nulled("MetadataOptions")]),
            "Reservations[0].Instances[0]",
            "MetadataOptions.HttpTokens",
        ),
        (
            hop_limit,
            described(&[lacks("MetadataOptions.HttpPutResponseHopLimit")]),
            "Reservations[0].Instances[0]",
            "MetadataOptions.HttpPutResponseHopLimit",
        ),
        (POLICY, described(&[lacks("InstanceId")]), "Reservations[0].Instances[0]", "InstanceId"),
        (POLICY, json!([lacks("State")]).to_string(), "[0]", "State.Name"),
        (POLICY, json!([optional(), lacks("Tags")]).to_string(), "[1]", "Tags"),
        (POLICY, json!([optional(), lacks("Operator")]).to_string(), "[1]", "Operator"),
        (POLICY, json!([[optional()], [optional(), lacks("Tags")]]).to_string(), "[1][1]", "Tags"),
    ];
    for (policy, input, place, field) in rows {
        let output = imdsctl(&["explain", "--policy", policy], &input);
        let (row, message) = (format!("{policy} {input}"), stderr(&output));
        assert_eq!(output.status.code(), Some(2), "{row}: {}", stdout(&output));
        for part in ["standard input: ", place, field, "--query 'Reservations[].Instances[].{"] {
            assert!(message.contains(part), "{row}: {part:?} is not in {message:?}");
        }
        let decided = stdout(&output).lines().filter(|line| line.starts_with("i-")).count();
        let complete = input.matches("InstanceId").count() - usize::from(field != "InstanceId");
        assert_eq!(decided, complete, "{row}: nothing is decided on the instance: {}", stdout(&output));
    }
}

#[test]
fn what_the_decision_does_not_need_may_be_absent() {
    let folder = Folder::new("not-needed");
    let tagless = folder.file(
        "tagless.json",
        r#"{"baseline": {"HttpTokens": "required"}, "instanceTags": {"authority": "none"}}"#,
    );
    let tagless = tagless.as_str();
    let terminated = json!({"InstanceId": "i-00000001", "State": {"Name": "terminated"}});
    let managed =
        json!({"InstanceId": "i-00000001", "Operator": {"Managed": true, "Principal": "eks.amazonaws.com"}});
    let mut disabled = without(optional(), &["MetadataOptions.HttpTokens"]);
    disabled["MetadataOptions"]["HttpEndpoint"] = "disabled".into();
    let mut null_operator = optional();
    null_operator["Operator"] = Value::Null;
    let mut null_tags = optional();
    null_tags["Tags"] = Value::Null;
    let rows = [
        ("a whole answer without tags", POLICY, described(&[without(optional(), &["Tags"])]), "change"),
        ("a null operator is none", POLICY, json!([null_operator]).to_string(), "change"),
        (
            "a whole answer without an operator",
            POLICY,
            described(&[without(optional(), &["Operator"])]),
            "change",
        ),
        ("null is an empty list of tags", POLICY, json!([null_tags]).to_string(), "change"),
        ("the policy reads no tags", tagless, json!([without(optional(), &["Tags"])]).to_string(), "change"),
        ("terminated", POLICY, json!([terminated]).to_string(), "out-of-scope"),
        ("managed", POLICY, json!([managed]).to_string(), "out-of-scope"),
        ("IMDS is off", POLICY, json!([disabled]).to_string(), "compliant"),
        (
            "options without a requirement",
            POLICY,
            described(&[without(
                optional(),
                &["MetadataOptions.HttpPutResponseHopLimit", "MetadataOptions.HttpEndpoint"],
            )]),
            "change",
        ),
        (
            "no rule names accounts or Regions",
            POLICY,
            json!([without(optional(), &["Placement"])]).to_string(),
            "change",
        ),
        ("a list of lists", POLICY, json!([[optional()], [], [optional()]]).to_string(), "change"),
    ];
    for (row, policy, input, decision) in rows {
        let output = imdsctl(&["explain", "--json", "--now", NEW, "--policy", policy], &input);
        let list: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{row}: {}", stderr(&output)));
        assert_eq!(list[0]["decision"], decision, "{row}");
        assert_eq!(stderr(&output), "", "{row}");
    }
}

#[test]
fn the_suggested_query_keeps_exactly_what_the_policy_needs() {
    let folder = Folder::new("query");
    let policy = |name, text: &str| folder.file(name, text);
    let tagless = policy(
        "tagless.json",
        r#"{"baseline": {"HttpTokens": "required"}, "instanceTags": {"authority": "none"}}"#,
    );
    let scoped = policy(
        "scoped.json",
        r#"{"rules": [{"name": "a", "when": {"accounts": "111122223333", "regions": "eu-*"},
            "require": {"HttpTokens": "required"}}]}"#,
    );
    let aging = policy("aging.json", AGING);
    let tags = policy("tags.json", r#"{"baseline": {"HttpTokens": "required"}}"#);
    let when = |condition: &str| {
        format!(
            r#"{{"rules": [{{"name": "a", "when": {{{condition}}}, "require": {{"HttpTokens": "required"}}}}],
                "instanceTags": {{"authority": "none"}}}}"#
        )
    };
    let images = policy("images.json", &when(r#""images": "ami-*""#));
    let aged = policy("aged.json", &when(r#""launchedBefore": "2026-01-01""#));
    let always = "InstanceId:InstanceId,State:State,Operator:Operator,MetadataOptions:MetadataOptions";
    let (account, region): (&[&str], &[&str]) = (&["--account", "111122223333"], &["--region", "eu-west-1"]);
    let rows = [
        (tagless.as_str(), account, always.to_owned()),
        (&tags, &[], format!("{always},Tags:Tags")),
        // The usage gate does not concern a new instance.
        (POLICY, &[], format!("{always},Tags:Tags,NetworkInterfaces:NetworkInterfaces")),
        (&images, &[], format!("{always},ImageId:ImageId")),
        (&aged, &[], format!("{always},NetworkInterfaces:NetworkInterfaces")),
        (&scoped, account, format!("{always},Tags:Tags,Placement:Placement")),
        (&scoped, region, format!("{always},Tags:Tags,NetworkInterfaces:NetworkInterfaces")),
        (&aging, account, format!("{always},Tags:Tags,NetworkInterfaces:NetworkInterfaces")),
    ];
    for (policy, more, fields) in rows {
        let arguments = [&["explain", "--policy", policy], more].concat();
        let message = stderr(&imdsctl(&arguments, "[{}]"));
        let query = format!("--query 'Reservations[].Instances[].{{{fields}}}'");
        assert!(message.contains(&query), "{policy} {more:?}: {query} is not in {message}");
    }
}

#[test]
fn an_instance_first_ran_when_its_primary_interface_was_attached() {
    let folder = Folder::new("first-ran");
    let policy = folder.file("aging.json", AGING);
    let exempt = |interfaces: Value| {
        let mut one = instance(1, "optional", json!([{"Key": "imds:ExemptUntil", "Value": "2026-12-01"}]));
        one["NetworkInterfaces"] = interfaces;
        one
    };
    let attached = |index: u32, time: &str| json!({"Attachment": {"DeviceIndex": index, "AttachTime": time}});
    let (young, old) = ("2026-11-01T00:00:00+00:00", "2026-01-01T00:00:00.000Z");
    let rows = [
        (json!([attached(1, old), attached(0, young)]), "exempt"),
        (json!([attached(1, young), attached(0, old)]), "change"),
        (json!([attached(1, young)]), "change"),
        (json!([{"Attachment": null}]), "change"),
        (json!(null), "change"),
    ];
    for (interfaces, decision) in rows {
        let arguments = ["explain", "--json", "--now", "2026-11-24T12:00:00Z", "--policy", &policy];
        let output = imdsctl(&arguments, &described(&[exempt(interfaces.clone())]));
        let list: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{interfaces}: {}", stderr(&output)));
        assert_eq!(list[0]["decision"], decision, "{interfaces}");
    }
    // A projection may have dropped the interfaces.
    let projected = json!([without(exempt(json!([])), &["NetworkInterfaces"])]).to_string();
    let output = imdsctl(&["explain", "--now", "2026-11-24T12:00:00Z", "--policy", &policy], &projected);
    assert_eq!(output.status.code(), Some(2), "{}", stdout(&output));
    assert!(stderr(&output).contains("[0] lacks NetworkInterfaces"), "{}", stderr(&output));
}

#[test]
fn the_usage_gate_and_conditions_need_what_the_input_lacks() {
    let folder = Folder::new("gate");
    let images =
        r#"{"rules": [{"name": "a", "when": {"images": "ami-0a*"}, "require": {"HttpTokens": "required"}}]}"#;
    let aged = images.replace(r#""images": "ami-0a*""#, r#""launchedBefore": "2026-01-01""#);
    let (images, aged) = (folder.file("images.json", images), folder.file("aged.json", aged));
    let ageless = without(optional(), &["NetworkInterfaces"]);
    let of_image = |id: &str| {
        let mut one = optional();
        one["ImageId"] = id.into();
        one
    };
    let attached = |interfaces: Value| {
        let mut one = optional();
        one["NetworkInterfaces"] = interfaces;
        json!([one])
    };
    let second = json!({"Attachment": {"DeviceIndex": 1}});
    let rows = [
        (POLICY, json!([ageless]), Err("[0] lacks NetworkInterfaces")),
        (POLICY, json!([optional()]), Ok("needs-usage")),
        // A projection may have dropped a part of the interfaces. An instance without interfaces has none.
        (
            POLICY,
            attached(json!([{"OwnerId": "111122223333"}])),
            Err("[0] lacks NetworkInterfaces[].Attachment"),
        ),
        (
            POLICY,
            attached(json!([{"Attachment": {"AttachTime": "2026-11-24T11:30:00Z"}}])),
            Err("[0] lacks NetworkInterfaces[].Attachment.DeviceIndex"),
        ),
        (
            POLICY,
            attached(json!([second, {"Attachment": {"DeviceIndex": 0}}])),
            Err("[0] lacks NetworkInterfaces[].Attachment.AttachTime"),
        ),
        (POLICY, attached(json!([second])), Ok("needs-usage")),
        (POLICY, attached(json!([])), Ok("needs-usage")),
        (&images, json!([optional()]), Err("[0] lacks ImageId")),
        (&images, json!([of_image("ami-0a234567")]), Ok("change")),
        (&images, json!([of_image("ami-0b234567")]), Ok("compliant")),
        (&aged, json!([ageless]), Err("[0] lacks NetworkInterfaces[].Attachment.AttachTime")),
        (&aged, json!([optional()]), Ok("compliant")),
    ];
    for (policy, input, expected) in rows {
        let arguments = ["explain", "--json", "--now", "2026-11-24T12:00:00Z", "--policy", policy];
        let output = imdsctl(&arguments, &input.to_string());
        match expected {
            Ok(decision) => {
                let list: Value =
                    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(&output)));
                assert_eq!(list[0]["decision"], decision, "{policy} on {input}");
            }
            Err(why) => assert!(stderr(&output).contains(why), "{policy} on {input}: {}", stderr(&output)),
        }
    }
}
