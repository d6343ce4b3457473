//! What the function does about an event, shown with EC2's record of its calls.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use ec2_sim::{Fault, FaultKind, Launch, Settings};
use serde_json::{Value, json};
use support::*;

const DESCRIBE: &str = "DescribeInstances";
const MODIFY: &str = "ModifyInstanceMetadataOptions";
const OPTIONAL_AND_2: &str = r#"{"baseline": {"HttpTokens": "optional", "HttpPutResponseHopLimit": 2}}"#;

fn outcomes(answer: &imds_enforcer::handler::Answer) -> Vec<(String, &'static str)> {
    let outcomes = answer.report.outcomes.iter();
    outcomes.map(|report| (report.instance_id.to_string(), report.outcome.as_str())).collect()
}

#[tokio::test]
async fn a_launch_of_20_costs_one_describe_20_changes_and_at_most_two_looks() {
    let settings = Settings { apply_delay: Duration::from_millis(300), ..Settings::default() };
    let scene = Scene::with(settings, &[]).await;
    let ids = scene.launch(imdsv1(20));

    let answer = scene.answer(launch_event(&ids)).await;

    assert_eq!(answer.report.counts, [("enforced", 20)].into());
    assert_eq!(answer.response.unwrap(), serde_json::to_value(&answer.report).unwrap());
    assert_eq!(scene.calls(MODIFY).len(), 20);
    let describes = scene.calls(DESCRIBE).len();
    assert!((2..=3).contains(&describes), "one to observe and one or two to verify, not {describes}");
    assert_eq!(scene.sim.calls().len(), 20 + describes, "no other call");
    for id in ids {
        let instance = scene.instance(&id);
        assert_eq!(
            (&*instance.options["HttpTokens"], &*instance.options_state),
            ("required", "applied"),
            "{id}"
        );
    }
}

#[tokio::test]
async fn the_report_has_the_published_form() {
    let scene = Scene::new(&[]).await;
    let ids = scene.launch(imdsv1(1));
    let answer = scene.answer(launch_event(&ids)).await;
    let expected = json!({
        "mode": "enforce",
        "counts": {"enforced": 1},
        "outcomes": [{
            "account": ACCOUNT, "region": REGION, "instanceId": ids[0], "trigger": "launch", "outcome": "enforced",
            "before": {
                "HttpTokens": "optional", "HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 1,
                "HttpProtocolIpv6": "disabled", "InstanceMetadataTags": "disabled",
            },
            "change": {"HttpTokens": "required"},
            "state": "applied",
            "reasons": ["baseline requires HttpTokens=required"],
            "warnings": [],
        }],
    });
    assert_eq!(answer.response.unwrap(), expected);
}

#[tokio::test]
async fn a_compliant_instance_costs_one_describe() {
    let scene = Scene::new(&[]).await;
    let ids = scene.launch(with_options(&[("HttpTokens", "required")]));
    let answer = scene.answer(launch_event(&ids)).await;
    assert_eq!(answer.report.counts, [("compliant", 1)].into());
    let calls: Vec<String> = scene.sim.calls().into_iter().map(|call| call.action).collect();
    assert_eq!(calls, [DESCRIBE]);
}

#[tokio::test]
async fn an_ignored_event_causes_no_call() {
    let scene = Scene::new(&[]).await;
    let answer = scene.answer(json!({"source": "aws.s3", "detail-type": "Object Created"})).await;
    let ignored = "source \"aws.s3\" with detail-type \"Object Created\" does not concern us";
    let expected = json!({"mode": "enforce", "counts": {}, "outcomes": [], "ignored": [ignored]});
    assert_eq!(answer.response.unwrap(), expected);
    assert!(scene.sim.calls().is_empty());
}

