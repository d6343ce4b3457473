//! CloudWatch is slow, hangs or fails.

use std::collections::BTreeSet;
use std::time::{Duration as Wait, Instant};

use ec2_sim::{Fault, FaultKind};

use crate::follow::{GROUP, timed};
use crate::limits::scene_with;
use crate::support::*;
use crate::*;

#[tokio::test]
async fn an_instance_is_described_again_after_a_slow_answer() {
    const POLICY: &str = r#"{"baseline": {"HttpTokens": "required"}, "usageGate": {},
        "instanceTags": {"authority": "loosen", "exemptions": {"maxDays": 30}}}"#;
    let scene = Scene::new(&[("IMDS_POLICY", POLICY)]).await;
    let ids = scene.launch(old(2));
    unused(&scene, &ids);
    scene.sim.inject(Fault::new(FaultKind::Delay(Wait::from_secs(6))).on(METRICS).times(1));
    let answer = tokio::join!(scene.answer(sweep_event()), async {
        tokio::time::sleep(Wait::from_secs(2)).await;
        scene.account_region.tag(&ids[0], "imds:ExemptUntil", &day(-10).to_string());
    });
    assert_eq!((became(&answer.0, &ids[0]), became(&answer.0, &ids[1])), ("exempt", "enforced"));
    assert_eq!(tokens_sent(&scene), ids[1..]);
    assert_eq!(
        actions(&scene),
        [DESCRIBE, METRICS, DESCRIBE, MODIFY, DESCRIBE],
        "before the change, and after it"
    );
}

#[tokio::test]
async fn an_event_does_not_wait_longer_than_30_seconds_for_cloudwatch() {
    let scene = Scene::new(&[("IMDS_POLICY", GATED)]).await;
    let before = scene.launch(old(1));
    let new = scene.launch(imdsv1(1));
    scene.sim.inject(Fault::new(FaultKind::Hang(None)).on(METRICS));
    let started = Instant::now();
    let events = records(&[state_event(&before[0]), launch_event(&new)]);
    let (ended, meanwhile) = tokio::join!(timed(&scene, events, Wait::from_secs(60)), async {
        tokio::time::sleep(Wait::from_secs(5)).await;
        http_tokens(&scene, &new[0])
    });
    let elapsed = started.elapsed();
    assert_eq!(meanwhile, "required", "the change does not wait for CloudWatch");
    assert!((Wait::from_secs(29)..Wait::from_secs(34)).contains(&elapsed), "{elapsed:?}");
    let of = |id: &str| ended.iter().find(|(outcome, _)| outcome.instance_id.as_str() == id).unwrap();
    assert_eq!(of(&before[0]).0.outcome.as_str(), "failed");
    assert_eq!(of(&new[0]).0.outcome.as_str(), "enforced");
    assert_eq!(tokens_sent(&scene), new);
}

#[tokio::test]
async fn a_sweep_does_not_wait_for_a_cloudwatch_that_hangs_on_every_page() {
    let scene = scene_with(GATED, &[]).await;
    scene.launch(old(2100));
    scene.sim.inject(Fault::new(FaultKind::Hang(None)).on(METRICS));
    let started = Instant::now();
    let answer = scene.answer(sweep_event()).await;
    let elapsed = started.elapsed();
    assert!(elapsed < Wait::from_secs(45), "three pages: {elapsed:?}");
    assert_eq!(answer.report.counts, [("failed", 2100)].into());
    assert_eq!((answer.swept.len(), scene.calls(MODIFY).len()), (1, 0));
    let asked: BTreeSet<String> = asked_about(&scene).into_iter().flatten().collect();
    assert_eq!(asked.len(), 1000, "the first page alone");
}

#[tokio::test]
async fn an_instance_that_is_not_decided_on_has_the_mode_of_the_policy() {
    const POLICY: &str = r#"{"baseline": {"HttpTokens": "required"}, "usageGate": {}, "mode": "dry-run"}"#;
    let scene = Scene::new(&[("IMDS_POLICY", POLICY)]).await;
    let ids = scene.launch(old(1));
    scene.sim.inject(Fault::new(FaultKind::InternalError).on(METRICS));
    let answer = scene.answer(sweep_event()).await;
    let found = reported(&answer, &ids[0]);
    assert_eq!((&found["outcome"], &found["mode"]), (&json!("failed"), &json!("dry-run")));
    // One that EC2 does not show.
    let answer = scene.answer(state_event("i-0123456789abcdef0")).await;
    assert_eq!(reported(&answer, "i-0123456789abcdef0")["mode"], "dry-run");
}

#[tokio::test]
async fn an_answer_of_the_shorter_lookback_does_not_serve_the_longer_one() {
    const POLICY: &str = r#"{"baseline": {"HttpTokens": "required"}, "usageGate": {"lookbackDays": 90}, "rules": [
        {"name": "short", "when": {"tags": {"App": "short"}}, "usageGate": {"lookbackDays": 1, "minDays": 1}}]}"#;
    let variables = [("IMDS_POLICY", POLICY), ("IMDS_MODIFY_RATE", "4"), ("IMDS_MODIFY_BURST", "1")];
    let scene = Scene::new(&variables).await;
    let ids = scene.launch(tagged(old(20), "App", "short"));
    unused(&scene, &ids);
    used(&scene, &ids, &[(10, 5.0)]);
    let answer = tokio::join!(scene.answer(sweep_event()), async {
        tokio::time::sleep(Wait::from_secs(1)).await;
        ids.iter().for_each(|id| scene.account_region.untag(id, "App"));
    });
    let since = day(90).midnight().assume_utc().unix_timestamp();
    let call = scene.calls(METRICS).remove(0);
    assert_eq!(call.parameters["StartTime"].parse::<f64>().unwrap() as i64, since);
    // What was sent after the tags were gone was observed before.
    let counts = answer.0.report.counts;
    assert!(counts.get("in-use").is_some_and(|count| *count >= 5), "{counts:?}");
    assert_eq!(counts.values().sum::<usize>(), counts["in-use"] + counts["enforced"], "{counts:?}");
    let why = format!("5 calls without a token in 90 days, the last on {}", day(10));
    let held_back = answer.0.report.outcomes.iter().find(|one| one.outcome.as_str() == "in-use").unwrap();
    assert_eq!(held_back.reasons, [held(&why)]);
}

#[tokio::test]
async fn launches_into_many_groups_are_described_few_times_beyond_one_a_group() {
    let scene = scene_with(GATED, &[]).await;
    let mut events = Vec::new();
    for number in 0..60 {
        let ids = scene.launch(tagged(imdsv1(1), GROUP, &format!("group {number}")));
        events.push(launch_event(&ids));
    }
    let answer = scene.answer(records(&events)).await;
    assert_eq!(answer.report.outcomes.len(), 60);
    assert_eq!(tokens_sent(&scene).len(), 60);
    let described = scene.calls(DESCRIBE).len();
    assert!((61..=70).contains(&described), "{described}");
}
