//! `imdsctl` as its users run it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Starts `imdsctl` in the project's folder.
fn spawn(arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_imdsctl"))
        .args(arguments)
        .current_dir(project())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Runs `imdsctl` in the project's folder with `input` on its standard input.
fn imdsctl(arguments: &[&str], input: &str) -> Output {
    let mut child = spawn(arguments);
    // The process may exit with an error before it reads its input.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// An instance as `aws ec2 describe-instances` prints it, with the relevant fields only.
fn instance(number: u32, tokens: &str, tags: Value) -> Value {
    json!({
        "InstanceId": format!("i-{number:017x}"),
        "State": {"Code": 16, "Name": "running"},
        "Placement": {"AvailabilityZone": "eu-west-1a"},
        "Tags": tags,
        "NetworkInterfaces": [
            {"Attachment": {"DeviceIndex": 0, "AttachTime": "2026-03-01T08:00:00+00:00"}},
            {"Attachment": {"DeviceIndex": 1, "AttachTime": "2025-01-01T08:00:00+00:00"}},
        ],
        "MetadataOptions": {
            "State": "applied", "HttpTokens": tokens, "HttpPutResponseHopLimit": 1, "HttpEndpoint": "enabled",
            "HttpProtocolIpv6": "disabled", "InstanceMetadataTags": "disabled",
        },
    })
}

fn described(instances: &[Value]) -> String {
    json!({"Reservations": [{"OwnerId": "111122223333", "Instances": instances}]}).to_string()
}

const ORGANIZATION: &str = "policy/examples/organization-with-exemptions.json";

/// Returns the decision and the change of `explain --json` for one instance.
fn explained(policy: &str, instance: Value, more: &[&str]) -> (String, Value) {
    let now: &[&str] = if more.contains(&"--now") { &[] } else { &["--now", "2026-11-24T12:00:00Z"] };
    let arguments = [&["explain", "--json", "--policy", policy], now, more].concat();
    let output = imdsctl(&arguments, &described(&[instance]));
    let list: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(&output)));
    (list[0]["decision"].as_str().unwrap().to_owned(), list[0]["change"].clone())
}

#[test]
fn the_published_schema_is_current() {
    let schema = std::fs::read_to_string(project().join("policy/policy.schema.json")).unwrap();
    let printed = stdout(&imdsctl(&["policy", "schema"], ""));
    assert!(schema == printed, "run: cargo run --bin imdsctl -- policy schema > policy/policy.schema.json");
}

#[test]
fn every_published_policy_is_valid() {
    let examples = std::fs::read_dir(project().join("policy/examples")).unwrap();
    let files: Vec<PathBuf> = examples.map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 4, "a new example needs a test of its decisions");
    for file in files.iter().chain([&project().join("policy/policy.json")]) {
        let output = imdsctl(&["policy", "check", file.to_str().unwrap()], "");
        assert!(output.status.success(), "{}: {}", file.display(), stderr(&output));
    }
}

