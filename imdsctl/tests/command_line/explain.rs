//! What `imdsctl explain` prints, and its exit codes.

use serde_json::{Value, json};

use crate::{NEW, ORGANIZATION, POLICY, described, imdsctl, instance, run, stderr, stdout};

/// Returns the list that `explain --json` prints.
pub fn entries(arguments: &[&str], input: &str) -> Value {
    let output = imdsctl(&[&["explain", "--json"], arguments].concat(), input);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(&output)))
}

/// Returns the decision and the change for one new instance.
fn explained(policy: &str, mut instance: Value, more: &[&str]) -> (String, Value) {
    let now = more.iter().position(|argument| *argument == "--now").map_or(NOW, |place| more[place + 1]);
    instance["NetworkInterfaces"][0]["Attachment"]["AttachTime"] = now.into();
    let more: Vec<&str> =
        more.iter().copied().filter(|argument| !["--now", now].contains(argument)).collect();
    let list = entries(&[&["--policy", policy, "--now", now], &more[..]].concat(), &described(&[instance]));
    (list[0]["decision"].as_str().unwrap().to_owned(), list[0]["change"].clone())
}

pub const NOW: &str = "2026-11-24T12:00:00Z";

pub fn tag(key: &str, value: &str) -> Value {
    json!([{"Key": key, "Value": value}])
}

#[test]
fn the_examples_decide_as_their_names_say() {
    let (hosts, vaults) =
        ("policy/examples/container-hosts.json", "policy/examples/endpoint-off-by-tag.json");
    let ipv6 = "policy/examples/ipv6-and-metadata-tags.json";
    let tokens = json!({"HttpTokens": "required"});
    let two_hops = json!({"HttpTokens": "required", "HttpPutResponseHopLimit": 2});
    let here: &[&str] = &[];
    let rows = [
        (hosts, json!([]), here, "change", &tokens),
        (hosts, tag("eks:cluster-name", "shop"), here, "change", &two_hops),
        // A launch follows its group.
        (hosts, tag("aws:autoscaling:groupName", "kops-7"), here, "needs-usage", &json!({})),
        (ORGANIZATION, json!([]), here, "change", &tokens),
        (ORGANIZATION, tag("App", "payroll-7"), here, "exempt", &json!({})),
        (ORGANIZATION, tag("App", "payroll-7"), &["--region", "us-east-1"], "change", &tokens),
        (ORGANIZATION, tag("App", "payroll-7"), &["--account", "999999999999"], "change", &tokens),
        (ORGANIZATION, tag("App", "payroll-7"), &["--now", "2027-03-31T23:59:59Z"], "exempt", &json!({})),
        (ORGANIZATION, tag("App", "payroll-7"), &["--now", "2027-04-01T00:00:00Z"], "change", &tokens),
        (ORGANIZATION, tag("imds:ExemptUntil", "2027-01-31"), here, "exempt", &json!({})),
        (ORGANIZATION, tag("imds:ExemptUntil", "2027-03-31"), here, "change", &tokens),
        (vaults, tag("Imds", "off"), here, "change", &json!({"HttpEndpoint": "disabled"})),
        (vaults, tag("imds:HttpEndpoint", "disabled"), here, "change", &tokens),
        (
            ipv6,
            tag("Network", "ipv6-only"),
            here,
            "change",
            &json!({"HttpTokens": "required", "HttpProtocolIpv6": "enabled"}),
        ),
        (
            ipv6,
            tag("Agent", "scanner-1"),
            here,
            "change",
            &json!({"HttpTokens": "required", "InstanceMetadataTags": "enabled"}),
        ),
    ];
    for (policy, tags, more, decision, change) in rows {
        let row = format!("{policy} {tags} {more:?}");
        assert_eq!(
            explained(policy, instance(1, "optional", tags), more),
            (decision.to_owned(), change.clone()),
            "{row}"
        );
    }
}

#[test]
fn an_exemption_by_a_tag_ends_a_year_after_the_first_run() {
    for (now, decision) in [("2027-03-01T23:59:59Z", "exempt"), ("2027-03-02T00:00:00Z", "needs-usage")] {
        let input = described(&[instance(1, "optional", tag("imds:ExemptUntil", "2027-03-31"))]);
        let list = entries(&["--now", now, "--policy", ORGANIZATION], &input);
        assert_eq!(list[0]["decision"], decision, "{now}");
    }
}

