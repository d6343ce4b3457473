//! Every kind of event asks the same gate, and no tag opens it.

use crate::support::*;
use crate::*;

/// CloudTrail's event of a change of an instance's options.
fn drift_event(id: &str) -> Value {
    api_call(json!({
        "eventName": "ModifyInstanceMetadataOptions",
        "requestParameters": {"ModifyInstanceMetadataOptionsRequest": {"InstanceId": id}},
    }))
}

fn tag_event(id: &str) -> Value {
    json!({
        "version": "0", "source": "aws.tag", "detail-type": "Tag Change on Resource", "account": ACCOUNT,
        "region": REGION, "time": state_event(id)["time"],
        "resources": [format!("arn:aws:ec2:{REGION}:{ACCOUNT}:instance/{id}")],
        "detail": {"service": "ec2", "resource-type": "instance", "changed-tag-keys": ["imds:HttpTokens"]},
    })
}

#[tokio::test]
async fn every_kind_of_event_is_gated_alike() {
    let scene = Scene::new(&[("IMDS_POLICY", GATED)]).await;
    let ids = scene.launch(old(2));
    in_use(&scene, &ids[..1]);
    unused(&scene, &ids[1..]);
    let id = &ids[0];
    let events = [drift_event(id), tag_event(id), state_event(id), launch_event(&ids[..1])];
    for (event, kind) in events.into_iter().zip(["drift", "tag-change", "state-change", "launch"]) {
        let answer = scene.answer(event.clone()).await;
        let found = reported(&answer, id);
        assert_eq!((&found["trigger"], &found["outcome"]), (&json!(kind), &json!("in-use")));
        assert_eq!(found["usage"]["calls"], 40, "{kind}");
        // The record is done: a retry would find the same.
        assert_eq!(failures(&scene.answer(records(&[event])).await), Vec::<String>::new(), "{kind}");
    }
    assert_eq!(became(&scene.answer(sweep_event()).await, id), "in-use");
    assert_eq!(tokens_sent(&scene), ids[1..], "the sweep enforces the other one");
}

#[tokio::test]
async fn no_tag_opens_the_gate() {
    const AUTHORITIES: [&str; 3] = ["none", "tighten", "loosen"];
    let tags = [
        ("imds:HttpTokens", "required"),
        ("imds:HttpTokens", "optional"),
        ("imds:UsageGate", "false"),
        ("imds:usageGate", "{\"toleratedCalls\": 1000000}"),
        ("imds:usageGate:until", "2000-01-01"),
        ("usageGate", "false"),
        ("imds:Mode", "enforce"),
        ("imds:ExemptUntil", "2000-01-01"),
        ("imds:HttpEndpoint", "enabled"),
        ("aws:autoscaling:groupName", "web"),
        ("aws:ec2launchtemplate:id", "lt-0123456789abcdef0"),
    ];
    for authority in AUTHORITIES {
        let policy = format!(
            r#"{{"baseline": {{"HttpTokens": "required"}}, "usageGate": {{}}, "instanceTags": {{"authority": "{authority}"}}}}"#
        );
        let scene = Scene::new(&[("IMDS_POLICY", &policy)]).await;
        let ids: Vec<String> =
            tags.iter().flat_map(|(key, value)| scene.launch(tagged(old(1), key, value))).collect();
        in_use(&scene, &ids);
        scene.answer(sweep_event()).await;
        for id in &ids {
            scene.answer(tag_event(id)).await;
        }
        assert_eq!(tokens_sent(&scene), Vec::<String>::new(), "{authority}");
    }
}

#[tokio::test]
async fn a_tag_that_requires_tokens_is_gated() {
    const POLICY: &str = r#"{"baseline": {"HttpPutResponseHopLimit": 1}, "usageGate": {}}"#;
    let scene = Scene::new(&[("IMDS_POLICY", POLICY)]).await;
    let ids = scene.launch(tagged(old(2), "imds:HttpTokens", "required"));
    in_use(&scene, &ids[..1]);
    unused(&scene, &ids[1..]);
    for id in &ids {
        scene.answer(tag_event(id)).await;
    }
    assert_eq!(tokens_sent(&scene), ids[1..]);
}

#[tokio::test]
async fn a_rule_opens_the_gate_and_the_last_match_wins() {
    const POLICY: &str = r#"{"baseline": {"HttpTokens": "required"}, "usageGate": {}, "rules": [
        {"name": "none", "when": {"tags": {"App": ["open", "last"]}}, "usageGate": false},
        {"name": "lenient", "when": {"tags": {"App": "lenient"}}, "usageGate": {"toleratedCalls": 100}},
        {"name": "again", "when": {"tags": {"App": "last"}}, "usageGate": {"toleratedCalls": 39}}]}"#;
    let scene = Scene::new(&[("IMDS_POLICY", POLICY)]).await;
    let rows = [("web", "in-use"), ("open", "enforced"), ("lenient", "enforced"), ("last", "in-use")];
    let ids: Vec<String> =
        rows.iter().flat_map(|(app, _)| scene.launch(tagged(old(1), "App", app))).collect();
    in_use(&scene, &ids);
    let answer = scene.answer(sweep_event()).await;
    for ((app, expected), id) in rows.iter().zip(&ids) {
        assert_eq!(became(&answer, id), *expected, "{app}");
    }
    let mut expected = [&ids[0], &ids[2], &ids[3]].map(String::clone);
    expected.sort();
    assert_eq!(asked_about(&scene), [expected], "one call, and not about the open one");

    // A gate of a rule alone.
    const ONE: &str = r#"{"baseline": {"HttpTokens": "required"}, "rules": [
        {"name": "gate", "when": {"accounts": "111122223333"}, "usageGate": {}}]}"#;
    let scene = Scene::new(&[("IMDS_POLICY", ONE)]).await;
    let ids = scene.launch(old(1));
    in_use(&scene, &ids);
    assert_eq!(became(&scene.answer(sweep_event()).await, &ids[0]), "in-use");
}

