//! Drift, tag changes and sweeps, and batches with several events.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use ec2_sim::{Fault, FaultKind, Launch, RecordedCall, Settings};
use serde_json::{Value, json};
use support::*;

const DESCRIBE: &str = "DescribeInstances";
const MODIFY: &str = "ModifyInstanceMetadataOptions";

fn sweep_event() -> Value {
    let mut event = running_event("i-0123456789abcdef0", now());
    (event["source"], event["detail-type"]) = ("imds-enforcer".into(), "Sweep".into());
    event
}

fn drift_event(id: &str) -> Value {
    api_call(json!({
        "eventName": MODIFY,
        "requestParameters": {"ModifyInstanceMetadataOptionsRequest": {"InstanceId": id, "HttpTokens": "optional"}},
    }))
}

fn trigger(answer: &imds_enforcer::handler::Answer) -> Value {
    serde_json::to_value(answer.report.outcomes[0].trigger).unwrap()
}

#[tokio::test]
async fn drift_is_corrected_and_the_event_of_the_correction_costs_one_describe() {
    let scene = Scene::new(&[]).await;
    let ids = scene.launch(with_options(&[("HttpTokens", "required")]));
    scene.account_region.modify(&ids[0], &[("HttpTokens", "optional")]);
    let theirs = scene.sim.take_events().remove(0);

    let answer = scene.answer(theirs).await;
    assert_eq!((answer.report.counts.clone(), trigger(&answer)), ([("enforced", 1)].into(), json!("drift")));

    let ours = scene.sim.take_events().remove(0);
    assert_eq!(ours["detail"]["eventName"], MODIFY);
    scene.sim.clear_calls();
    let answer = scene.answer(ours).await;
    assert_eq!(answer.report.counts, [("compliant", 1)].into());
    let calls: Vec<String> = scene.sim.calls().into_iter().map(|call| call.action).collect();
    assert_eq!(calls, [DESCRIBE]);
}

#[tokio::test]
async fn a_tag_change_is_ignored_unless_the_policy_reads_the_tag() {
    const POLICY: &str = r#"{"rules": [
        {"name": "r", "when": {"tags": {"Imds": "v2"}}, "require": {"HttpTokens": "required"}}]}"#;
    let scene = Scene::new(&[("IMDS_POLICY", POLICY)]).await;
    let id = &scene.launch(imdsv1(1))[0];
    scene.account_region.tag(id, "Team", "payments");
    let answer = scene.answer(scene.sim.take_events().remove(0)).await;
    assert_eq!(answer.report.ignored, ["the policy reads none of the changed tags"]);
    assert!(scene.sim.calls().is_empty());

    scene.account_region.tag(id, "Imds", "v2");
    let answer = scene.answer(scene.sim.take_events().remove(0)).await;
    assert_eq!(
        (answer.report.counts.clone(), trigger(&answer)),
        ([("enforced", 1)].into(), json!("tag-change"))
    );
}

#[tokio::test]
async fn a_sweep_covers_exactly_the_instances_of_its_account_and_region() {
    let scene = Scene::new(&[]).await;
    let ids = scene.launch(imdsv1(5));
    scene.launch(Launch { state: Some("terminated".to_owned()), ..imdsv1(1) });
    let elsewhere = scene.sim.account_region(ACCOUNT, "eu-west-1");
    let other = elsewhere.launch(imdsv1(1)).remove(0);
    let answer = scene.answer(sweep_event()).await;
    assert_eq!((answer.report.counts.clone(), trigger(&answer)), ([("enforced", 5)].into(), json!("sweep")));
    assert!(ids.iter().all(|id| scene.instance(id).options["HttpTokens"] == "required"));
    assert_eq!(elsewhere.instance(&other).unwrap().options["HttpTokens"], "optional");
}

#[tokio::test]
async fn a_sweeps_record_fails_only_for_what_stopped_the_sweep() {
    let scene = Scene::new(&[("IMDS_MODIFY_RATE", "1000")]).await;
    let ids = scene.launch(imdsv1(3));
    let sweep = batch(&[sweep_event().to_string()], 1);
    let wrong_state =
        FaultKind::Error { code: "IncorrectInstanceState".into(), status: 400, message: "no".into() };
    scene.sim.inject(Fault::new(wrong_state).on(MODIFY).of(&ids[0]));
    let answer = scene.answer(sweep.clone()).await;
    assert_eq!(answer.report.counts, [("enforced", 2), ("not-ready", 1)].into());
    assert!(failures(&answer).is_empty(), "the next sweep retries the instance");

    scene.sim.clear_faults();
    scene.sim.inject(Fault::new(FaultKind::Throttle).on(MODIFY));
    let answer = scene.answer(sweep.clone()).await;
    assert_eq!(
        (answer.report.counts.clone(), failures(&answer)),
        ([("compliant", 2), ("throttled", 1)].into(), vec![])
    );

    scene.sim.clear_faults();
    scene.sim.inject(Fault::new(FaultKind::ServerError).on(DESCRIBE));
    let answer = scene.answer(sweep).await;
    assert_eq!(failures(&answer), ["m0"]);
    assert!(
        answer.report.unresolved[0].starts_with("the sweep cannot list the instances"),
        "{:?}",
        answer.report
    );
}