#[test]
fn the_gate_does_not_concern_the_hop_limit() {
    let node = instance(1, "required", tag("aws:autoscaling:groupName", "kops-7"));
    let two_hops = json!({"HttpPutResponseHopLimit": 2});
    let hosts = "policy/examples/container-hosts.json";
    assert_eq!(explained(hosts, node, &[]), ("change".to_owned(), two_hops));
}

#[test]
fn explain_says_what_would_change_and_why() {
    let tags =
        json!([{"Key": "Name", "Value": "web\u{1b}[31m"}, {"Key": "imds:HttpTokens", "Value": "optional"}]);
    let input = described(&[instance(1, "optional", tags), instance(2, "required", json!([]))]);
    let output = imdsctl(&["explain", "--now", NEW, "--policy", POLICY], &input);
    let expected = r#"i-00000000000000001 "web\u{1b}[31m": change
  HttpTokens: optional -> required
  because baseline requires HttpTokens=required
  warning: tag "imds:HttpTokens" with value "optional" is ignored: baseline requires HttpTokens=required
i-00000000000000002: compliant
  because baseline requires HttpTokens=required
2 instances: 1 change, 1 compliant
"#;
    assert_eq!((stdout(&output).as_str(), output.status.code()), (expected, Some(1)), "{}", stderr(&output));
}

#[test]
fn the_json_of_explain_has_its_published_form() {
    let input = described(&[instance(1, "optional", tag("Name", "web"))]);
    let expected = json!([{
        "account": "111122223333", "region": "eu-west-1",
        "instanceId": "i-00000000000000001", "name": "web",
        "mode": "enforce",
        "decision": "change",
        "before": {
            "HttpTokens": "optional", "HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 1,
            "HttpProtocolIpv6": "disabled", "InstanceMetadataTags": "disabled",
        },
        "change": {"HttpTokens": "required"},
        "reasons": ["baseline requires HttpTokens=required"], "warnings": [],
    }]);
    assert_eq!(entries(&["--now", NEW, "--policy", POLICY], &input), expected);
}