#[tokio::test]
async fn a_gate_holds_through_its_last_day() {
    for (ago, expected) in [(-1, "in-use"), (0, "in-use"), (1, "enforced")] {
        let policy = format!(
            r#"{{"baseline": {{"HttpTokens": "required"}}, "usageGate": {{"until": "{}"}},
                "limits": {{"changesPerSweep": 10}}}}"#,
            day(ago)
        );
        let scene = Scene::new(&[("IMDS_POLICY", &policy)]).await;
        let ids = scene.launch(old(1));
        in_use(&scene, &ids);
        let answer = scene.answer(sweep_event()).await;
        assert_eq!(became(&answer, &ids[0]), expected, "until {}", day(ago));
        let asked = usize::from(expected == "in-use");
        assert_eq!(asked_about(&scene).len(), asked, "until {}", day(ago));
    }
}

#[tokio::test]
async fn the_sweep_after_the_calls_have_ended_enforces() {
    let scene = Scene::new(&[("IMDS_POLICY", GATED)]).await;
    let ids = scene.launch(old(1));
    in_use(&scene, &ids);
    for _ in 0..2 {
        assert_eq!(became(&scene.answer(sweep_event()).await, &ids[0]), "in-use");
    }
    unused(&scene, &ids);
    assert_eq!(became(&scene.answer(sweep_event()).await, &ids[0]), "enforced");
    assert_eq!(asked_about(&scene).len(), 3, "each sweep asks again");
    assert_eq!(became(&scene.answer(sweep_event()).await, &ids[0]), "compliant");
    assert_eq!((asked_about(&scene).len(), tokens_sent(&scene)), (3, ids));
}

#[tokio::test]
async fn up_to_500_instances_are_asked_about_at_once() {
    for (count, calls) in [(500, 1), (501, 2)] {
        let scene = Scene::new(&[("IMDS_POLICY", GATED)]).await;
        let ids = scene.launch(old(count));
        in_use(&scene, &ids);
        let answer = scene.answer(sweep_event()).await;
        assert_eq!(answer.report.counts, [("in-use", count)].into());
        let asked = asked_about(&scene);
        assert_eq!(asked.len(), calls, "{count}");
        let mut about: Vec<String> = asked.into_iter().flatten().collect();
        about.sort();
        let mut expected = ids;
        expected.sort();
        assert_eq!(about, expected, "{count}: each once");
    }
}

#[tokio::test]
async fn all_pages_of_an_answer_count() {
    let settings = ec2_sim::Settings { datapoints_per_page: 10, ..ec2_sim::Settings::default() };
    let scene = Scene::with(settings, &[("IMDS_POLICY", GATED)]).await;
    let ids = scene.launch(old(4));
    unused(&scene, &ids);
    // The oldest point of a result is on its last page.
    used(&scene, &ids[1..3], &[(14, 1.0)]);
    let answer = scene.answer(sweep_event()).await;
    assert_eq!(answer.report.counts, [("enforced", 2), ("in-use", 2)].into());
    let mut sent = tokens_sent(&scene);
    sent.sort();
    let mut expected = vec![ids[0].clone(), ids[3].clone()];
    expected.sort();
    assert_eq!(sent, expected);
    assert!(asked_about(&scene).len() >= 6, "60 points on pages of 10");
}

#[tokio::test]
async fn a_member_account_is_asked_in_its_own_account_and_region() {
    const MEMBER: &str = "444455556666";
    let variables = [("IMDS_POLICY", GATED), ("IMDS_MEMBER_ROLE", "imds-enforcer-member")];
    let scene = Scene::new(&variables).await;
    let member = scene.sim.account_region(MEMBER, "eu-west-1");
    let ids = member.launch(old(1));
    let sums: Vec<_> = (0..=14).map(|ago| (day(ago), Some(1.0))).collect();
    member.set_daily_sums(&ids, USED, &sums);
    let mut event = sweep_event();
    event["account"] = MEMBER.into();
    event["region"] = "eu-west-1".into();
    let answer = scene.answer(event).await;
    assert_eq!(became(&answer, &ids[0]), "in-use");
    let call = scene.calls(METRICS).remove(0);
    let role = format!("arn:aws:iam::{MEMBER}:role/imds-enforcer-member");
    assert_eq!((&*call.account, &*call.region, call.role), (MEMBER, "eu-west-1", Some(role)));
}