#[tokio::test]
async fn a_sweep_reads_each_page_once_and_its_record_fails_if_a_page_stays_throttled() {
    let first = || Fault::new(FaultKind::Throttle).on(DESCRIBE);
    let second = || first().with_parameter("NextToken", "sim-1000");
    // The fault, the outcomes, and the positions at which the answered pages begin.
    let rows = [
        ("two throttles, then the first page", first().times(2), 2_100, vec!["", "sim-1000", "sim-2000"]),
        ("two throttles, then the second page", second().times(2), 2_100, vec!["", "sim-1000", "sim-2000"]),
        ("never the first page", first(), 0, vec![]),
        ("never the second page", second(), 1_000, vec![""]),
    ];
    let scene = Scene::new(&[]).await;
    scene.launch(Launch { count: 2_100, ..with_options(&[("HttpTokens", "required")]) });
    let sweep = batch(&[sweep_event().to_string()], 1);
    for (row, fault, instances, pages) in rows {
        scene.sim.clear_faults();
        scene.sim.clear_calls();
        scene.sim.inject(fault);
        let answer = scene.answer_within(sweep.clone(), Duration::from_secs(8)).await;
        let is_complete = instances == 2_100;
        assert_eq!(answer.report.counts.get("compliant").copied().unwrap_or(0), instances, "{row}");
        assert_eq!(failures(&answer).is_empty(), is_complete, "{row}: {:?}", answer.report.unresolved);
        assert_eq!(answer.report.unresolved.is_empty(), is_complete, "{row}");
        let (answered, throttled): (Vec<_>, Vec<_>) =
            scene.calls(DESCRIBE).into_iter().partition(|call| call.status == Some(200));
        let begin = |call: &RecordedCall| call.parameters.get("NextToken").cloned().unwrap_or_default();
        assert_eq!(answered.iter().map(begin).collect::<Vec<_>>(), pages, "{row}");
        assert!(throttled.len() >= 2, "{row}: {} throttles", throttled.len());
    }
}

#[tokio::test]
async fn a_redelivered_sweep_verifies_its_earlier_changes() {
    let settings = Settings { apply_delay: Duration::from_secs(3), ..Settings::default() };
    let scene = Scene::with(settings, &[("IMDS_VERIFY_SECONDS", "1")]).await;
    scene.launch(imdsv1(1));
    let sweep = [sweep_event().to_string()];
    let outcome = async |receives| scene.answer(batch(&sweep, receives)).await.report.counts;
    assert_eq!(outcome(1).await, [("pending", 1)].into());
    assert_eq!(outcome(2).await, [("pending", 1)].into());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(outcome(3).await, [("compliant", 1)].into());
    assert_eq!(scene.calls(MODIFY).len(), 1);
}

#[tokio::test]
async fn a_dry_run_sweep_calls_ec2_for_fifty_changes_and_only_decides_the_rest() {
    let scene = Scene::new(&[("IMDS_MODE", "dry-run")]).await;
    scene.launch(imdsv1(70));
    let answer = scene.answer(sweep_event()).await;
    assert_eq!(answer.report.counts, [("would-enforce", 70)].into());
    assert_eq!(scene.calls(MODIFY).len(), 50);
    let asked = |report: &&imds_core::outcome::InstanceOutcome| report.reasons.len() == 1;
    assert_eq!(
        answer.report.outcomes.iter().filter(asked).count(),
        50,
        "the others say that EC2 was not asked"
    );
}

#[tokio::test]
async fn an_instance_of_a_batch_is_reported_under_the_first_trigger() {
    let scene = Scene::new(&[]).await;
    let ids = scene.launch(imdsv1(4));
    let running = |id: &str| running_event(id, now());
    let bodies = [
        sweep_event(),
        running(&ids[0]),
        launch_event(&ids[..1]),
        drift_event(&ids[0]),
        running(&ids[1]),
        drift_event(&ids[1]),
        running(&ids[2]),
    ];
    let answer = scene.answer(batch(&bodies.map(|body| body.to_string()), 1)).await;
    let mut triggers: Vec<(String, Value)> = answer
        .report
        .outcomes
        .iter()
        .map(|report| (report.instance_id.to_string(), serde_json::to_value(report.trigger).unwrap()))
        .collect();
    triggers.sort_by_key(|(id, _)| ids.iter().position(|other| other == id));
    let expected = ["launch", "drift", "state-change", "sweep"].map(Value::from);
    assert_eq!(triggers, ids.into_iter().zip(expected).collect::<Vec<_>>());
    assert_eq!(scene.calls(MODIFY).len(), 4);
}

#[tokio::test]
async fn the_order_and_number_of_events_do_not_affect_the_result() {
    let scene = Scene::with(Settings::default(), &[]).await;
    let ids = scene.launch(imdsv1(3));
    let mut bodies: Vec<String> = ids.iter().map(|id| running_event(id, now()).to_string()).collect();
    bodies.push(launch_event(&ids).to_string());
    bodies.extend(bodies.clone());
    for _ in 0..3 {
        fastrand::shuffle(&mut bodies);
        scene.answer(batch(&bodies, 2)).await;
    }
    assert_eq!(scene.calls(MODIFY).len(), 3, "each instance is changed once");
    assert!(ids.iter().all(|id| scene.instance(id).options["HttpTokens"] == "required"));
}

#[tokio::test]
async fn a_response_has_no_more_outcomes_than_lambda_allows() {
    let scene = Scene::new(&[]).await;
    scene.launch(Launch { count: 14_000, ..with_options(&[("HttpTokens", "required")]) });
    let answer = scene.answer(sweep_event()).await;
    let (told, response) = (answer.report.outcomes.len(), answer.response.unwrap());
    let returned = response["outcomes"].as_array().unwrap().len();
    assert_eq!((told, &response["counts"]), (14_000, &json!({"compliant": 14_000})));
    assert_eq!(response["onlyLogged"], json!(14_000 - returned));
    assert!((4_000_000..6_000_000).contains(&response.to_string().len()));
}