#[tokio::test]
async fn only_what_is_required_and_differs_is_sent() {
    const TOKENS: &str = r#"{"baseline": {"HttpTokens": "required"}}"#;
    const HOPS: &str =
        r#"{"baseline": {"HttpPutResponseHopLimit": {"atMost": 2}, "HttpTokens": "required"}}"#;
    type Options = &'static [(&'static str, &'static str)];
    let rows: [(&str, &str, Options, Options); 6] = [
        ("disabled endpoint", TOKENS, &[("HttpEndpoint", "disabled")], &[]),
        ("hop limit of 3", TOKENS, &[("HttpPutResponseHopLimit", "3")], &[("HttpTokens", "required")]),
        (
            "the other four set",
            TOKENS,
            &[
                ("HttpEndpoint", "enabled"),
                ("HttpPutResponseHopLimit", "5"),
                ("HttpProtocolIpv6", "enabled"),
                ("InstanceMetadataTags", "enabled"),
            ],
            &[("HttpTokens", "required")],
        ),
        (
            "one of two differs",
            HOPS,
            &[("HttpTokens", "required"), ("HttpPutResponseHopLimit", "9")],
            &[("HttpPutResponseHopLimit", "2")],
        ),
        (
            "both differ",
            HOPS,
            &[("HttpPutResponseHopLimit", "9")],
            &[("HttpTokens", "required"), ("HttpPutResponseHopLimit", "2")],
        ),
        (
            "all five",
            r#"{"baseline": {"HttpTokens": "required", "HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 4,
                "HttpProtocolIpv6": "enabled", "InstanceMetadataTags": "enabled"}}"#,
            &[("HttpEndpoint", "disabled")],
            &[
                ("HttpTokens", "required"),
                ("HttpEndpoint", "enabled"),
                ("HttpPutResponseHopLimit", "4"),
                ("HttpProtocolIpv6", "enabled"),
                ("InstanceMetadataTags", "enabled"),
            ],
        ),
    ];
    for (name, policy, options, sent) in rows {
        let scene = Scene::new(&[("IMDS_POLICY", policy)]).await;
        let ids = scene.launch(with_options(options));
        let before = scene.instance(&ids[0]).options;

        scene.answer(launch_event(&ids)).await.response.expect(name);

        let mut expected = before;
        expected.extend(sent.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        assert_eq!(scene.instance(&ids[0]).options, expected, "{name}: the options afterwards");
        let requests: Vec<Vec<(String, String)>> =
            scene.calls(MODIFY).into_iter().map(only_options).collect();
        let mut sent: Vec<_> = sent.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        sent.sort();
        let expected = if sent.is_empty() { vec![] } else { vec![sent] };
        assert_eq!(requests, expected, "{name}: the requests");
    }
}

/// What a modify call asked for beside the instance, sorted.
fn only_options(call: ec2_sim::RecordedCall) -> Vec<(String, String)> {
    let asked = |(name, _): &(String, String)| !["Action", "Version", "InstanceId"].contains(&name.as_str());
    call.parameters.into_iter().filter(asked).collect()
}

#[tokio::test]
async fn three_that_fail_do_not_keep_seventeen_from_being_enforced() {
    let scene = Scene::new(&[]).await;
    let ids = scene.launch(imdsv1(20));
    let wrong_state = FaultKind::Error {
        code: "IncorrectInstanceState".to_owned(),
        status: 400,
        message: "The instance is not in the right state".to_owned(),
    };
    scene.sim.inject(Fault::new(FaultKind::Terminate).on(MODIFY).of(&ids[3]).times(1));
    scene.sim.inject(Fault::new(wrong_state).on(MODIFY).of(&ids[7]));
    scene.sim.inject(Fault::new(FaultKind::Deny).on(MODIFY).of(&ids[11]));

    let bodies: Vec<String> = ids.iter().map(|id| running_event(id, now()).to_string()).collect();
    let answer = scene.answer(batch(&bodies, 1)).await;

    let expected = [("denied", 1), ("enforced", 17), ("gone", 1), ("not-ready", 1)];
    assert_eq!(answer.report.counts, expected.into());
    for (id, outcome) in [(&ids[3], "gone"), (&ids[7], "not-ready"), (&ids[11], "denied")] {
        assert!(outcomes(&answer).contains(&(id.clone(), outcome)), "{id} is {outcome}");
    }
    assert_eq!(failures(&answer), ["m7"], "only what a retry can mend is delivered again");
    let denied = answer.report.outcomes.iter().find(|report| report.instance_id.as_str() == ids[11]).unwrap();
    let reason = denied.reasons.last().unwrap();
    assert!(
        reason.starts_with("ec2:ModifyInstanceMetadataOptions was answered UnauthorizedOperation"),
        "{reason}"
    );
}

