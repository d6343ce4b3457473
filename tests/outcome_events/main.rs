//! The events that tell others of outcomes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod put;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use ec2_sim::{Ec2Sim, Fault as CallFault, FaultKind, Launch, Settings};
use serde_json::{Value, json};
use support::event_bus::{EventBus, Fault};
use support::lambda::Lambda;
use support::*;

/// An EC2 with instances that allow IMDSv1, an event bus whose first calls meet faults, and the function.
struct Scene {
    sim: Ec2Sim,
    bus: EventBus,
    lambda: Lambda,
    ids: Vec<String>,
}

impl Scene {
    async fn new(instances: Launch, variables: &[(&str, &str)], faults: &[Fault]) -> Self {
        Self::with(Duration::ZERO, instances, variables, faults).await
    }

    /// Changes are applied after `apply_delay`.
    async fn with(
        apply_delay: Duration,
        instances: Launch,
        variables: &[(&str, &str)],
        faults: &[Fault],
    ) -> Self {
        let sim = Ec2Sim::start(Settings { apply_delay, ..Settings::default() }).await.unwrap();
        let ids = sim.account_region(ACCOUNT, REGION).launch(instances);
        let (bus, url) = EventBus::start(faults).await;
        let endpoint = sim.endpoint();
        let own = [
            ("IMDS_OUTCOME_BUS", "outcomes"),
            ("AWS_ENDPOINT_URL_EVENTBRIDGE", &*url),
            ("AWS_ENDPOINT_URL_CLOUDWATCH", &*endpoint),
        ];
        let lambda = Lambda::start(&sim, &[&own, variables].concat()).await;
        Self { sim, bus, lambda, ids }
    }

    /// The outcomes that were told, with the last part of the instance's ARN.
    fn told(&self) -> Vec<(String, String)> {
        let detail =
            |event: &Value| -> Value { serde_json::from_str(event["Detail"].as_str().unwrap()).unwrap() };
        let outcome = |event: &Value| {
            let id = event["Resources"][0].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
            (id, detail(event)["outcome"].as_str().unwrap().to_owned())
        };
        self.bus.taken().iter().map(outcome).collect()
    }

    /// Invokes the function, which must respond. Returns its log.
    async fn log(&mut self, payload: Value) -> Vec<Value> {
        let answer = self.lambda.invoke(payload, Duration::from_secs(60)).await;
        answer.expect("in time").expect("an answer");
        self.lambda.last_log().await
    }
}

fn warnings(log: &[Value]) -> Vec<&str> {
    let is_warning = |line: &&Value| line["level"] == "WARN" && line.get("message").is_some();
    log.iter().filter(is_warning).map(|line| line["message"].as_str().unwrap()).collect()
}

fn failed(log: &[Value]) -> Option<u64> {
    log.iter().find_map(|line| line.get("OutcomeEventsFailed")?.as_u64())
}

#[tokio::test]
async fn a_change_is_told_as_it_is_logged() {
    let mut scene = Scene::new(imdsv1(1), &[], &[]).await;
    let log = scene.log(launch_event(&scene.ids)).await;
    let [event] = &scene.bus.taken()[..] else { panic!("{:?}", scene.bus.taken()) };
    let id = &scene.ids[0];
    let arn = format!("arn:aws:ec2:{REGION}:{ACCOUNT}:instance/{id}");
    assert_eq!(
        (&event["EventBusName"], &event["Source"], &event["DetailType"], &event["Resources"]),
        (
            &json!("outcomes"),
            &json!("imds-enforcer"),
            &json!("Instance Metadata Options Outcome"),
            &json!([arn])
        )
    );
    let mut detail: Value = serde_json::from_str(event["Detail"].as_str().unwrap()).unwrap();
    assert_eq!(detail.as_object_mut().unwrap().remove("schemaVersion"), Some(json!(1)));
    let mut logged = log.iter().find(|line| line["instanceId"] == **id).unwrap().clone();
    for field in ["timestamp", "level", "requestId"] {
        logged.as_object_mut().unwrap().remove(field);
    }
    assert_eq!(detail, logged);
    assert_eq!((warnings(&log), failed(&log)), (vec![], None));
}

#[tokio::test]
async fn without_a_bus_or_anything_to_tell_nothing_is_put() {
    let mut silent = Scene::new(with_options(&[("HttpTokens", "required")]), &[], &[]).await;
    silent.log(launch_event(&silent.ids)).await;
    assert_eq!(silent.bus.calls().len(), 0);
    let mut off = Scene::new(imdsv1(1), &[("IMDS_OUTCOME_BUS", "")], &[]).await;
    off.log(launch_event(&off.ids)).await;
    assert_eq!(off.bus.calls().len(), 0);
}

#[tokio::test]
async fn a_change_is_told_once_although_it_is_verified_later() {
    let verify = [("IMDS_VERIFY_SECONDS", "0")];
    for payload in [None, Some(sweep_event())] {
        let mut scene = Scene::with(Duration::from_secs(2), imdsv1(1), &verify, &[]).await;
        let event = |receives| batch(&[launch_event(&scene.ids).to_string()], receives);
        let (first, second) = (payload.clone().unwrap_or(event(1)), payload.unwrap_or(event(2)));
        scene.log(first).await;
        let told = vec![(scene.ids[0].clone(), "pending".to_owned())];
        assert_eq!(scene.told(), told);
        tokio::time::sleep(Duration::from_secs(2)).await;
        scene.log(second).await;
        assert_eq!(scene.told(), told, "it is compliant then");
    }
}

