//! How events are put on the bus, and what happens if that fails.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::event_bus::Fault;
use crate::support::*;
use crate::{Scene, failed, warnings};

#[tokio::test]
async fn many_events_are_put_by_tens() {
    let mut scene = Scene::new(imdsv1(60), &[], &[]).await;
    scene.log(launch_event(&scene.ids)).await;
    assert_eq!(scene.bus.taken().len(), 60);
    let calls = scene.bus.calls();
    assert!(calls.contains(&10), "60 instances that end at almost the same time: {calls:?}");
}

#[tokio::test]
async fn entries_that_are_not_taken_are_put_again() {
    let mut scene = Scene::new(imdsv1(10), &[], &[Fault::Half; 2]).await;
    let log = scene.log(launch_event(&scene.ids)).await;
    let mut told: Vec<Value> = scene.bus.taken().iter().map(|event| event["Resources"][0].clone()).collect();
    told.sort_by_key(Value::to_string);
    let before = told.len();
    told.dedup();
    assert_eq!((before, told.len()), (10, 10), "each once");
    assert_eq!((warnings(&log), failed(&log)), (vec![], None));
}

#[tokio::test]
async fn what_is_refused_for_good_is_not_put_again() {
    let mut scene = Scene::new(imdsv1(9), &[], &[Fault::Mixed]).await;
    let log = scene.log(launch_event(&scene.ids)).await;
    // Instances that end together share a call, whose first entry is refused for good.
    let refused = failed(&log).expect("a metric");
    assert_eq!(scene.bus.taken().len() as u64 + refused, 9);
    assert!((1..=3).contains(&refused), "{refused}");
    let [why] = &warnings(&log)[..] else { panic!("{log:?}") };
    assert!(
        why.ends_with("events:PutEvents returned NotAuthorizedForSourceException: Not authorized"),
        "{why}"
    );
}

#[tokio::test]
async fn an_event_without_an_answer_is_put_again() {
    let mut scene = Scene::new(imdsv1(10), &[], &[Fault::Short; 2]).await;
    let log = scene.log(launch_event(&scene.ids)).await;
    assert_eq!((scene.bus.taken().len(), failed(&log)), (10, None));
}

#[tokio::test]
async fn a_failure_to_put_is_counted_and_changes_nothing_else() {
    for (faults, why) in [
        (vec![Fault::Denied; 40], "events:PutEvents returned AccessDeniedException: is not authorized"),
        (vec![Fault::None; 40], "events:PutEvents returned ThrottlingException: Rate exceeded"),
    ] {
        let mut scene = Scene::new(imdsv1(3), &[], &faults).await;
        let log = scene.log(batch(&[launch_event(&scene.ids).to_string()], 1)).await;
        let done = log.last().unwrap();
        assert_eq!((&done["message"], &done["counts"]), (&json!("batch done"), &json!({"enforced": 3})));
        assert_eq!(failed(&log), Some(3));
        let expected = format!("3 of 3 outcome events were not put on the event bus outcomes: {why}");
        assert_eq!(warnings(&log), [expected]);
    }
}

#[tokio::test]
async fn an_event_bus_that_does_not_respond_delays_an_invocation_by_seconds() {
    let mut scene = Scene::new(imdsv1(1), &[], &[Fault::Hang; 40]).await;
    let start = Instant::now();
    let log = scene.log(launch_event(&scene.ids)).await;
    let took = start.elapsed();
    assert!(took < Duration::from_secs(8), "{took:?}");
    assert_eq!(failed(&log), Some(1));
}

#[tokio::test]
async fn an_invocation_does_not_wait_for_the_event_bus_until_lambda_ends_it() {
    let mut scene = Scene::new(imdsv1(1), &[], &[Fault::Hang; 40]).await;
    let answer = scene.lambda.invoke(launch_event(&scene.ids), Duration::from_secs(3)).await;
    answer.expect("in time").expect("an answer");
    assert_eq!(failed(&scene.lambda.last_log().await), Some(1));
}