#[tokio::test]
async fn bad_records_neither_panic_nor_fail_the_others() {
    let scene = Scene::new(&[]).await;
    let ids = scene.launch(imdsv1(1));
    let no_ids = api_call(json!({"eventName": "RunInstances", "responseElements": {"instancesSet": {}}}));
    let bodies = [
        "not JSON".to_owned(),
        "[1, 2]".to_owned(),
        no_ids.to_string(),
        json!({"source": "x".repeat(1_000_000), "detail-type": "y"}).to_string(),
        json!({"source": "aws.unknown", "detail-type": "z"}).to_string(),
        "[".repeat(100_000),
        String::new(),
        running_event(&ids[0], now()).to_string(),
    ];
    let answer = scene.answer(batch(&bodies, 1)).await;
    assert_eq!(
        failures(&answer),
        ["m0", "m5", "m6"],
        "what is not JSON goes to the dead-letter queue in the end"
    );
    assert_eq!(outcomes(&answer), [(ids[0].clone(), "enforced")]);
    assert_eq!(answer.report.ignored.len(), 4, "{:?}", answer.report.ignored);
    assert!(answer.report.ignored.iter().all(|why| why.len() < 300), "foreign text is cut short");

    for payload in [json!([]), json!("text"), json!(null), json!({"Records": []}), no_ids] {
        let answer = scene.answer(payload.clone()).await;
        assert_eq!(answer.report.ignored.len(), 1, "{payload}");
        assert!(answer.response.is_ok(), "{payload}");
    }
}

#[tokio::test]
async fn a_batch_that_sqs_did_not_make_fails_as_a_whole() {
    let scene = Scene::new(&[]).await;
    for records in [json!([{"eventSource": "aws:sqs", "body": "{}"}]), json!([{"eventSource": "aws:sqs"}, 1])]
    {
        let answer = scene.answer(json!({"Records": records})).await;
        let error = answer.response.expect_err(&records.to_string()).to_string();
        assert!(error.starts_with("not an SQS batch"), "{error}");
    }
}

#[tokio::test]
async fn a_dry_run_asks_ec2_and_changes_nothing() {
    let scene = Scene::new(&[("IMDS_MODE", "dry-run")]).await;
    let ids = scene.launch(imdsv1(2));
    scene.sim.inject(Fault::new(FaultKind::Deny).on(MODIFY).of(&ids[1]));
    let answer = scene.answer(launch_event(&ids)).await;
    assert_eq!(answer.report.counts, [("denied", 1), ("would-enforce", 1)].into());
    assert_eq!(answer.response.unwrap()["mode"], "dry-run");
    assert!(scene.calls(MODIFY).iter().all(|call| call.parameters["DryRun"] == "true"));
    assert!(ids.iter().all(|id| scene.instance(id).options["HttpTokens"] == "optional"));
}

#[tokio::test]
async fn a_stopped_instance_is_enforced_and_takes_the_change_at_its_start() {
    let scene = Scene::new(&[]).await;
    let ids = scene.launch(Launch { state: Some("stopped".to_owned()), ..imdsv1(1) });
    let answer = scene.answer(launch_event(&ids)).await;
    let report = serde_json::to_value(&answer.report.outcomes[0]).unwrap();
    assert_eq!((&report["outcome"], &report["state"]), (&json!("enforced"), &json!("pending")));
    let instance = scene.instance(&ids[0]);
    assert_eq!((&*instance.state, &*instance.options["HttpTokens"]), ("stopped", "required"));
}

#[tokio::test]
async fn what_is_not_applied_in_time_is_pending_and_verified_at_the_next_delivery() {
    let settings = Settings { apply_delay: Duration::from_secs(3), ..Settings::default() };
    let scene = Scene::with(settings, &[("IMDS_VERIFY_SECONDS", "1")]).await;
    let ids = scene.launch(imdsv1(1));
    let bodies = [running_event(&ids[0], now()).to_string()];

    let first = scene.answer(batch(&bodies, 1)).await;
    assert_eq!((outcomes(&first)[0].1, failures(&first)), ("pending", vec!["m0".to_owned()]));
    let second = scene.answer(batch(&bodies, 2)).await;
    assert_eq!((outcomes(&second)[0].1, failures(&second)), ("pending", vec!["m0".to_owned()]));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let third = scene.answer(batch(&bodies, 3)).await;
    assert_eq!((outcomes(&third)[0].1, failures(&third)), ("compliant", vec![]));
    assert_eq!(scene.calls(MODIFY).len(), 1, "changed once");
}

