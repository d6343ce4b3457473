//! The watch after enforcement.

use std::time::Duration as Wait;

use ec2_sim::{Fault, FaultKind};

use crate::support::*;
use crate::*;

const REJECTED: &str = "MetadataNoTokenRejected";

const HOPS: &str = r#"{"baseline": {"HttpTokens": "required", "HttpPutResponseHopLimit": 2}}"#;

/// The event of a sweep with the watch.
pub fn watch_event() -> Value {
    let mut event = sweep_event();
    event["detail"] = json!({"watch": true});
    event
}

/// Instances that require tokens and first ran 90 days ago.
pub fn enforced(count: usize) -> Launch {
    Launch { options: with_options(&[("HttpTokens", "required")]).options, ..old(count) }
}

/// Lets an instance have refused calls, by how many minutes ago.
pub fn rejected(scene: &Scene, id: &str, calls: &[(i64, f64)]) {
    for (ago, calls) in calls {
        scene.account_region.set_sum(id, REJECTED, now() - Duration::minutes(*ago), Some(*calls));
    }
}

pub fn text(calls: u64) -> String {
    format!(
        "{calls} calls without a token were refused in 24 hours: something on the instance still uses IMDSv1"
    )
}

#[tokio::test]
async fn refused_calls_are_a_warning_and_counted() {
    let scene = Scene::new(&[]).await;
    let ids = scene.launch(enforced(4));
    rejected(&scene, &ids[0], &[(5, 30.0), (23 * 60, 7.0)]);
    rejected(&scene, &ids[1], &[(90, 1.0)]);
    rejected(&scene, &ids[2], &[(26 * 60, 50.0), (10, 0.0)]);
    let answer = scene.answer(watch_event()).await;
    let one = "1 call without a token was refused in 24 hours: something on the instance still uses IMDSv1";
    let expected = [(37, vec![text(37)]), (1, vec![one.to_owned()]), (0, vec![]), (0, vec![])];
    for (id, (calls, warnings)) in ids.iter().zip(expected) {
        let found = outcome(&answer, id);
        assert_eq!((found.outcome.as_str(), &found.warnings), ("compliant", &warnings), "{id}");
        assert_eq!(found.unlogged.rejected_calls, calls, "{id}");
    }
    assert_eq!(actions(&scene), [DESCRIBE, METRICS]);
    let call = scene.calls(METRICS).remove(0);
    assert_eq!((&*call.parameters["MetricName"], &*call.parameters["Stat"]), (REJECTED, "Sum"));
}

#[tokio::test]
async fn only_instances_that_require_tokens_are_watched() {
    let scene = Scene::new(&[("IMDS_POLICY", GATED)]).await;
    let watched = scene.launch(enforced(2));
    let optional = scene.launch(old(1));
    let terminated = scene.launch(Launch { state: Some("terminated".to_owned()), ..enforced(1) });
    unused(&scene, &optional);
    for id in [&watched[0], &optional[0], &terminated[0]] {
        rejected(&scene, id, &[(5, 9.0)]);
    }
    let answer = scene.answer(watch_event()).await;
    assert_eq!(outcome(&answer, &watched[0]).warnings, [text(9)]);
    assert_eq!(outcome(&answer, &optional[0]).warnings, Vec::<String>::new(), "it was enforced just now");
    let calls = scene.calls(METRICS).into_iter();
    let of = |call: ec2_sim::RecordedCall| (call.parameters["MetricName"].clone(), call.instance_ids.len());
    let mut calls: Vec<_> = calls.map(of).collect();
    calls.sort();
    assert_eq!(calls, [(USED.to_owned(), 1), (REJECTED.to_owned(), 2)]);
}

#[tokio::test]
async fn without_the_watch_nothing_is_asked() {
    let scene = Scene::new(&[("IMDS_POLICY", GATED)]).await;
    let ids = scene.launch(enforced(1));
    rejected(&scene, &ids[0], &[(5, 9.0)]);
    let mut off = sweep_event();
    off["detail"] = json!({"watch": false});
    for event in [sweep_event(), off, state_event(&ids[0]), launch_event(&ids)] {
        let answer = scene.answer(event).await;
        assert_eq!(outcome(&answer, &ids[0]).warnings, Vec::<String>::new());
    }
    assert_eq!(asked_about(&scene).len(), 0);
}

