//! What the gate holds back, and what it does not.

use std::time::Duration;

use ec2_sim::{Fault, FaultKind, Settings};
use serde_json::json;

use crate::support::*;
use crate::*;

#[tokio::test]
async fn an_instance_with_calls_is_in_use_and_keeps_optional_tokens() {
    let scene = Scene::new(&[("IMDS_POLICY", GATED)]).await;
    let ids = scene.launch(old(1));
    unused(&scene, &ids);
    used(&scene, &ids, &[(3, 1200.0), (1, 4.0)]);

    let answer = scene.answer(sweep_event()).await;

    let why = format!("1,204 calls without a token in 14 days, the last on {}", day(1));
    let mut found = reported(&answer, &ids[0]);
    found.as_object_mut().unwrap().remove("before");
    let expected = json!({
        "account": ACCOUNT, "region": REGION, "instanceId": ids[0], "trigger": "sweep", "mode": "enforce",
        "outcome": "in-use", "usage": {"calls": 1204, "lastDay": day(1).to_string(), "days": 14},
        "state": "applied", "reasons": [held(&why)], "warnings": [],
    });
    assert_eq!(found, expected);
    assert_eq!(actions(&scene), [DESCRIBE, METRICS], "no change");
    assert_eq!(http_tokens(&scene, &ids[0]), "optional");
}

#[tokio::test]
async fn an_instance_without_calls_is_enforced_with_its_usage() {
    let scene = Scene::new(&[("IMDS_POLICY", GATED)]).await;
    let ids = scene.launch(old(1));
    unused(&scene, &ids);
    let answer = scene.answer(sweep_event()).await;
    let found = reported(&answer, &ids[0]);
    assert_eq!(
        (&found["outcome"], &found["change"]),
        (&json!("enforced"), &json!({"HttpTokens": "required"}))
    );
    assert_eq!(found["usage"], json!({"calls": 0, "days": 14}));
    assert_eq!(actions(&scene), [DESCRIBE, METRICS, MODIFY, DESCRIBE]);
}

#[tokio::test]
async fn one_question_is_the_sum_of_days_from_midnight_14_days_ago() {
    let scene = Scene::new(&[("IMDS_POLICY", GATED)]).await;
    let ids = scene.launch(old(2));
    unused(&scene, &ids);
    scene.answer(sweep_event()).await;
    let calls = scene.calls(METRICS);
    let parameters = &calls[0].parameters;
    let found = |name: &str| parameters.get(name).map(String::as_str);
    let expected = [("Namespace", "AWS/EC2"), ("MetricName", USED), ("Period", "86400"), ("Stat", "Sum")];
    for (name, value) in expected {
        assert_eq!(found(name), Some(value), "{name}: {parameters:?}");
    }
    assert_eq!((calls.len(), found("MetricDataQueries")), (1, Some("2")));
    let since = day(14).midnight().assume_utc().unix_timestamp();
    assert_eq!(found("StartTime").unwrap().parse::<f64>().unwrap() as i64, since);
    assert!(found("EndTime").unwrap().parse::<f64>().unwrap() as i64 > now().unix_timestamp() - 60);
}

/// Tokens, and a hop limit that is not gated.
const HOPS: &str = r#"{"baseline": {"HttpTokens": "required", "HttpPutResponseHopLimit": {"atLeast": 2},
    "InstanceMetadataTags": "enabled"}, "usageGate": {}}"#;

#[tokio::test]
async fn the_other_options_are_changed_and_verified() {
    let settings = Settings { apply_delay: Duration::from_millis(300), ..Settings::default() };
    let scene = Scene::with(settings, &[("IMDS_POLICY", HOPS)]).await;
    let ids = scene.launch(old(1));
    in_use(&scene, &ids);

    let answer = scene.answer(sweep_event()).await;

    let found = reported(&answer, &ids[0]);
    assert_eq!((&found["outcome"], &found["state"]), (&json!("in-use"), &json!("applied")));
    let change = json!({"HttpPutResponseHopLimit": 2, "InstanceMetadataTags": "enabled"});
    assert_eq!(found["change"], change);
    let reasons = [
        "baseline requires HttpPutResponseHopLimit at least 2".to_owned(),
        "baseline requires InstanceMetadataTags=enabled".to_owned(),
        held(&forty_calls()),
    ];
    assert_eq!(found["reasons"], json!(reasons));
    assert_eq!(tokens_sent(&scene), Vec::<String>::new());
    let options = scene.instance(&ids[0]).options;
    let options =
        ["HttpTokens", "HttpPutResponseHopLimit", "InstanceMetadataTags"].map(|name| &*options[name]);
    assert_eq!(options, ["optional", "2", "enabled"]);
    // The next sweep has nothing left to send.
    scene.sim.clear_calls();
    let answer = scene.answer(sweep_event()).await;
    assert_eq!(
        (became(&answer, &ids[0]), actions(&scene)),
        ("in-use", vec![DESCRIBE.into(), METRICS.into()])
    );
}