#[tokio::test]
async fn a_fresh_instance_that_complies_is_not_waited_for() {
    let settings = Settings { apply_delay: Duration::from_secs(60), ..Settings::default() };
    let scene = Scene::with(settings, &[]).await;
    let ids = scene.launch(Launch { settled: false, ..with_options(&[("HttpTokens", "required")]) });
    assert_eq!(scene.instance(&ids[0]).options_state, "pending");
    let answer = scene.answer(launch_event(&ids)).await;
    assert_eq!(answer.report.counts, [("compliant", 1)].into());
    assert_eq!(scene.sim.calls().len(), 1);
}

#[tokio::test]
async fn an_instance_that_ec2_does_not_show_is_looked_for_again() {
    let scene = Scene::new(&[]).await;
    let ids = scene.launch(imdsv1(2));
    scene.sim.inject(Fault::new(FaultKind::NotVisible).on(DESCRIBE).of(&ids[1]).times(2));
    let answer = scene.answer(launch_event(&ids)).await;
    assert_eq!(answer.report.counts, [("enforced", 2)].into());
}

#[tokio::test]
async fn an_unknown_instance_is_not_ready_first_and_gone_a_quarter_of_an_hour_later() {
    let scene = Scene::new(&[]).await;
    let (young, old) = (time::Duration::minutes(1), time::Duration::minutes(16));
    let rows = [(young, 1, "not-ready"), (young, 2, "not-ready"), (old, 1, "not-ready"), (old, 2, "gone")];
    for (age, receives, expected) in rows {
        let event = running_event("i-0123456789abcdef0", now() - age).to_string();
        let answer = scene.answer(batch(&[event], receives)).await;
        assert_eq!(outcomes(&answer)[0].1, expected, "{age} old, received {receives} times");
        assert_eq!(failures(&answer).is_empty(), expected == "gone", "{age} old, received {receives} times");
    }
    let answer = scene.answer(running_event("i-0123456789abcdef0", now())).await;
    let error =
        answer.response.expect_err("a direct invocation fails, so that Lambda retries it").to_string();
    assert!(error.contains("i-0123456789abcdef0 is not-ready (EC2 does not show the instance)"), "{error}");
}

#[tokio::test]
async fn a_launch_whose_record_was_cut_off_is_found_by_token_else_by_time() {
    let scene = Scene::new(&[]).await;
    let token = "odd*token?".to_owned();
    let ids = scene.launch(Launch { client_token: Some(token.clone()), ..imdsv1(45) });
    let bystander = scene.launch(Launch { client_token: Some("odd-token!".to_owned()), ..imdsv1(1) });
    let cut_off = |parameters: Value| {
        let launched = launch_event(&[])["time"].clone();
        let mut event = api_call(json!({
            "eventName": "RunInstances", "eventTime": launched,
            "requestParameters": parameters, "responseElements": {"omitted": true},
        }));
        // Delivered so late that a look by time shows all.
        event["time"] = running_event("", now() - time::Duration::minutes(2))["time"].clone();
        event
    };
    let answer = scene.answer(cut_off(json!({"clientToken": token}))).await;
    assert_eq!(answer.report.counts, [("enforced", 45)].into());
    assert!(ids.iter().all(|id| scene.instance(id).options["HttpTokens"] == "required"));
    assert_eq!(scene.instance(&bystander[0]).options["HttpTokens"], "optional", "a token is taken literally");

    let answer = scene.answer(cut_off(json!({"omitted": true}))).await;
    assert_eq!(answer.report.counts, [("compliant", 45), ("enforced", 1)].into());
    let answer = scene.answer(cut_off(json!({"clientToken": "unknown"}))).await;
    let error =
        answer.response.expect_err("there is nothing to report on, and the event is not lost").to_string();
    assert!(
        error.contains("the launch with client token \"unknown\": EC2 shows no such instance"),
        "{error}"
    );
}

#[tokio::test]
async fn an_instance_named_often_is_handled_once_under_the_first_trigger() {
    let scene = Scene::new(&[]).await;
    let ids = scene.launch(imdsv1(1));
    let running = running_event(&ids[0], now()).to_string();
    let answer = scene.answer(batch(&[running.clone(), launch_event(&ids).to_string(), running], 1)).await;
    assert_eq!(answer.report.outcomes.len(), 1);
    assert_eq!(serde_json::to_value(answer.report.outcomes[0].trigger).unwrap(), "launch");
    assert_eq!(scene.calls(MODIFY).len(), 1);
}

