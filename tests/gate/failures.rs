//! How many failures a sweep tolerates.

use ec2_sim::{Fault, FaultKind};

use crate::limits::{limited, scene_with};
use crate::support::*;
use crate::*;

fn stopped(most: usize) -> String {
    format!(
        "the sweep of {ACCOUNT} {REGION} sent no more changes after {most} were failed or denied (limits.failuresPerSweep)"
    )
}

/// How many outcomes have one of these names.
fn count(answer: &Answer, names: &[&str]) -> usize {
    names.iter().map(|name| answer.report.counts.get(name).copied().unwrap_or_default()).sum()
}

#[tokio::test]
async fn after_as_many_failures_no_more_changes_are_sent() {
    let scene = scene_with(&limited(r#"{"failuresPerSweep": 5}"#), &[]).await;
    scene.launch(old(100));
    let compliant = scene.launch(with_options(&[("HttpTokens", "required")]));
    scene.sim.inject(Fault::new(FaultKind::Deny).on(MODIFY));

    let answer = scene.answer(sweep_event()).await;

    assert_eq!(answer.report.counts, [("compliant", 1), ("deferred", 95), ("denied", 5)].into());
    assert_eq!((scene.calls(MODIFY).len(), became(&answer, &compliant[0])), (5, "compliant"));
    assert_eq!((&*answer.report.unresolved, answer.stopped.len()), (&[stopped(5)][..], 1));
    assert_eq!(answer.swept.len(), 1, "listing and reporting are complete");
    assert!(answer.response.is_ok(), "the next sweep goes on");
    let why = "5 changes of this sweep were failed or denied, the maximum of limits.failuresPerSweep: the next sweep goes on";
    let deferred = answer.report.outcomes.iter().find(|one| one.outcome.as_str() == "deferred").unwrap();
    assert_eq!(deferred.reasons.last().map(String::as_str), Some(why));
}

#[tokio::test]
async fn there_are_never_more_failures_than_the_limit() {
    let error = FaultKind::Error { code: "Surprise".to_owned(), status: 400, message: "no".to_owned() };
    for kind in [FaultKind::Deny, error, FaultKind::ServerError] {
        for most in [1, 3, 20] {
            let policy = limited(&format!(r#"{{"failuresPerSweep": {most}}}"#));
            let scene = scene_with(&policy, &[]).await;
            scene.launch(old(120));
            scene.sim.inject(Fault::new(kind.clone()).on(MODIFY).with_probability(0.5));
            let answer = scene.answer(sweep_event()).await;
            let failed = count(&answer, &["failed", "denied"]);
            assert!(failed <= most, "{kind:?}: {failed} of {most}");
            assert_eq!(failed == most, answer.stopped.len() == 1, "{kind:?}: {:?}", answer.report.counts);
            if failed == most && kind != FaultKind::ServerError {
                assert!(count(&answer, &["deferred"]) > 0, "{kind:?}: {:?}", answer.report.counts);
            }
        }
    }
}

#[tokio::test]
async fn fewer_failures_than_the_limit_stop_nothing() {
    let scene = scene_with(&limited(r#"{"failuresPerSweep": 3}"#), &[]).await;
    let ids = scene.launch(old(40));
    deny(&scene, &ids[..2]);
    let answer = scene.answer(sweep_event()).await;
    assert_eq!(answer.report.counts, [("denied", 2), ("enforced", 38)].into());
    assert_eq!((answer.report.unresolved.len(), answer.stopped.len()), (0, 0));
}

#[tokio::test]
async fn what_is_not_failed_or_denied_does_not_count() {
    let refused =
        |code: &str| FaultKind::Error { code: code.to_owned(), status: 400, message: "no".to_owned() };
    let rows = [
        (refused("UnsupportedOperation"), "blocked"),
        (FaultKind::Terminate, "gone"),
        (refused("IncorrectInstanceState"), "not-ready"),
    ];
    for (kind, expected) in rows {
        let scene = scene_with(&limited(r#"{"failuresPerSweep": 2}"#), &[]).await;
        scene.launch(old(10));
        scene.sim.inject(Fault::new(kind.clone()).on(MODIFY));
        let answer = scene.answer(sweep_event()).await;
        assert_eq!(answer.report.counts, [(expected, 10)].into(), "{kind:?}");
        assert_eq!(answer.stopped.len(), 0, "{kind:?}");
    }
}

#[tokio::test]
async fn failures_count_over_all_pages_and_with_a_limit_of_changes() {
    let rows = [
        (r#"{"failuresPerSweep": 8}"#, [("deferred", 2092), ("denied", 8)]),
        (r#"{"changesPerSweep": 100, "failuresPerSweep": 8}"#, [("deferred", 2092), ("denied", 8)]),
    ];
    for (limits, expected) in rows {
        let scene = scene_with(&limited(limits), &[]).await;
        scene.launch(old(2100));
        scene.sim.inject(Fault::new(FaultKind::Deny).on(MODIFY));
        let answer = scene.answer(sweep_event()).await;
        assert_eq!(answer.report.counts, expected.into(), "{limits}");
        assert_eq!((scene.calls(MODIFY).len(), answer.stopped.len()), (8, 1), "{limits}");
    }
}

#[tokio::test]
async fn dry_runs_go_on_after_the_limit() {
    const POLICY: &str = r#"{"baseline": {"HttpTokens": "required"}, "limits": {"failuresPerSweep": 2}, "rules": [
        {"name": "dry", "when": {"tags": {"App": "dry"}}, "mode": "dry-run", "until": "9999-12-31"}]}"#;
    let scene = scene_with(POLICY, &[]).await;
    let dry = scene.launch(tagged(old(10), "App", "dry"));
    for id in scene.launch(old(10)) {
        scene.sim.inject(Fault::new(FaultKind::Deny).on(MODIFY).of(&id));
    }
    let answer = scene.answer(sweep_event()).await;
    assert_eq!(answer.report.counts, [("deferred", 8), ("denied", 2), ("would-enforce", 10)].into());
    assert!(dry.iter().all(|id| became(&answer, id) == "would-enforce"));
}

#[tokio::test]
async fn denied_dry_runs_do_not_count() {
    let scene = scene_with(&limited(r#"{"failuresPerSweep": 2}"#), &[("IMDS_MODE", "dry-run")]).await;
    scene.launch(old(10));
    scene.sim.inject(Fault::new(FaultKind::Deny).on(MODIFY));
    let answer = scene.answer(sweep_event()).await;
    assert_eq!((answer.report.counts, answer.stopped.len()), ([("denied", 10)].into(), 0));
}

#[tokio::test]
async fn the_limit_is_that_of_each_account_and_region() {
    let scene = scene_with(&limited(r#"{"changesPerSweep": 3}"#), &[]).await;
    scene.launch(old(10));
    scene.sim.account_region(ACCOUNT, "eu-west-1").launch(old(10));
    let mut there = sweep_of("there");
    there["region"] = "eu-west-1".into();
    let answer = scene.answer(records(&[sweep_of("here"), there])).await;
    assert_eq!(answer.report.outcomes.len(), 20);
    for region in [REGION, "eu-west-1"] {
        let sent = scene.calls(MODIFY).into_iter().filter(|call| call.region == region).count();
        assert_eq!(sent, 3, "{region}");
    }
}

#[tokio::test]
async fn a_failure_to_read_usage_is_no_failed_change() {
    const POLICY: &str =
        r#"{"baseline": {"HttpTokens": "required"}, "usageGate": {}, "limits": {"failuresPerSweep": 2}}"#;
    let scene = scene_with(POLICY, &[]).await;
    let ids = scene.launch(old(10));
    let new = scene.launch(imdsv1(5));
    unused(&scene, &ids);
    scene.sim.inject(Fault::new(FaultKind::InternalError).on(METRICS));
    let answer = scene.answer(sweep_event()).await;
    assert_eq!(answer.report.counts, [("enforced", 5), ("failed", 10)].into());
    assert_eq!(
        (tokens_sent(&scene).len(), answer.stopped.len()),
        (new.len(), 0),
        "nothing was changed in vain"
    );
}
