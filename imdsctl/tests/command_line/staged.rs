//! What `imdsctl explain` says of usage gates and modes.

use serde_json::{Value, json};

use crate::explain::{NOW, entries, tag};
use crate::{described, imdsctl, instance, stderr, stdout};

#[test]
fn the_stages_of_the_migration_decide_as_their_names_say() {
    let stage = |name: &str| format!("policy/examples/migration-{name}.json");
    let stages = [
        stage("1-dry-run"),
        stage("2-account-by-account"),
        stage("3-enforce-with-limits"),
        stage("4-end-of-the-gate"),
    ];
    let [first, second, third, fourth] = &stages;
    let (in_use, payroll) = ("needs-usage", tag("aws:autoscaling:groupName", "payroll-7"));
    let stack = tag("aws:cloudformation:stack-name", "appliance");
    let (none, north): (&[&str], &[&str]) = (&[], &["--region", "eu-north-1"]);
    let (sandbox, other) = (&["--account", "444455556666"], &["--account", "222222222222"]);
    let after = &["--now", "2027-07-01T00:00:00Z"];
    let rows: Vec<(&String, Value, &[&str], &str, &str)> = vec![
        (first, json!([]), none, "dry-run", in_use),
        (second, json!([]), none, "dry-run", in_use),
        (second, json!([]), sandbox, "enforce", in_use),
        (second, json!([]), north, "enforce", in_use),
        (third, json!([]), other, "enforce", in_use),
        (third, json!([]), none, "dry-run", in_use),
        (third, json!([]), after, "enforce", in_use),
        (fourth, json!([]), none, "enforce", in_use),
        // The gate has ended.
        (fourth, json!([]), after, "enforce", "change"),
        (fourth, payroll.clone(), none, "enforce", "exempt"),
        (fourth, payroll, after, "enforce", "exempt"),
        (fourth, stack.clone(), none, "enforce", "exempt"),
        (fourth, stack, other, "enforce", in_use),
    ];
    for (policy, tags, more, mode, decision) in rows {
        let now: &[&str] = if more.contains(&"--now") { &[] } else { &["--now", NOW] };
        let input = described(&[instance(1, "optional", tags.clone())]);
        let list = entries(&[&["--policy", policy], now, more].concat(), &input);
        assert_eq!(
            (&list[0]["mode"], &list[0]["decision"]),
            (&json!(mode), &json!(decision)),
            "{policy} {tags} {more:?}"
        );
    }
}

#[test]
fn explain_says_what_the_function_would_ask_cloudwatch() {
    let mut new = instance(2, "optional", tag("aws:autoscaling:groupName", "web"));
    new["NetworkInterfaces"][0]["Attachment"]["AttachTime"] = NOW.into();
    let mut unknown = instance(3, "optional", json!([]));
    unknown["NetworkInterfaces"] = json!([]);
    let input = described(&[instance(1, "optional", json!([])), new, unknown]);
    let policy = "policy/examples/migration-1-dry-run.json";
    let output = imdsctl(&["explain", "--now", NOW, "--policy", policy], &input);
    let expected = r#"i-00000000000000001: needs-usage
  dry run: EC2 is only asked whether it would make the change
  because the usage gate asks CloudWatch for the calls without a token since 2026-11-10 (MetadataNoToken)
i-00000000000000002: needs-usage
  dry run: EC2 is only asked whether it would make the change
  because the usage gate asks whether an older instance of the Auto Scaling group "web" is held back
i-00000000000000003: needs-usage
  dry run: EC2 is only asked whether it would make the change
  because the usage gate asks CloudWatch for the calls without a token since 2026-11-10 (MetadataNoToken)
3 instances: 3 needs-usage
"#;
    assert_eq!((stdout(&output).as_str(), output.status.code()), (expected, Some(1)), "{}", stderr(&output));
}