#[tokio::test]
async fn its_outcome_decides_the_fate_of_every_record_that_named_it() {
    let scene = Scene::new(&[("IMDS_MODIFY_RATE", "1000")]).await;
    let ids = scene.launch(imdsv1(2));
    scene.sim.inject(Fault::new(FaultKind::Throttle).on(MODIFY).of(&ids[0]));
    let events = [launch_event(&ids), running_event(&ids[0], now()), running_event(&ids[1], now())];
    let answer = scene.answer(batch(&events.map(|event| event.to_string()), 1)).await;
    assert_eq!(answer.report.counts, [("enforced", 1), ("throttled", 1)].into());
    assert_eq!(failures(&answer), ["m0", "m1"]);
}

#[tokio::test]
async fn what_another_operator_manages_is_left_alone() {
    let scene = Scene::new(&[]).await;
    let ids = scene.launch(Launch { operator: Some("eks.amazonaws.com".to_owned()), ..imdsv1(1) });
    let answer = scene.answer(launch_event(&ids)).await;
    assert_eq!(answer.report.counts, [("out-of-scope", 1)].into());
    assert_eq!(answer.report.outcomes[0].reasons, ["the instance is managed by eks.amazonaws.com"]);
    assert!(scene.calls(MODIFY).is_empty());
}

#[tokio::test]
async fn when_describing_is_denied_every_instance_says_so() {
    let scene = Scene::new(&[]).await;
    let ids = scene.launch(imdsv1(3));
    scene.sim.inject(Fault::new(FaultKind::Deny).on(DESCRIBE));
    let answer = scene.answer(launch_event(&ids)).await;
    assert_eq!(answer.report.counts, [("denied", 3)].into());
    assert!(answer.report.outcomes[0].reasons[0].starts_with("ec2:DescribeInstances was answered"));
}

#[tokio::test]
async fn where_the_account_enforces_tokens_optional_is_left_out_and_the_rest_is_sent() {
    for (enforced, sent) in [(true, "required"), (false, "optional")] {
        let scene = Scene::new(&[("IMDS_POLICY", OPTIONAL_AND_2)]).await;
        let ids = scene.launch(with_options(&[("HttpTokens", "required")]));
        scene.place.set_tokens_enforced(enforced);
        let answer = scene.answer(launch_event(&ids)).await;
        assert_eq!(answer.report.counts, [("enforced", 1)].into(), "enforced: {enforced}");
        let options = scene.instance(&ids[0]).options;
        assert_eq!((&*options["HttpTokens"], &*options["HttpPutResponseHopLimit"]), (sent, "2"));
        assert_eq!(answer.report.outcomes[0].warnings.len(), usize::from(enforced));
        assert_eq!(scene.calls("GetInstanceMetadataDefaults").len(), 1);
    }
}

#[tokio::test]
async fn rules_tags_and_exemptions_decide_in_the_function_too() {
    const POLICY: &str = r#"{
        "baseline": {"HttpTokens": "required"},
        "rules": [
            {"name": "off", "when": {"tags": {"Imds": "off"}}, "require": {"HttpEndpoint": "disabled"}},
            {"name": "later", "when": {"tags": {"App": "payroll-*"}}, "exempt": {"until": "9999-12-31"}}
        ],
        "instanceTags": {"exemptions": {"maxDays": 30}}}"#;
    let scene = Scene::new(&[("IMDS_POLICY", POLICY)]).await;
    let tagged = |key: &str, value: &str| {
        scene.launch(Launch { tags: vec![(key.to_owned(), value.to_owned())], ..imdsv1(1) }).remove(0)
    };
    let until = (now() + time::Duration::days(30)).date().to_string();
    let rows = [
        (tagged("Imds", "off"), "enforced", ("disabled", "optional", "1")),
        (tagged("App", "payroll-7"), "exempt", ("enabled", "optional", "1")),
        (tagged("imds:ExemptUntil", &until), "exempt", ("enabled", "optional", "1")),
        (tagged("imds:ExemptUntil", "9999-12-31"), "enforced", ("enabled", "required", "1")),
        (tagged("imds:HttpEndpoint", "disabled"), "enforced", ("enabled", "required", "1")),
        (tagged("imds:HttpPutResponseHopLimit", "64"), "enforced", ("enabled", "required", "1")),
    ];
    let ids: Vec<String> = rows.iter().map(|(id, _, _)| id.clone()).collect();
    let answer = scene.answer(launch_event(&ids)).await;
    for (id, outcome, options) in &rows {
        assert!(outcomes(&answer).contains(&(id.clone(), outcome)), "{id} is {outcome}");
        let found = scene.instance(id).options;
        let found = (&*found["HttpEndpoint"], &*found["HttpTokens"], &*found["HttpPutResponseHopLimit"]);
        assert_eq!(found, *options, "{id}");
    }
    assert!(scene.calls("GetInstanceMetadataDefaults").is_empty(), "nothing would be loosened");
}

