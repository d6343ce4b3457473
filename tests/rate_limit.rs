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
    let scene = Scene::new(&[("IMDS_MODIFY_RATE", "2")]).await;
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
    // A burst of 10, then 2 per second: an instance is described again if it waits for more than 5 seconds.
    let variables = [("IMDS_POLICY", POLICY), ("IMDS_MODIFY_RATE", "4"), ("IMDS_MODIFY_BURST", "10")];
    let scene = Scene::new(&variables).await;
    let ids =
        scene.launch(ec2_sim::Launch { count: 40, ..with_options(&[("HttpPutResponseHopLimit", "5")]) });
    let hops = |id: &str| scene.instance(id).options["HttpPutResponseHopLimit"].clone();
    let meanwhile = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        for (number, id) in ids.iter().filter(|id| hops(id) == "5").enumerate() {
            if number % 2 == 0 {
                scene.account_region.tag(id, "imds:ExemptUntil", &now().date().to_string());
            } else {
                scene.account_region.modify(id, &[("HttpPutResponseHopLimit", "1")]);
            }
        }
        // A change that starts within 5 seconds of the description may not see them.
        tokio::time::sleep(Duration::from_secs(6)).await;
        scene.calls(MODIFY).len()
    };
    let (answer, sent) = tokio::join!(scene.answer(launch_event(&ids)), meanwhile);
    assert_eq!(scene.calls(MODIFY).len(), sent, "what is due later is exempt or compliant");
    let count = |outcome| answer.report.counts.get(outcome).copied().unwrap_or_default();
    let (compliant, exempt) = (count("compliant"), count("exempt"));
    assert!(compliant >= 2 && exempt >= 2, "{:?}", answer.report.counts);
    assert_eq!((count("enforced"), sent), (40 - compliant - exempt, 40 - compliant - exempt));
    for report in &answer.report.outcomes {
        let expected = match report.outcome.as_str() {
            "compliant" => "1",
            "exempt" => "5",
            _ => "2",
        };
        assert_eq!(hops(report.instance_id.as_str()), expected, "{}: {}", report.instance_id, report.outcome);
    }
    let describes = scene.calls(DESCRIBE).len();
    assert!(describes <= 1 + 2 + 2, "one to observe, one per wave, two to verify: {describes}");
}