#[tokio::test]
async fn a_change_is_told_of_an_instance_that_is_terminated_before_it_is_applied() {
    let mut scene = Scene::with(Duration::from_secs(60), imdsv1(1), &[], &[]).await;
    let Scene { sim, bus, lambda, ids } = &mut scene;
    let (sim, ids) = (&*sim, &*ids);
    let is_changed = || {
        let calls = sim.calls();
        calls.iter().any(|call| call.action == "ModifyInstanceMetadataOptions" && call.status == Some(200))
    };
    let terminate = async {
        while !is_changed() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        sim.account_region(ACCOUNT, REGION).terminate(&ids[0]);
    };
    let (answer, ()) = tokio::join!(lambda.invoke(launch_event(ids), Duration::from_secs(60)), terminate);
    answer.expect("in time").expect("an answer");
    let told: Value = serde_json::from_str(bus.taken()[0]["Detail"].as_str().unwrap()).unwrap();
    let expected = (&json!("gone"), &json!({"HttpTokens": "required"}));
    assert_eq!((&told["outcome"], &told["change"]), expected);
}

#[tokio::test]
async fn a_sweep_tells_of_a_change_beside_an_option_that_is_held_back() {
    let policy = r#"{"baseline": {"HttpTokens": "required", "HttpPutResponseHopLimit": 5}, "usageGate": {}}"#;
    let long_ago = Some(now() - time::Duration::days(90));
    let before = Launch { launch_time: long_ago, first_ran: long_ago, settled: true, ..imdsv1(1) };
    let mut scene = Scene::new(before, &[("IMDS_POLICY", policy)], &[]).await;
    for _ in 0..2 {
        scene.log(sweep_event()).await;
        assert_eq!(scene.told(), [(scene.ids[0].clone(), "in-use".to_owned())], "once, with the change");
    }
}

#[tokio::test]
async fn a_problem_is_told_once_although_its_event_is_delivered_again() {
    let mut scene = Scene::new(imdsv1(1), &[], &[]).await;
    scene.sim.inject(CallFault::new(FaultKind::Deny).on("ModifyInstanceMetadataOptions"));
    let ids = [scene.ids[0].clone(), "i-0123456789abcdef0".to_owned()];
    for receives in 1..4 {
        scene.log(batch(&[launch_event(&ids).to_string()], receives)).await;
        assert_eq!(scene.told(), [(ids[0].clone(), "denied".to_owned())], "{receives}");
    }
    // An event of its own.
    scene.log(batch(&[running_event(&ids[0], now()).to_string()], 1)).await;
    assert_eq!(scene.told().len(), 2);
}

#[tokio::test]
async fn an_event_has_the_region_of_the_instance_and_the_mode() {
    let mut scene = Scene::new(imdsv1(1), &[("IMDS_MODE", "dry-run")], &[]).await;
    let mut elsewhere = running_event("i-0123456789abcdef0", now());
    elsewhere["region"] = json!("eu-west-1");
    let bodies = [launch_event(&scene.ids).to_string(), elsewhere.to_string()];
    scene.log(batch(&bodies, 1)).await;
    assert_eq!(scene.told(), [], "a dry run changes nothing, and the other is retried");
    scene.log(batch(&bodies, 12)).await;
    let [event] = &scene.bus.taken()[..] else {
        panic!("a dry run changes nothing: {:?}", scene.bus.taken())
    };
    let arn = format!("arn:aws:ec2:eu-west-1:{ACCOUNT}:instance/i-0123456789abcdef0");
    assert_eq!(event["Resources"], json!([arn]));
    assert!(event["Detail"].as_str().unwrap().contains(r#""mode":"dry-run""#), "{event}");
}

#[tokio::test]
async fn what_is_retried_is_told_at_the_last_receive() {
    for (receives, expected) in [(11, 0), (12, 1), (13, 1)] {
        let mut scene = Scene::new(imdsv1(1), &[], &[]).await;
        let event = running_event("i-0123456789abcdef0", now());
        let log = scene.log(batch(&[event.to_string()], receives)).await;
        let outcome = log.iter().find_map(|line| line.get("outcome")).unwrap();
        assert_eq!(outcome, "not-ready");
        assert_eq!(scene.bus.taken().len(), expected, "{receives} receives");
    }
}

#[tokio::test]
async fn an_instance_that_another_event_retries_is_not_told_yet() {
    let body = running_event("i-0123456789abcdef0", now()).to_string();
    for (receives, expected) in [([12, 1], 0), ([1, 12], 0), ([12, 12], 1)] {
        let mut scene = Scene::new(imdsv1(1), &[], &[]).await;
        let mut both = batch(&[body.clone(), body.clone()], 1);
        for (record, receives) in both["Records"].as_array_mut().unwrap().iter_mut().zip(receives) {
            record["attributes"]["ApproximateReceiveCount"] = json!(receives.to_string());
        }
        scene.log(both).await;
        assert_eq!(scene.bus.taken().len(), expected, "{receives:?}");
    }
}

#[tokio::test]
async fn a_sweep_tells_of_changes_and_with_the_watch_of_exemptions_that_end() {
    let until = (now() + time::Duration::days(3)).date();
    let rule =
        json!({"name": "legacy", "when": {"accounts": ACCOUNT}, "exempt": {"until": until.to_string()}});
    let policy = json!({"baseline": {"HttpTokens": "required"}, "rules": [rule]}).to_string();
    let mut scene = Scene::new(imdsv1(1), &[("IMDS_POLICY", &policy)], &[]).await;
    scene.log(sweep_event()).await;
    assert_eq!(scene.bus.taken(), Vec::<Value>::new(), "each sweep would tell of it");
    let mut watch = sweep_event();
    watch["detail"]["watch"] = json!(true);
    scene.log(watch).await;
    let [event] = &scene.bus.taken()[..] else { panic!("{:?}", scene.bus.taken()) };
    assert!(event["Detail"].as_str().unwrap().contains(r#""outcome":"exempt""#), "{event}");
}