#[tokio::test]
async fn what_ec2_refuses_unforeseen_keeps_no_other_option_back() {
    let scene = Scene::new(&[("IMDS_POLICY", OPTIONAL_AND_2)]).await;
    let ids = scene.launch(with_options(&[("HttpTokens", "required")]));
    scene.place.set_tokens_enforced(true);
    // The function may not ask for the account's defaults, and so cannot tell beforehand.
    scene.sim.inject(Fault::new(FaultKind::Deny).on("GetInstanceMetadataDefaults"));
    let answer = scene.answer(launch_event(&ids)).await;
    let report = serde_json::to_value(&answer.report.outcomes[0]).unwrap();
    assert_eq!(
        (&report["outcome"], &report["change"]),
        (&json!("enforced"), &json!({"HttpPutResponseHopLimit": 2}))
    );
    let warning = report["warnings"][1].as_str().unwrap();
    let expected = "HttpTokens=optional is left out: ec2:ModifyInstanceMetadataOptions was answered UnsupportedOperation";
    assert!(warning.starts_with(expected), "{warning}");
    let options = scene.instance(&ids[0]).options;
    assert_eq!((&*options["HttpTokens"], &*options["HttpPutResponseHopLimit"]), ("required", "2"));
    assert_eq!(scene.calls(MODIFY).len(), 3, "both, then each alone");
}

#[tokio::test]
async fn a_guard_that_denies_optional_tokens_keeps_no_other_option_back() {
    let scene = Scene::new(&[("IMDS_POLICY", OPTIONAL_AND_2)]).await;
    let ids = scene.launch(with_options(&[("HttpTokens", "required")]));
    scene.sim.inject(Fault::new(FaultKind::Deny).on(MODIFY).with_parameter("HttpTokens", "optional"));
    scene.sim.inject(Fault::new(FaultKind::Deny).on("GetInstanceMetadataDefaults"));
    let answer = scene.answer(launch_event(&ids)).await;
    let report = &answer.report.outcomes[0];
    assert_eq!(report.outcome.as_str(), "enforced");
    assert_eq!(serde_json::to_value(report.change).unwrap(), json!({"HttpPutResponseHopLimit": 2}));
    let expected = [
        "whether the account enforces tokens is not known: ec2:GetInstanceMetadataDefaults was answered",
        "HttpTokens=optional is left out: ec2:ModifyInstanceMetadataOptions was answered UnauthorizedOperation",
    ];
    for (warning, expected) in report.warnings.iter().zip(expected) {
        assert!(warning.starts_with(expected), "{warning}");
    }
    assert_eq!((report.warnings.len(), scene.calls(MODIFY).len()), (2, 3), "both, then each alone");
}

#[tokio::test]
async fn a_ceiling_that_denies_a_hop_limit_of_a_tag_keeps_tokens_not_optional() {
    const POLICY: &str = r#"{"baseline": {"HttpTokens": "required", "HttpPutResponseHopLimit": {"atMost": 5}}}"#;
    let scene = Scene::new(&[("IMDS_POLICY", POLICY)]).await;
    let tag = ("imds:HttpPutResponseHopLimit".to_owned(), "5".to_owned());
    let ids = scene.launch(Launch { tags: vec![tag], ..imdsv1(1) });
    // The template's HopLimitCeiling, at 3.
    scene.sim.inject(Fault::new(FaultKind::Deny).on(MODIFY).with_parameter("HttpPutResponseHopLimit", "5"));
    let answer = scene.answer(launch_event(&ids)).await;
    let report = &answer.report.outcomes[0];
    assert_eq!(report.outcome.as_str(), "denied", "the hop limit is not as required");
    assert_eq!(serde_json::to_value(report.change).unwrap(), json!({"HttpTokens": "required"}));
    assert_eq!(serde_json::to_value(report.state).unwrap(), "applied", "it was verified");
    let options = scene.instance(&ids[0]).options;
    assert_eq!((&*options["HttpTokens"], &*options["HttpPutResponseHopLimit"]), ("required", "1"));
}