#[test]
fn the_json_of_explain_says_null_for_what_is_unknown_and_not_needed() {
    let mut one = instance(1, "required", json!([]));
    one["Placement"] = Value::Null;
    let list = entries(&["--policy", POLICY, "-"], &json!([one]).to_string());
    let entry = &list[0];
    assert_eq!(
        (&entry["account"], &entry["region"], &entry["name"], &entry["change"]),
        (&Value::Null, &Value::Null, &Value::Null, &json!({}))
    );
    assert_eq!(entries(&["--policy", POLICY], r#"{"Reservations": []}"#), json!([]));
}

#[test]
fn hostile_tags_reach_neither_text_nor_json_raw() {
    let hostile = "a\u{1b}[2J\u{7f}\u{9b}31m\u{202e}\u{2066}\u{200b}\u{feff}\r\nb";
    let mut tags = json!([{"Key": "Name", "Value": hostile}]);
    for key in ["imds:HttpTokens", "imds:\u{9b}\u{202e}"] {
        tags.as_array_mut().unwrap().push(json!({"Key": key, "Value": hostile}));
    }
    let mut managed = instance(2, "optional", tags.clone());
    managed["Operator"] = json!({"Managed": true, "Principal": hostile});
    let input = described(&[instance(1, "optional", tags), managed]);
    let is_raw = |c: char| {
        c.is_control() && c != '\n' || matches!(c, '\u{202e}' | '\u{2066}' | '\u{200b}' | '\u{feff}')
    };
    for more in [&[][..], &["--json"]] {
        let output = imdsctl(&[&["explain", "--policy", POLICY], more].concat(), &input);
        let printed = stdout(&output);
        assert_eq!(printed.find(is_raw), None, "{more:?}: {printed:?}");
        assert!(printed.contains(r"[2J"), "{more:?}: {printed}");
    }
    let list = entries(&["--policy", POLICY], &input);
    assert_eq!(list[0]["name"], hostile, "the JSON has the name itself");
}

#[test]
fn exit_codes_tell_compliant_from_findings_from_errors() {
    let compliant = described(&[instance(1, "required", json!([]))]);
    let blocked = described(&[instance(
        1,
        "required",
        json!([{"Key": "a/b", "Value": ""}, {"Key": "Agent", "Value": "collector"}]),
    )]);
    let change = described(&[instance(1, "optional", json!([]))]);
    let with_mark = format!("\u{feff}{change}");
    let ipv6 = "policy/examples/ipv6-and-metadata-tags.json";
    let rows = [
        (POLICY, compliant.as_str(), 0),
        (POLICY, r#"{"Reservations": []}"#, 0),
        (POLICY, r#"{"Reservations": null}"#, 0),
        (POLICY, r#"{"Reservations": [{"Instances": null}]}"#, 0),
        (POLICY, "[]", 0),
        (POLICY, &change, 1),
        (POLICY, &with_mark, 1),
        (ipv6, &blocked, 1),
        (POLICY, "{}", 2),
        (POLICY, "null", 2),
        (POLICY, "", 2),
        (POLICY, r#"{"Reservations": [{"instances": []}]}"#, 2),
        (POLICY, r#"{"Reservations": [{"Instances": [["i-00000001"]]}]}"#, 2),
        (POLICY, &change[..change.len() - 1], 2),
        (POLICY, "[] []", 2),
        (POLICY, "not JSON", 2),
        ("policy/nothing.json", &compliant, 2),
        ("Cargo.toml", &compliant, 2),
    ];
    for (policy, input, code) in rows {
        let output = imdsctl(&["explain", "--policy", policy], input);
        assert_eq!(output.status.code(), Some(code), "{policy} on {input:.60}: {}", stderr(&output));
        assert_eq!(stderr(&output).is_empty(), code != 2, "{policy} on {input:.60}");
    }
}

#[test]
fn errors_name_the_file_the_place_and_the_fix() {
    let bad_id = described(&[json!({"InstanceId": "i-1"})]);
    let no_owner = json!([instance(1, "optional", json!([]))]).to_string();
    let mut no_zone = instance(1, "optional", json!([]));
    no_zone["Placement"] = json!({});
    let no_zone = json!([no_zone]).to_string();
    let short = r#"[{"InstanceId": "i-00000001", "State": "running"}]"#;
    let rows: [(&[&str], &str, &[&str]); 8] = [
        (&["--policy", "policy/nothing.json"], "", &["policy/nothing.json cannot be read: No such file"]),
        (&["--policy", POLICY, "nothing.json"], "", &["nothing.json cannot be read: No such file"]),
        (&["--policy", POLICY], "nonsense", &["standard input is not JSON", "line 1"]),
        (&["--policy", POLICY], &bad_id, &["Reservations[0].Instances[0].InstanceId", "\"i-1\" is not an"]),
        (&["--policy", POLICY], short, &["standard input: [0]: ", "line 1 column 48", "State:State"]),
        (&["--policy", ORGANIZATION], &no_owner, &["[0]", "OwnerId", "set it with --account"]),
        (
            &["--policy", ORGANIZATION, "--account", "111122223333"],
            &no_zone,
            &["[0]", "Availability Zone", "set it with --region"],
        ),
        (&["--policy", "-"], "", &["standard input", "name a file"]),
    ];
    for (arguments, input, expected) in rows {
        let message = stderr(&imdsctl(&[&["explain"], arguments].concat(), input));
        for part in expected {
            assert!(message.contains(part), "{arguments:?}: {part:?} is not in {message:?}");
        }
    }
}

#[test]
fn utf_16_is_named_as_the_cause() {
    let text = described(&[instance(1, "optional", json!([]))]);
    let utf_16: Vec<u8> =
        "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let output = run(&mut crate::command(&["explain", "--policy", POLICY]), &utf_16);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("UTF-16"), "{}", stderr(&output));
}

#[test]
fn the_policy_may_come_from_standard_input() {
    let folder = crate::Folder::new("policy-from-stdin");
    let instances = folder.file("instances.json", described(&[instance(1, "optional", json!([]))]));
    let output = imdsctl(&["explain", "--policy", "-", &instances], r#"{"baseline": {}}"#);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("the policy requires nothing"), "{}", stdout(&output));
}
