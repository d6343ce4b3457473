//! Instances that EC2 does not show yet, and launches whose ids are not known.

use ec2_sim::{Fault, FaultKind, Launch};
use serde_json::{Value, json};

use crate::support::*;
use crate::{DESCRIBE, outcomes};

#[tokio::test]
async fn an_instance_that_ec2_does_not_show_is_described_again() {
    let scene = Scene::new(&[]).await;
    let ids = scene.launch(imdsv1(2));
    scene.sim.inject(Fault::new(FaultKind::NotVisible).on(DESCRIBE).of(&ids[1]).times(2));
    let answer = scene.answer(launch_event(&ids)).await;
    assert_eq!(answer.report.counts, [("enforced", 2)].into());
}

#[tokio::test]
async fn an_unknown_instance_is_not_ready_at_first_and_gone_after_15_minutes() {
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
async fn a_launch_with_omitted_elements_is_found_by_token_or_by_time() {
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
        // The event is old enough that a describe by time returns all instances.
        event["time"] = running_event("", now() - time::Duration::minutes(2))["time"].clone();
        event
    };
    let answer = scene.answer(cut_off(json!({"clientToken": token}))).await;
    assert_eq!(answer.report.counts, [("enforced", 45)].into());
    assert!(ids.iter().all(|id| scene.instance(id).options["HttpTokens"] == "required"));
    assert_eq!(
        scene.instance(&bystander[0]).options["HttpTokens"],
        "optional",
        "the client token matches literally"
    );

    let answer = scene.answer(cut_off(json!({"omitted": true}))).await;
    assert_eq!(answer.report.counts, [("compliant", 45), ("enforced", 1)].into());
    let answer = scene.answer(cut_off(json!({"clientToken": "unknown"}))).await;
    let error = answer.response.expect_err("the event is not lost if no instance is found").to_string();
    assert!(
        error.contains("the launch with client token \"unknown\": EC2 shows no such instance"),
        "{error}"
    );
}

#[tokio::test]
async fn a_launch_with_omitted_elements_is_described_until_two_responses_agree() {
    let scene = Scene::new(&[]).await;
    let token = "a-token".to_owned();
    let ids = scene.launch(Launch { client_token: Some(token.clone()), ..imdsv1(3) });
    // The first describe returns two of three instances.
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
async fn a_launch_known_only_by_its_time_is_retried_while_it_may_not_be_visible() {
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