#[tokio::test]
async fn what_was_accepted_is_verified_when_the_rest_is_not() {
    let rows = [(FaultKind::Deny, "denied", false), (FaultKind::Throttle, "throttled", true)];
    for (kind, outcome, comes_again) in rows {
        let settings = Settings { apply_delay: Duration::from_millis(700), ..Settings::default() };
        let scene =
            Scene::with(settings, &[("IMDS_POLICY", OPTIONAL_AND_2), ("IMDS_MODIFY_RATE", "1000")]).await;
        let ids = scene.launch(with_options(&[("HttpTokens", "required")]));
        let refused =
            FaultKind::Error { code: "UnsupportedOperation".into(), status: 400, message: "no".into() };
        scene.sim.inject(Fault::new(refused).on(MODIFY).times(1));
        scene.sim.inject(Fault::new(kind).on(MODIFY).with_parameter("HttpPutResponseHopLimit", "2"));
        let bodies = [launch_event(&ids).to_string()];
        let answer = scene.answer(batch(&bodies, 1)).await;
        let report = &answer.report.outcomes[0];
        assert_eq!(report.outcome.as_str(), outcome);
        assert_eq!(
            serde_json::to_value(report.change).unwrap(),
            json!({"HttpTokens": "optional"}),
            "{outcome}"
        );
        assert_eq!(serde_json::to_value(report.state).unwrap(), "applied", "{outcome}: it was verified");
        assert_eq!(failures(&answer).is_empty(), !comes_again, "{outcome}");
    }
}

#[tokio::test]
async fn a_cut_off_launch_is_looked_at_until_two_looks_agree() {
    let scene = Scene::new(&[]).await;
    let token = "a-token".to_owned();
    let ids = scene.launch(Launch { client_token: Some(token.clone()), ..imdsv1(3) });
    // The first look shows two of three.
    scene.sim.inject(Fault::new(FaultKind::NotVisible).on(DESCRIBE).of(&ids[2]).times(1));
    let event = |at_least: usize| {
        api_call(json!({
            "eventName": "RunInstances", "responseElements": {"omitted": true},
            "requestParameters": {"clientToken": token, "instancesSet": {"items": [{"minCount": at_least}]}},
        }))
        .to_string()
    };
    let answer = scene.answer(batch(&[event(1)], 1)).await;
    assert_eq!((answer.report.counts.clone(), failures(&answer)), ([("enforced", 3)].into(), vec![]));

    let answer = scene.answer(batch(&[event(4)], 1)).await;
    assert_eq!(
        (answer.report.counts.clone(), failures(&answer)),
        ([("compliant", 3)].into(), vec!["m0".to_owned()])
    );
    let expected =
        "the launch with client token \"a-token\": EC2 shows 3 of its instances, and may not show all yet";
    assert_eq!(answer.report.unresolved, [expected]);
}

#[tokio::test]
async fn a_launch_known_by_its_time_alone_comes_again_when_it_may_not_show_yet() {
    let scene = Scene::new(&[]).await;
    scene.launch(imdsv1(1));
    let event = api_call(json!({
        "eventName": "RunInstances", "eventTime": launch_event(&[])["time"].clone(),
        "requestParameters": {"omitted": true}, "responseElements": {"omitted": true},
    }));
    let answer = scene.answer(batch(&[event.to_string()], 1)).await;
    assert_eq!(
        (answer.report.counts.clone(), failures(&answer)),
        ([("enforced", 1)].into(), vec!["m0".to_owned()])
    );
}

#[tokio::test]
async fn rules_about_accounts_go_by_the_owner_that_ec2_names() {
    const POLICY: &str = r#"{"baseline": {"HttpTokens": "required"}, "rules": [
        {"name": "theirs", "when": {"accounts": "444455556666"}, "exempt": {"until": "9999-12-31"}}]}"#;
    let scene = Scene::new(&[("IMDS_POLICY", POLICY)]).await;
    let ids = scene.launch(imdsv1(1));
    let mut event = launch_event(&ids);
    event["account"] = "444455556666".into();
    let answer = scene.answer(event).await;
    assert_eq!(answer.report.counts, [("enforced", 1)].into(), "their exemption is not for our instance");
}
