//! The limits and the watch of a sweep while the fleet changes or fails.

use std::time::Duration as Wait;

use ec2_sim::{Fault, FaultKind};

use crate::limits::{limited, of_outcome, scene_with};
use crate::support::*;
use crate::watch::{enforced, rejected, text, watch_event};
use crate::*;

#[tokio::test]
async fn an_instance_that_leaves_its_dry_run_during_a_sweep_is_deferred() {
    const POLICY: &str = r#"{"baseline": {"HttpTokens": "required"}, "limits": {"changesPerSweep": 2}, "rules": [
        {"name": "dry", "when": {"tags": {"App": "dry"}}, "mode": "dry-run", "until": "9999-12-31"}]}"#;
    let variables = [("IMDS_POLICY", POLICY), ("IMDS_MODIFY_RATE", "4"), ("IMDS_MODIFY_BURST", "1")];
    let scene = Scene::new(&variables).await;
    let dry = scene.launch(tagged(old(20), "App", "dry"));
    scene.launch(old(4));
    let answer = tokio::join!(scene.answer(sweep_event()), async {
        tokio::time::sleep(Wait::from_secs(1)).await;
        dry.iter().for_each(|id| scene.account_region.untag(id, "App"));
    });
    let answer = answer.0;
    let (asked, sent): (Vec<_>, Vec<_>) =
        scene.calls(MODIFY).into_iter().partition(|call| call.parameters.contains_key("DryRun"));
    assert_eq!(sent.len(), 2, "{:?}", answer.report.counts);
    assert!(!sent.iter().flat_map(|call| &call.instance_ids).any(|id| dry.contains(id)));
    assert!(dry.iter().all(|id| http_tokens(&scene, id) == "optional"));
    let left = of_outcome(&answer, "deferred").into_iter().filter(|id| dry.contains(id)).count();
    assert_eq!((left > 0, left + asked.len()), (true, 20), "{:?}", answer.report.counts);
    assert_eq!(answer.report.outcomes.len(), 24, "each is reported once");
}

#[tokio::test]
async fn a_change_that_is_denied_in_part_is_a_failure_of_the_sweep() {
    const POLICY: &str = r#"{"baseline": {"HttpTokens": "required", "HttpPutResponseHopLimit": 2},
        "limits": {"failuresPerSweep": 1}}"#;
    let scene = scene_with(POLICY, &[]).await;
    scene.launch(old(10));
    scene.sim.inject(Fault::new(FaultKind::Deny).on(MODIFY).with_parameter("HttpPutResponseHopLimit", "2"));
    let answer = scene.answer(sweep_event()).await;
    assert_eq!(answer.report.counts, [("deferred", 9), ("denied", 1)].into());
    assert_eq!(answer.stopped.len(), 1);
    let denied = of_outcome(&answer, "denied").pop_first().unwrap();
    assert_eq!(reported(&answer, &denied)["change"], json!({"HttpTokens": "required"}), "in part");
}

#[tokio::test]
async fn refused_calls_of_an_instance_that_is_put_aside_are_a_warning() {
    const POLICY: &str = r#"{"baseline": {"HttpTokens": "required", "HttpPutResponseHopLimit": 2},
        "limits": {"changesPerSweep": 1}}"#;
    let scene = scene_with(POLICY, &[]).await;
    let ids = scene.launch(enforced(3));
    ids.iter().for_each(|id| rejected(&scene, id, &[(5, 9.0)]));
    let answer = scene.answer(watch_event()).await;
    assert_eq!(answer.report.counts, [("deferred", 2), ("enforced", 1)].into());
    for id in &ids {
        let found = outcome(&answer, id);
        assert_eq!((&found.warnings, found.unlogged.rejected_calls), (&vec![text(9)], 9), "{id}");
    }
}

#[tokio::test]
async fn an_incomplete_result_does_not_end_the_watch_of_later_pages() {
    let scene = scene_with(r#"{"baseline": {"HttpPutResponseHopLimit": 1}}"#, &[]).await;
    // The only one on the first page that is watched.
    let incomplete = scene.launch(enforced(1));
    scene.launch(old(999));
    let told = scene.launch(enforced(2));
    told.iter().for_each(|id| rejected(&scene, id, &[(5, 9.0)]));
    scene.sim.inject(Fault::new(FaultKind::PartialData).on(METRICS).of(&incomplete[0]));
    let answer = scene.answer(watch_event()).await;
    assert_eq!(answer.report.counts, [("compliant", 1002)].into());
    for id in &told {
        assert_eq!(outcome(&answer, id).warnings, [text(9)], "{id}");
    }
    assert_eq!(answer.report.unresolved.len(), 1, "{:?}", answer.report.unresolved);
    assert_eq!((asked_about(&scene).last().map(Vec::len), answer.swept.len()), (Some(2), 1), "page by page");
}

#[tokio::test]
async fn a_fresh_sweep_beside_a_redelivered_one_makes_its_changes() {
    let scene = scene_with(&limited(r#"{"changesPerSweep": 4}"#), &[]).await;
    scene.launch(old(10));
    let mut both = records(&[sweep_of("one"), sweep_of("two")]);
    both["Records"][0]["attributes"]["ApproximateReceiveCount"] = json!("2");
    let answer = scene.answer(both.clone()).await;
    assert_eq!(answer.report.counts, [("deferred", 6), ("enforced", 4)].into());
    assert_eq!((tokens_sent(&scene).len(), failures(&answer)), (4, vec![]));
    both["Records"][1]["attributes"]["ApproximateReceiveCount"] = json!("2");
    let answer = scene.answer(both).await;
    assert_eq!(answer.report.counts, [("compliant", 4), ("deferred", 6)].into(), "both are redelivered");
}

#[tokio::test]
async fn failures_on_one_page_do_not_starve_the_next_page() {
    const REQUIRED: &[(&str, &str)] = &[("HttpTokens", "required")];
    let scene = scene_with(&limited(r#"{"failuresPerSweep": 10}"#), &[]).await;
    let denied = scene.launch(old(40));
    scene.launch(Launch { count: 960, ..with_options(REQUIRED) });
    let allowed = scene.launch(old(20));
    deny(&scene, &denied);
    let left = |scene: &Scene| allowed.iter().filter(|id| http_tokens(scene, id) == "optional").count();
    let mut sweeps = 0;
    while left(&scene) > 0 && sweeps < 60 {
        let answer = scene.answer(sweep_of(&format!("sweep {sweeps}"))).await;
        assert_eq!(of_outcome(&answer, "denied").len(), 10, "{:?}", answer.report.counts);
        sweeps += 1;
    }
    assert_eq!(left(&scene), 0, "after {sweeps} sweeps");
}
