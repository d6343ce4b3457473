//! `imdsctl defaults`, against ec2-sim.

use std::process::Output;

use ec2_sim::{Ec2Sim, Fault, FaultKind, Settings};
use serde_json::{Value, json};

use crate::{in_account, run, stderr, stdout};

const OWN: &str = "111122223333";
const OTHER: &str = "444455556666";
const MODIFY: &str = "ModifyInstanceMetadataDefaults";

async fn started() -> Ec2Sim {
    Ec2Sim::start(Settings::default()).await.unwrap()
}

fn defaults(sim: &Ec2Sim, arguments: &[&str]) -> Output {
    run(&mut in_account(sim, &[&["defaults"], arguments].concat()), b"")
}

fn calls(sim: &Ec2Sim, action: &str) -> usize {
    sim.calls().iter().filter(|call| call.action == action).count()
}

fn entries(output: &Output) -> Vec<Value> {
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The words of a line.
fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_has_each_account_and_region_and_marks_what_differs() {
    let sim = started().await;
    let set = |account, region, defaults: &[(&str, &str)]| {
        sim.account_region(account, region).set_defaults(defaults)
    };
    set(
        OWN,
        "eu-west-1",
        &[("HttpTokens", "required"), ("HttpPutResponseHopLimit", "2"), ("HttpTokensEnforced", "enabled")],
    );
    set(
        OTHER,
        "us-east-1",
        &[("HttpTokens", "optional"), ("HttpEndpoint", "enabled"), ("InstanceMetadataTags", "disabled")],
    );
    sim.account_region(OTHER, "eu-west-1").set_defaults(&[("HttpTokens", "required")]);
    sim.account_region(OTHER, "eu-west-1").set_defaults_managed("ask us");
    let scope = [
        &["--region", "us-east-1", "--region", "eu-west-1", "--role", "member"][..],
        &["--account", OWN, "--account", OTHER],
    ]
    .concat();

    let output = defaults(&sim, &scope);

    let printed = stdout(&output);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(1), ""), "{printed}");
    let lines: Vec<Vec<&str>> = printed.lines().skip(2).map(words).collect();
    assert_eq!(lines[0], [OWN, "eu-west-1", "required", "-", "2", "-", "enabled", "account"], "{printed}");
    assert_eq!(lines[1], [OWN, "us-east-1", "-*", "-", "-", "-", "-", "-"], "{printed}");
    assert_eq!(lines[2], [OTHER, "eu-west-1", "required", "-", "-", "-", "-", "policy"], "{printed}");
    assert_eq!(
        lines[3],
        [OTHER, "us-east-1", "optional*", "enabled", "-", "disabled", "-", "account"],
        "{printed}"
    );
    assert!(printed.contains("4 accounts and Regions: 2 with defaults that differ"), "{printed}");

    let found = entries(&defaults(&sim, &[&scope[..], &["--json"]].concat()));
    assert_eq!(found.len(), 4);
    assert_eq!(found[0]["defaults"]["HttpPutResponseHopLimit"], json!(2));
    assert_eq!((&found[0]["differs"], &found[1]["differs"]), (&json!([]), &json!(["HttpTokens"])));
    assert_eq!(found[2]["defaults"]["managedBy"], json!("declarative-policy"));
    assert_eq!(found[2]["defaults"]["managedExceptionMessage"], json!("ask us"));
    assert_eq!(calls(&sim, MODIFY), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_named_and_does_not_stop_the_others() {
    let sim = started().await;
    let set = |region| sim.account_region(OWN, region).set_defaults(&[("HttpTokens", "required")]);
    set("us-east-1");
    let all = ["--region", "us-east-1", "--region", "eu-west-1"];
    sim.inject(Fault { region: Some("eu-west-1".to_owned()), ..Fault::new(FaultKind::Deny) });

    let output = defaults(&sim, &[&all[..], &["--json"]].concat());

    assert_eq!(output.status.code(), Some(2));
    let expected = "111122223333 eu-west-1: the defaults cannot be read: ec2:GetInstanceMetadataDefaults returned \
                    UnauthorizedOperation";
    assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    let found = entries(&output);
    assert_eq!((&found[0]["defaults"], &found[0]["differs"]), (&json!(null), &json!(null)));
    assert!(found[0]["error"].as_str().unwrap().contains("UnauthorizedOperation"));
    assert_eq!((&found[1]["differs"], &found[1]["error"]), (&json!([]), &json!(null)));
    let output = defaults(&sim, &all);
    assert_eq!((output.status.code(), stdout(&output).contains("1 account and Region")), (Some(2), true));
}

#[tokio::test(flavor = "multi_thread")]
async fn defaults_are_set_once_and_read_back_and_those_of_a_policy_are_left() {
    let sim = started().await;
    sim.account_region(OWN, "eu-west-1").set_defaults(&[("HttpTokens", "required")]);
    sim.account_region(OWN, "eu-north-1").set_defaults(&[("HttpTokens", "optional")]);
    sim.account_region(OWN, "eu-north-1").set_defaults_managed("ask \u{202e}us");
    let arguments = [
        &["set", "--http-tokens", "required", "--http-put-response-hop-limit", "2", "--region", "us-east-1"]
            [..],
        &["--region", "eu-west-1", "--region", "eu-north-1", "--yes"],
    ]
    .concat();

    let output = defaults(&sim, &arguments);

    let printed = stdout(&output);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(1), ""), "{printed}");
    for line in [
        "111122223333 us-east-1: HttpTokens: no-preference -> required, HttpPutResponseHopLimit: no-preference -> 2",
        "111122223333 eu-west-1: HttpPutResponseHopLimit: no-preference -> 2",
        r"111122223333 eu-north-1: left as it is, a declarative policy manages it: ask \u{202e}us",
        "2 accounts and Regions set and read back",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "{line} is not in {printed}");
    }
    assert_eq!(calls(&sim, MODIFY), 2);
    let again = defaults(&sim, &arguments);
    assert!(stdout(&again).contains("2 accounts and Regions as wanted already"), "{}", stdout(&again));
    assert_eq!((calls(&sim, MODIFY), again.status.code()), (2, Some(1)), "nothing is set again");
    let managed: Vec<Value> = entries(&defaults(&sim, &["--json", "--region", "eu-north-1"]));
    assert_eq!(managed[0]["defaults"]["HttpTokens"], json!("optional"));
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_not_made_optional_unless_that_is_allowed() {
    let sim = started().await;
    let place = sim.account_region(OWN, "us-east-1");
    for (now, flag, value) in [
        (("HttpTokens", "required"), "--http-tokens", "optional"),
        (("HttpTokens", "required"), "--http-tokens", "no-preference"),
        (("HttpTokensEnforced", "enabled"), "--http-tokens-enforced", "disabled"),
    ] {
        place.set_defaults(&[now]);
        sim.clear_calls();
        let refused = defaults(&sim, &["set", flag, value, "--yes"]);
        assert_eq!((refused.status.code(), calls(&sim, MODIFY)), (Some(2), 0), "{flag} {value}");
        assert!(stderr(&refused).contains("--allow-loosening"), "{flag} {value}: {}", stderr(&refused));
        let allowed = defaults(&sim, &["set", flag, value, "--yes", "--allow-loosening"]);
        assert_eq!((allowed.status.code(), calls(&sim, MODIFY)), (Some(0), 1), "{flag} {value}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_set_without_an_answer() {
    let sim = started().await;
    let output = defaults(&sim, &["set", "--http-tokens-enforced", "enabled"]);
    assert_eq!((output.status.code(), calls(&sim, MODIFY)), (Some(2), 0));
    assert!(stderr(&output).contains("use --yes"), "{}", stderr(&output));
    let printed = stdout(&output);
    assert!(
        printed.contains("warning: from then on, launches with HttpTokens=optional fail there"),
        "{printed}"
    );
    assert!(printed.contains("launches that name no HttpTokens fail as well"), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_set_is_named_and_does_not_stop_the_others() {
    let sim = started().await;
    let fault = Fault {
        action: Some(MODIFY.to_owned()),
        region: Some("eu-west-1".to_owned()),
        ..Fault::new(FaultKind::Deny)
    };
    sim.inject(fault);
    let both =
        ["set", "--http-tokens", "required", "--yes", "--region", "us-east-1", "--region", "eu-west-1"];
    let output = defaults(&sim, &both);
    assert_eq!(output.status.code(), Some(2), "{}", stdout(&output));
    let expected = "imdsctl: 111122223333 eu-west-1: not set: ec2:ModifyInstanceMetadataDefaults returned \
                    UnauthorizedOperation";
    assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    assert!(stdout(&output).contains("1 account and Region set and read back"), "{}", stdout(&output));
    sim.clear_faults();
    assert_eq!(defaults(&sim, &both).status.code(), Some(0));
    assert_eq!(defaults(&sim, &["--region", "us-east-1", "--region", "eu-west-1"]).status.code(), Some(0));
}