#[tokio::test]
async fn the_outcome_of_a_change_that_did_not_end_well_counts() {
    let error = FaultKind::Error { code: "Surprise".to_owned(), status: 400, message: "no".to_owned() };
    let refused =
        FaultKind::Error { code: "UnsupportedOperation".to_owned(), status: 400, message: "no".to_owned() };
    let rows = [
        (Some(FaultKind::Deny), "denied"),
        (Some(error), "failed"),
        (Some(refused), "blocked"),
        (Some(FaultKind::Terminate), "gone"),
        (None, "pending"),
    ];
    for (fault, expected) in rows {
        let apply_delay = if fault.is_none() { Duration::from_secs(60) } else { Duration::ZERO };
        let settings = Settings { apply_delay, ..Settings::default() };
        let variables = [("IMDS_POLICY", HOPS), ("IMDS_VERIFY_SECONDS", "0")];
        let scene = Scene::with(settings, &variables).await;
        let ids = scene.launch(old(1));
        in_use(&scene, &ids);
        if let Some(fault) = fault {
            scene.sim.inject(Fault::new(fault).on(MODIFY));
        }
        let answer = scene.answer(sweep_event()).await;
        let found = reported(&answer, &ids[0]);
        assert_eq!(found["outcome"], expected, "{found}");
        assert_eq!(found["usage"]["calls"], 40, "{expected}");
        let reasons = found["reasons"].to_string();
        assert!(reasons.contains(&forty_calls()), "{expected}: {reasons}");
        assert_eq!(tokens_sent(&scene), Vec::<String>::new(), "{expected}");
    }
}

#[tokio::test]
async fn a_retry_after_an_unverified_change_is_in_use_again() {
    let settings = Settings { apply_delay: Duration::from_secs(2), ..Settings::default() };
    let scene = Scene::with(settings, &[("IMDS_POLICY", HOPS), ("IMDS_VERIFY_SECONDS", "0")]).await;
    let ids = scene.launch(old(1));
    in_use(&scene, &ids);
    let event = state_event(&ids[0]).to_string();
    let answer = scene.answer(batch(std::slice::from_ref(&event), 1)).await;
    assert_eq!((became(&answer, &ids[0]), failures(&answer)), ("pending", vec!["m0".to_owned()]));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let answer = scene.answer(batch(&[event], 2)).await;
    assert_eq!((became(&answer, &ids[0]), failures(&answer)), ("in-use", vec![]));
    assert_eq!(scene.calls(MODIFY).len(), 1);
}

#[tokio::test]
async fn dry_runs_are_gated_too() {
    let scene = Scene::new(&[("IMDS_POLICY", GATED), ("IMDS_MODE", "dry-run")]).await;
    let ids = scene.launch(old(2));
    in_use(&scene, &ids[..1]);
    unused(&scene, &ids[1..]);
    let answer = scene.answer(sweep_event()).await;
    assert_eq!((became(&answer, &ids[0]), became(&answer, &ids[1])), ("in-use", "would-enforce"));
    assert_eq!(tokens_sent(&scene), ids[1..]);

    let scene = Scene::new(&[("IMDS_POLICY", HOPS), ("IMDS_MODE", "dry-run")]).await;
    let ids = scene.launch(old(1));
    in_use(&scene, &ids);
    let answer = scene.answer(sweep_event()).await;
    assert_eq!(became(&answer, &ids[0]), "in-use", "although EC2 would change the other options");
    assert_eq!((scene.calls(MODIFY).len(), tokens_sent(&scene)), (1, vec![]));
}