#[test]
fn the_examples_decide_as_their_names_say() {
    let tag = |key: &str, value: &str| json!([{"Key": key, "Value": value}]);
    let (hosts, vaults) =
        ("policy/examples/container-hosts.json", "policy/examples/endpoint-off-by-tag.json");
    let ipv6 = "policy/examples/ipv6-and-metadata-tags.json";
    let tokens = json!({"HttpTokens": "required"});
    let two_hops = json!({"HttpTokens": "required", "HttpPutResponseHopLimit": 2});
    let here: &[&str] = &[];
    let rows = [
        (hosts, json!([]), here, "change", &tokens),
        (hosts, tag("eks:cluster-name", "shop"), here, "change", &two_hops),
        (hosts, tag("aws:autoscaling:groupName", "kops-7"), here, "change", &two_hops),
        (ORGANIZATION, json!([]), here, "change", &tokens),
        (ORGANIZATION, tag("App", "payroll-7"), here, "exempt", &json!({})),
        (ORGANIZATION, tag("App", "payroll-7"), &["--region", "us-east-1"], "change", &tokens),
        (ORGANIZATION, tag("App", "payroll-7"), &["--account", "999999999999"], "change", &tokens),
        (ORGANIZATION, tag("App", "payroll-7"), &["--now", "2027-03-31T23:59:59Z"], "exempt", &json!({})),
        (ORGANIZATION, tag("App", "payroll-7"), &["--now", "2027-04-01T00:00:00Z"], "change", &tokens),
        (ORGANIZATION, tag("imds:ExemptUntil", "2027-01-31"), here, "exempt", &json!({})),
        (ORGANIZATION, tag("imds:ExemptUntil", "2027-03-31"), here, "change", &tokens),
        (
            ORGANIZATION,
            tag("imds:ExemptUntil", "2027-03-31"),
            &["--now", "2027-03-01T23:59:59Z"],
            "exempt",
            &json!({}),
        ),
        (
            ORGANIZATION,
            tag("imds:ExemptUntil", "2027-03-31"),
            &["--now", "2027-03-02T00:00:00Z"],
            "change",
            &tokens,
        ),
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
fn explain_says_what_would_change_and_why() {
    let tags =
        json!([{"Key": "Name", "Value": "web\u{1b}[31m"}, {"Key": "imds:HttpTokens", "Value": "optional"}]);
    let input = described(&[instance(1, "optional", tags), instance(2, "required", json!([]))]);
    let output = imdsctl(&["explain", "--policy", "policy/policy.json"], &input);
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
    let input = json!([instance(1, "optional", json!([]))]).to_string();
    let arguments = ["explain", "--policy", "policy/policy.json", "--account", "111122223333", "--json", "-"];
    let output = imdsctl(&arguments, &input);
    let expected = json!([{
        "instanceId": "i-00000000000000001", "decision": "change", "change": {"HttpTokens": "required"},
        "reasons": ["baseline requires HttpTokens=required"], "warnings": [],
    }]);
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), expected);
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
    let ipv6 = "policy/examples/ipv6-and-metadata-tags.json";
    let rows = [
        ("policy/policy.json", compliant.as_str(), 0),
        ("policy/policy.json", r#"{"Reservations": []}"#, 0),
        ("policy/policy.json", &change, 1),
        (ipv6, &blocked, 1),
        ("policy/policy.json", "{}", 2),
        ("policy/policy.json", r#"{"Reservations": [{"instances": []}]}"#, 2),
        ("policy/policy.json", "not JSON", 2),
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
    let no_owner = json!([{"InstanceId": "i-0123456789abcdef0"}]).to_string();
    let rows: [(&[&str], &str, &[&str]); 6] = [
        (&["--policy", "policy/nothing.json"], "", &["policy/nothing.json cannot be read: No such file"]),
        (
            &["--policy", "policy/policy.json", "nothing.json"],
            "",
            &["nothing.json cannot be read: No such file"],
        ),
        (&["--policy", "policy/policy.json"], "nonsense", &["standard input is not JSON", "line 1"]),
        (
            &["--policy", "policy/policy.json"],
            &bad_id,
            &["Reservations[0].Instances[0].InstanceId", "\"i-1\" is not an"],
        ),
        (&["--policy", "policy/policy.json"], &no_owner, &["[0]", "set it with --account"]),
        (
            &["--policy", "policy/policy.json", "--account", "111122223333"],
            &no_owner,
            &["[0]", "set it with --region"],
        ),
    ];
    for (arguments, input, expected) in rows {
        let message = stderr(&imdsctl(&[&["explain"], arguments].concat(), input));
        for part in expected {
            assert!(message.contains(part), "{arguments:?}: {part:?} is not in {message:?}");
        }
    }
}

#[test]
fn policy_check_lists_every_error_or_says_what_the_policy_does() {
    let folder = std::env::temp_dir().join(format!("imdsctl-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("wrong.json");
    std::fs::write(&file, r#"{"baseline": {"HttpTokens": "on"}, "rules": [{"name": "a"}]}"#).unwrap();
    let output = imdsctl(&["policy", "check", file.to_str().unwrap()], "");
    std::fs::remove_dir_all(&folder).unwrap();
    let (message, name) = (stderr(&output), file.display());
    assert_eq!(output.status.code(), Some(2));
    assert!(
        message.contains(&format!("{name}: baseline.HttpTokens: must be required or optional, not \"on\"")),
        "{message}"
    );
    assert!(message.contains(&format!("{name}: rules[0]: must have require or exempt")), "{message}");

    let output = imdsctl(&["policy", "check", "policy/policy.json"], "");
    assert_eq!(output.status.code(), Some(0));
    assert!(
        stdout(&output).starts_with("Every instance must have HttpTokens=required.\n"),
        "{}",
        stdout(&output)
    );
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    let many: Vec<Value> = (0..2000).map(|number| instance(number, "optional", json!([]))).collect();
    let mut child = spawn(&["explain", "--policy", "policy/policy.json"]);
    drop(child.stdout.take());
    child.stdin.take().unwrap().write_all(described(&many).as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (stderr(&output).as_str(), output.status.code()),
        ("", Some(1)),
        "the exit code reports findings"
    );
}
