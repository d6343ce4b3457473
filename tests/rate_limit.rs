//! The rate limit of changes, and changes that are delayed or not made before the deadline.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use ec2_sim::{Fault, FaultKind};
use support::*;

const DESCRIBE: &str = "DescribeInstances";
const MODIFY: &str = "ModifyInstanceMetadataOptions";

#[tokio::test]
async fn near_the_deadline_no_change_starts_and_no_instance_is_lost() {
    // A burst of 80, then 1 per second: 8 seconds are enough for most of the 100 instances, but not for all.
    let scene = Scene::new(&[("IMDS_MODIFY_RATE", "1")]).await;
    let ids = scene.launch(imdsv1(100));
    let bodies: Vec<String> = ids.iter().map(|id| running_event(id, now()).to_string()).collect();
    let started = std::time::Instant::now();
    let answer = scene.answer_within(batch(&bodies, 1), Duration::from_secs(8)).await;
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    assert_eq!(answer.report.outcomes.len(), 100, "every instance is reported");
    let throttled = answer.report.counts["throttled"];
    assert!((10..=20).contains(&throttled), "{:?}", answer.report.counts);
    let changed = ids.iter().filter(|id| scene.instance(id).options["HttpTokens"] == "required").count();
    assert_eq!(changed + throttled, 100);
    assert!(failures(&answer).len() >= throttled);
}

#[tokio::test]
async fn a_call_that_hangs_past_the_deadline_is_abandoned_and_reported() {
    let scene = Scene::new(&[]).await;
    let ids = scene.launch(imdsv1(2));
    scene.sim.inject(Fault::new(FaultKind::Hang(None)).on(MODIFY).of(&ids[0]));
    let bodies: Vec<String> = ids.iter().map(|id| running_event(id, now()).to_string()).collect();
    let answer = scene.answer_within(batch(&bodies, 1), Duration::from_secs(3)).await;
    assert_eq!(answer.report.counts.get("failed"), Some(&1), "{:?}", answer.report);
    let failed = answer.report.outcomes.iter().find(|report| report.outcome.as_str() == "failed").unwrap();
    let reason = failed.reasons.last().unwrap();
    assert!(reason.contains("the invocation's time ran out"), "{reason}");
    assert!(failures(&answer).contains(&"m0".to_owned()));
}

#[tokio::test]
async fn when_every_change_is_denied_each_instance_costs_one_call() {
    let scene = Scene::new(&[]).await;
    let ids = scene.launch(imdsv1(50));
    scene.sim.inject(Fault::new(FaultKind::Deny).on(MODIFY));
    let bodies: Vec<String> = ids.iter().map(|id| running_event(id, now()).to_string()).collect();
    let answer = scene.answer(batch(&bodies, 1)).await;
    assert_eq!((answer.report.counts.clone(), failures(&answer)), ([("denied", 50)].into(), vec![]));
    assert_eq!((scene.calls(MODIFY).len(), scene.calls(DESCRIBE).len()), (50, 1));
}

#[tokio::test]
async fn a_denial_of_all_options_costs_one_call_and_one_more_per_option() {
    const POLICY: &str = r#"{"baseline": {"HttpTokens": "optional", "HttpPutResponseHopLimit": 2, "HttpProtocolIpv6": "enabled"}}"#;
    let scene = Scene::new(&[("IMDS_POLICY", POLICY)]).await;
    let ids = scene.launch(with_options(&[("HttpTokens", "required")]));
    scene.sim.inject(Fault::new(FaultKind::Deny).on(MODIFY));
    let answer = scene.answer(launch_event(&ids)).await;
    assert_eq!(answer.report.counts, [("denied", 1)].into());
    assert_eq!(scene.calls(MODIFY).len(), 4, "all options, then each of the three alone");
}

#[tokio::test]
async fn a_delayed_instance_is_described_again_before_it_is_changed() {
    const POLICY: &str = r#"{"baseline": {"HttpPutResponseHopLimit": {"atMost": 2}},
        "instanceTags": {"exemptions": {"maxDays": 30}}}"#;
    // A burst of 80, then 2 per second: the last of the 110 instances wait for more than 10 seconds.
    let scene = Scene::new(&[("IMDS_POLICY", POLICY), ("IMDS_MODIFY_RATE", "2")]).await;
    let mut ids = scene
        .account_region
        .launch(ec2_sim::Launch { count: 110, ..with_options(&[("HttpPutResponseHopLimit", "5")]) });
    ids.sort();
    let (exempt, tightened) = (&ids[108], &ids[109]);
    let event = launch_event(&ids);
    let meanwhile = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        scene.account_region.tag(exempt, "imds:ExemptUntil", &now().date().to_string());
        scene.account_region.modify(tightened, &[("HttpPutResponseHopLimit", "1")]);
    };
    let (answer, ()) = tokio::join!(scene.answer(event), meanwhile);
    assert_eq!(answer.report.counts, [("compliant", 1), ("enforced", 108), ("exempt", 1)].into());
    let hops = |id: &str| scene.instance(id).options["HttpPutResponseHopLimit"].clone();
    assert_eq!((hops(exempt), hops(tightened)), ("5".to_owned(), "1".to_owned()), "never loosened");
    let describes = scene.calls(DESCRIBE).len();
    assert!(
        describes <= 1 + 3 + 2,
        "one to observe, one per 5 seconds of waiting, two to verify: {describes}"
    );
}
