//! The calls to EC2 and the report.

use std::time::Duration;

use ec2_sim::{Launch, Settings};
use serde_json::json;

use crate::support::*;
use crate::{DESCRIBE, MODIFY, outcomes};

#[tokio::test]
async fn a_launch_of_20_costs_one_describe_20_changes_and_at_most_two_more() {
    let settings = Settings { apply_delay: Duration::from_millis(300), ..Settings::default() };
    let scene = Scene::with(settings, &[]).await;
    let ids = scene.launch(imdsv1(20));

    let answer = scene.answer(launch_event(&ids)).await;

    assert_eq!(answer.report.counts, [("enforced", 20)].into());
    assert_eq!(answer.response.unwrap(), serde_json::to_value(&answer.report).unwrap());
    assert_eq!(scene.calls(MODIFY).len(), 20);
    let describes = scene.calls(DESCRIBE).len();
    assert!(
        (2..=3).contains(&describes),
        "{describes} describes; expected one to observe and one or two to verify"
    );
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
            "account": ACCOUNT, "region": REGION, "instanceId": ids[0], "trigger": "launch", "mode": "enforce",
            "outcome": "enforced",
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
        assert_eq!(scene.instance(&ids[0]).options, expected, "{name}: the options afterward");
        let requests: Vec<Vec<(String, String)>> =
            scene.calls(MODIFY).into_iter().map(only_options).collect();
        let mut sent: Vec<_> = sent.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        sent.sort();
        let expected = if sent.is_empty() { vec![] } else { vec![sent] };
        assert_eq!(requests, expected, "{name}: the requests");
    }
}

/// The options in a modify call, sorted.
fn only_options(call: ec2_sim::RecordedCall) -> Vec<(String, String)> {
    let asked = |(name, _): &(String, String)| !["Action", "Version", "InstanceId"].contains(&name.as_str());
    call.parameters.into_iter().filter(asked).collect()
}

#[tokio::test]
async fn a_stopped_instance_is_enforced_and_applies_the_change_at_its_start() {
    let scene = Scene::new(&[]).await;
    let ids = scene.launch(Launch { state: Some("stopped".to_owned()), ..imdsv1(1) });
    let answer = scene.answer(launch_event(&ids)).await;
    let report = serde_json::to_value(&answer.report.outcomes[0]).unwrap();
    assert_eq!((&report["outcome"], &report["state"]), (&json!("enforced"), &json!("pending")));
    let instance = scene.instance(&ids[0]);
    assert_eq!((&*instance.state, &*instance.options["HttpTokens"]), ("stopped", "required"));
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
async fn instances_of_another_operator_are_not_changed() {
    let scene = Scene::new(&[]).await;
    let ids = scene.launch(Launch { operator: Some("eks.amazonaws.com".to_owned()), ..imdsv1(1) });
    let answer = scene.answer(launch_event(&ids)).await;
    assert_eq!(answer.report.counts, [("out-of-scope", 1)].into());
    assert_eq!(answer.report.outcomes[0].reasons, ["the instance is managed by eks.amazonaws.com"]);
    assert!(scene.calls(MODIFY).is_empty());
}

#[tokio::test]
async fn the_function_applies_rules_tags_and_exemptions() {
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
    assert!(scene.calls("GetInstanceMetadataDefaults").is_empty(), "no change loosens an option");
}

#[tokio::test]
async fn account_rules_use_the_owner_id_from_ec2() {
    const POLICY: &str = r#"{"baseline": {"HttpTokens": "required"}, "rules": [
        {"name": "theirs", "when": {"accounts": "444455556666"}, "exempt": {"until": "9999-12-31"}}]}"#;
    let scene = Scene::new(&[("IMDS_POLICY", POLICY)]).await;
    let ids = scene.launch(imdsv1(1));
    let mut event = launch_event(&ids);
    event["account"] = "444455556666".into();
    let answer = scene.answer(event).await;
    assert_eq!(
        answer.report.counts,
        [("enforced", 1)].into(),
        "the other account's exemption does not apply"
    );
}
