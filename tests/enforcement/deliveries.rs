//! The records of a batch that are redelivered.

use std::cell::RefCell;
use std::time::Duration;

use ec2_sim::{Fault, FaultKind, Settings};
use imds_core::outcome::InstanceOutcome;
use imds_core::trigger::Trigger;
use imds_engine::deadline::Deadline;
use imds_engine::reconcile::Delivery;
use serde_json::json;

use crate::support::*;
use crate::{MODIFY, outcomes};

#[tokio::test]
async fn an_ignored_event_causes_no_call() {
    let scene = Scene::new(&[]).await;
    let answer = scene.answer(json!({"source": "aws.s3", "detail-type": "Object Created"})).await;
    let ignored = "source \"aws.s3\" with detail-type \"Object Created\" is not handled";
    let expected = json!({"mode": "enforce", "counts": {}, "outcomes": [], "ignored": [ignored]});
    assert_eq!(answer.response.unwrap(), expected);
    assert!(scene.sim.calls().is_empty());
}

#[tokio::test]
async fn three_failures_do_not_prevent_seventeen_changes() {
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
    assert_eq!(failures(&answer), ["m7"], "only retryable outcomes cause a redelivery");
    let denied = answer.report.outcomes.iter().find(|report| report.instance_id.as_str() == ids[11]).unwrap();
    let reason = denied.reasons.last().unwrap();
    assert!(
        reason.starts_with("ec2:ModifyInstanceMetadataOptions returned UnauthorizedOperation"),
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
        ["m0", "m2", "m5", "m6"],
        "records that cannot be read eventually go to the dead-letter queue"
    );
    assert_eq!(outcomes(&answer), [(ids[0].clone(), "enforced")]);
    assert_eq!(answer.report.ignored.len(), 3, "{:?}", answer.report.ignored);
    assert!(answer.report.ignored.iter().all(|why| why.len() < 300), "text from events is truncated");

    let why = "the record m2: the event cannot be read: detail.eventTime is missing or malformed";
    assert!(answer.report.unresolved.iter().any(|unresolved| unresolved == why), "{:?}", answer.report);

    for payload in [json!([]), json!("text"), json!(null)] {
        let answer = scene.answer(payload.clone()).await;
        assert_eq!(answer.report.ignored.len(), 1, "{payload}");
        assert!(answer.response.is_ok(), "{payload}");
    }
}

#[tokio::test]
async fn an_event_that_cannot_be_read_fails_and_what_is_readable_of_it_is_done() {
    let scene = Scene::new(&[]).await;
    let ids = scene.launch(imdsv1(1));
    let mut stateless = running_event(&ids[0], now());
    stateless["detail"]["state"] = json!(null);
    let mut launch = launch_event(&ids);
    let items = launch.pointer_mut("/detail/responseElements/instancesSet/items").unwrap();
    items.as_array_mut().unwrap().push(json!({"instanceId": "i-\u{202e}new"}));

    let answer = scene.answer(batch(&[stateless.to_string(), launch.to_string()], 1)).await;
    assert_eq!(outcomes(&answer), [(ids[0].clone(), "enforced")]);
    assert_eq!(failures(&answer), ["m0", "m1"]);
    let expected = [
        "the record m0: the event cannot be read: detail.state is missing or malformed",
        r#"the record m1: the event contains invalid instance IDs: "i-\u{202e}new""#,
    ];
    assert_eq!(answer.report.unresolved, expected);
    assert!(answer.report.ignored.is_empty());

    for (event, expected) in [(stateless, "detail.state is missing"), (launch, "i-\\u{202e}new")] {
        let error = scene.answer(event).await.response.expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn an_invalid_sqs_batch_fails_as_a_whole() {
    let scene = Scene::new(&[]).await;
    for records in [
        json!([{"eventSource": "aws:sqs", "body": "{}"}]),
        json!([{"eventSource": "aws:sqs"}, 1]),
        json!([{"eventSource": "aws:s3"}]),
        json!("text"),
    ] {
        let answer = scene.answer(json!({"Records": records})).await;
        let error = answer.response.expect_err(&records.to_string()).to_string();
        assert!(error.starts_with("not an SQS batch"), "{error}");
    }
}

#[tokio::test]
async fn a_change_not_applied_in_time_is_pending_and_verified_at_redelivery() {
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
    assert_eq!(scene.calls(MODIFY).len(), 1, "the instance is changed once");
}

#[tokio::test]
async fn an_instance_named_by_several_records_is_handled_once_under_the_first_trigger() {
    let scene = Scene::new(&[]).await;
    let ids = scene.launch(imdsv1(1));
    let running = running_event(&ids[0], now()).to_string();
    let answer = scene.answer(batch(&[running.clone(), launch_event(&ids).to_string(), running], 1)).await;
    assert_eq!(answer.report.outcomes.len(), 1);
    assert_eq!(serde_json::to_value(answer.report.outcomes[0].trigger).unwrap(), "launch");
    assert_eq!(scene.calls(MODIFY).len(), 1);
}

#[tokio::test]
async fn an_outcome_applies_to_every_record_that_names_the_instance() {
    let scene = Scene::new(&[("IMDS_MODIFY_RATE", "1000")]).await;
    let ids = scene.launch(imdsv1(2));
    scene.sim.inject(Fault::new(FaultKind::Throttle).on(MODIFY).of(&ids[0]));
    let events = [launch_event(&ids), running_event(&ids[0], now()), running_event(&ids[1], now())];
    let answer = scene.answer(batch(&events.map(|event| event.to_string()), 1)).await;
    assert_eq!(answer.report.counts, [("enforced", 1), ("throttled", 1)].into());
    assert_eq!(failures(&answer), ["m0", "m1"]);
}

#[tokio::test]
async fn a_panic_fails_only_the_record_that_meets_it() {
    // Changes are still pending when the deliveries are processed again.
    let settings = Settings { apply_delay: Duration::from_secs(1), ..Settings::default() };
    let scene = Scene::with(settings, &[]).await;
    let ids = scene.launch(imdsv1(3));
    let mut elsewhere = running_event(&ids[2], now());
    elsewhere["region"] = json!("eu-west-1");
    let events = [running_event(&ids[0], now()), running_event(&ids[1], now()), elsewhere];
    let delivery = |event| Delivery {
        trigger: Trigger::from_event(event, scene.enforcer.policy()).unwrap(),
        redelivered: false,
        is_last: false,
    };
    let deliveries: Vec<Delivery> = events.iter().map(delivery).collect();
    let reported = RefCell::new(Vec::new());
    let on_report = |outcome: InstanceOutcome| {
        assert_ne!(outcome.instance_id.as_str(), ids[0], "a defect");
        reported.borrow_mut().push((outcome.instance_id.to_string(), outcome.outcome.as_str()));
    };
    let deadline = Deadline::new(now(), Duration::from_secs(60));
    let enforced = scene.enforcer.enforce(&deliveries, deadline, &on_report).await;
    let retried: Vec<usize> = enforced.retry.keys().copied().collect();
    assert_eq!(retried, [0, 2], "the defect, and an instance that is not in that Region");
    let mut reported = reported.into_inner();
    reported.sort();
    let mut expected = vec![(ids[1].clone(), "compliant"), (ids[2].clone(), "not-ready")];
    expected.sort();
    assert_eq!(reported, expected, "changed before the panic, and found so after it");
    let [defect] = &enforced.unresolved[..] else { panic!("{:?}", enforced.unresolved) };
    assert!(
        defect.starts_with("a defect of the function stopped the work in 111122223333 us-east-1: "),
        "{defect}"
    );
}