#[tokio::test]
async fn only_tokens_are_gated() {
    const OFF: &str = r#"{"baseline": {"HttpEndpoint": "disabled"}, "usageGate": {}}"#;
    const REST: &str =
        r#"{"baseline": {"HttpPutResponseHopLimit": 1, "HttpProtocolIpv6": "disabled"}, "usageGate": {}}"#;
    const BOTH: &str =
        r#"{"baseline": {"HttpTokens": "required", "HttpEndpoint": "disabled"}, "usageGate": {}}"#;
    let hops = ("HttpPutResponseHopLimit", "9");
    let rows = [
        ("the endpoint", OFF, vec![], json!({"HttpEndpoint": "disabled"})),
        ("the endpoint with tokens", BOTH, vec![], json!({"HttpEndpoint": "disabled"})),
        (
            "hop limit and IPv6",
            REST,
            vec![hops, ("HttpProtocolIpv6", "enabled")],
            json!({"HttpPutResponseHopLimit": 1, "HttpProtocolIpv6": "disabled"}),
        ),
        (
            "tokens are required already",
            HOPS,
            vec![("HttpTokens", "required")],
            json!({
                "HttpPutResponseHopLimit": 2, "InstanceMetadataTags": "enabled"
            }),
        ),
    ];
    for (name, policy, options, change) in rows {
        let scene = Scene::new(&[("IMDS_POLICY", policy)]).await;
        let ids = scene.launch(Launch { options: with_options(&options).options, ..old(1) });
        in_use(&scene, &ids);
        let answer = scene.answer(sweep_event()).await;
        let found = reported(&answer, &ids[0]);
        assert_eq!((&found["outcome"], &found["change"]), (&json!("enforced"), &change), "{name}");
        assert!(found.get("usage").is_none(), "{name}: it was not asked");
        assert_eq!(asked_about(&scene).len(), 0, "{name}");
    }
}

#[tokio::test]
async fn an_instance_with_a_disabled_endpoint_is_not_asked_about() {
    // Nothing is required of the endpoint, or that it is enabled while it was not, so that nothing uses IMDSv1.
    const ON: &str =
        r#"{"baseline": {"HttpTokens": "required", "HttpEndpoint": "enabled"}, "usageGate": {}}"#;
    for (policy, expected) in [(GATED, "compliant"), (ON, "enforced")] {
        let scene = Scene::new(&[("IMDS_POLICY", policy)]).await;
        let options = with_options(&[("HttpEndpoint", "disabled")]).options;
        let ids = scene.launch(Launch { options, ..old(1) });
        in_use(&scene, &ids);
        let answer = scene.answer(sweep_event()).await;
        assert_eq!((became(&answer, &ids[0]), asked_about(&scene).len()), (expected, 0));
    }
}

#[tokio::test]
async fn only_instances_whose_decision_depends_on_it_are_asked_about() {
    const POLICY: &str = r#"{"baseline": {"HttpTokens": "required"}, "usageGate": {}, "rules": [
        {"name": "exempt", "when": {"tags": {"App": "exempt"}}, "exempt": {"until": "9999-12-31"}},
        {"name": "open", "when": {"tags": {"App": "open"}}, "usageGate": false},
        {"name": "v1", "when": {"tags": {"App": "v1"}}, "require": {"HttpTokens": "optional"}}]}"#;
    let scene = Scene::new(&[("IMDS_POLICY", POLICY)]).await;
    let of = |launch: Launch| scene.launch(launch).remove(0);
    let required = Launch { options: with_options(&[("HttpTokens", "required")]).options, ..old(1) };
    let rows = [
        (of(old(1)), "in-use"),
        (of(required), "compliant"),
        (of(tagged(old(1), "App", "exempt")), "exempt"),
        (of(tagged(old(1), "App", "open")), "enforced"),
        (of(tagged(old(1), "App", "v1")), "compliant"),
        (of(Launch { operator: Some("eks.amazonaws.com".to_owned()), ..old(1) }), "out-of-scope"),
        (of(imdsv1(1)), "enforced"),
    ];
    let ids: Vec<String> = rows.iter().map(|(id, _)| id.clone()).collect();
    in_use(&scene, &ids);
    let answer = scene.answer(sweep_event()).await;
    for (id, expected) in &rows {
        assert_eq!(became(&answer, id), *expected, "{id}");
    }
    assert_eq!(asked_about(&scene), [vec![ids[0].clone()]]);
}

#[tokio::test]
async fn without_a_gate_nothing_is_asked() {
    let scene = Scene::new(&[]).await;
    let ids = scene.launch(old(1));
    in_use(&scene, &ids);
    let answer = scene.answer(sweep_event()).await;
    assert_eq!((became(&answer, &ids[0]), asked_about(&scene).len()), ("enforced", 0));
}