#[tokio::test]
async fn a_watch_of_a_fleet_without_required_tokens_asks_nothing() {
    let scene = Scene::new(&[("IMDS_MODE", "dry-run")]).await;
    scene.launch(old(2));
    let answer = scene.answer(watch_event()).await;
    assert_eq!((answer.report.counts, asked_about(&scene).len()), ([("would-enforce", 2)].into(), 0));
}

#[tokio::test]
async fn a_watch_in_a_batch_with_a_plain_sweep_is_a_watch() {
    let scene = Scene::new(&[]).await;
    let ids = scene.launch(enforced(1));
    rejected(&scene, &ids[0], &[(5, 9.0)]);
    let answer = scene.answer(records(&[sweep_event(), watch_event()])).await;
    assert_eq!(outcome(&answer, &ids[0]).warnings, [text(9)]);
    assert_eq!(actions(&scene), [DESCRIBE, METRICS], "one sweep");
}

#[tokio::test]
async fn an_error_of_the_watch_is_reported_and_the_sweep_goes_on() {
    let kinds = [
        FaultKind::Deny,
        FaultKind::Forbidden,
        FaultKind::InternalError,
        FaultKind::PartialData,
        FaultKind::Throttle,
        FaultKind::ServerError,
    ];
    let rows = kinds.map(async |kind| {
        let scene = Scene::new(&[("IMDS_POLICY", HOPS)]).await;
        let ids = scene.launch(enforced(2));
        rejected(&scene, &ids[0], &[(5, 9.0)]);
        scene.sim.inject(Fault::new(kind.clone()).on(METRICS));
        let answer = scene.answer(watch_event()).await;
        assert_eq!(answer.report.counts, [("enforced", 2)].into(), "{kind:?}");
        assert_eq!(answer.swept.len(), 1, "{kind:?}: the sweep is complete");
        assert!(answer.response.is_ok(), "{kind:?}");
        let start = "the sweep cannot tell which calls without a token were refused: ";
        let unresolved = &answer.report.unresolved;
        assert_eq!(unresolved.len(), 1, "{kind:?}: {unresolved:?}");
        assert!(unresolved[0].starts_with(start), "{kind:?}: {unresolved:?}");
        assert!(unresolved[0].contains("cloudwatch:GetMetricData"), "{kind:?}: {unresolved:?}");
        assert_eq!(outcome(&answer, &ids[0]).warnings, Vec::<String>::new(), "{kind:?}");
    });
    futures_util::future::join_all(rows).await;
}

#[tokio::test]
async fn a_watch_that_fails_for_one_instance_warns_of_the_others() {
    let scene = Scene::new(&[]).await;
    let ids = scene.launch(enforced(2));
    ids.iter().for_each(|id| rejected(&scene, id, &[(5, 9.0)]));
    scene.sim.inject(Fault::new(FaultKind::Forbidden).on(METRICS).of(&ids[0]));
    let answer = scene.answer(watch_event()).await;
    assert_eq!(outcome(&answer, &ids[0]).warnings, Vec::<String>::new());
    assert_eq!(outcome(&answer, &ids[1]).warnings, [text(9)]);
    assert_eq!(answer.report.unresolved.len(), 1);
}

#[tokio::test]
async fn a_watch_that_hangs_does_not_keep_the_sweep_from_enforcing() {
    let scene = Scene::new(&[]).await;
    let ids = scene.launch(enforced(1));
    let optional = scene.launch(old(1));
    scene.sim.inject(Fault::new(FaultKind::Hang(None)).on(METRICS));
    let answer = scene.answer_within(watch_event(), Wait::from_secs(6)).await;
    assert_eq!(became(&answer, &optional[0]), "enforced", "{:?}", answer.report);
    assert_eq!(became(&answer, &ids[0]), "compliant");
    let texts = answer.report.unresolved.join("; ");
    assert!(texts.contains("the sweep cannot tell which calls without a token were refused"), "{texts}");
}
