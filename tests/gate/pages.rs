//! The pages of a sweep.

use std::collections::BTreeSet;
use std::time::Duration as Wait;

use crate::limits::{limited, of_outcome, scene_with};
use crate::support::*;
use crate::*;

/// Instances that are in use. Their first page waits this long for each of its two answers of CloudWatch.
async fn waiting(count: usize, delay: Wait) -> (Scene, Vec<String>) {
    let scene = Scene::new(&[("IMDS_POLICY", GATED)]).await;
    let ids = scene.launch(old(count));
    in_use(&scene, &ids);
    scene.sim.inject(Fault::new(FaultKind::Delay(delay)).on(METRICS).times(2));
    (scene, ids)
}

fn second_page(kind: FaultKind) -> Fault {
    Fault::new(kind).on(DESCRIBE).with_parameter("NextToken", "sim-1000")
}

#[tokio::test]
async fn a_page_is_requested_while_the_page_before_it_is_worked_on() {
    let (scene, _) = waiting(1050, Wait::from_secs(3)).await;
    let (answer, described) = tokio::join!(scene.answer(sweep_event()), async {
        tokio::time::sleep(Wait::from_millis(1500)).await;
        scene.calls(DESCRIBE).len()
    });
    assert_eq!(described, 2, "before CloudWatch answered about the first page");
    assert_eq!(answer.report.counts, [("in-use", 1050)].into());
    assert_eq!(scene.calls(DESCRIBE).len(), 2, "a page that is not too old is described once");
}

#[tokio::test]
async fn a_page_that_has_become_too_old_is_described_again() {
    let (scene, ids) = waiting(2050, Wait::from_secs(8)).await;
    let changed = &ids[1999];
    let (answer, ()) = tokio::join!(scene.answer(sweep_event()), async {
        tokio::time::sleep(Wait::from_secs(5)).await;
        assert_eq!(scene.calls(DESCRIBE).len(), 2, "the second page was described");
        scene.account_region.modify(changed, &[("HttpTokens", "required")]);
    });
    assert_eq!(answer.report.counts, [("compliant", 1), ("in-use", 2049)].into());
    assert_eq!(outcome(&answer, changed).outcome.as_str(), "compliant");
    let reported: BTreeSet<_> = answer.report.outcomes.iter().map(|one| &one.instance_id).collect();
    assert_eq!((reported.len(), answer.report.outcomes.len()), (2050, 2050), "each once");
    let described = scene.calls(DESCRIBE).into_iter();
    let tokens: Vec<_> = described.map(|call| call.parameters.get("NextToken").cloned()).collect();
    let expected = [None, Some("sim-1000"), Some("sim-1000"), Some("sim-2000")];
    assert_eq!(tokens, expected.map(|token| token.map(str::to_owned)));
}

#[tokio::test]
async fn a_page_that_was_refused_long_ago_is_requested_again() {
    let (scene, _) = waiting(1050, Wait::from_secs(6)).await;
    scene.sim.inject(second_page(FaultKind::Deny).times(1));
    let answer = scene.answer(sweep_event()).await;
    assert_eq!((answer.report.counts, answer.swept.len()), ([("in-use", 1050)].into(), 1));
    let codes: Vec<_> = scene.calls(DESCRIBE).into_iter().map(|call| call.code).collect();
    assert_eq!(codes, [None, Some("UnauthorizedOperation".to_owned()), None]);
}

#[tokio::test]
async fn a_page_that_hangs_leaves_the_time_for_the_changes() {
    let scene = scene_with(&limited(r#"{"changesPerSweep": 40}"#), &[]).await;
    scene.launch(old(1050));
    scene.sim.inject(second_page(FaultKind::Hang(None)));
    let answer = scene.answer_within(batch(&[sweep_event().to_string()], 1), Wait::from_secs(20)).await;
    let changed = of_outcome(&answer, "enforced").len() + of_outcome(&answer, "pending").len();
    assert_eq!(changed, 40, "{:?}", answer.report.counts);
    assert_eq!(answer.report.unresolved, ["the sweep ran out of time and will be retried"]);
}

#[tokio::test]
async fn a_page_that_stays_refused_is_the_reason_why_the_sweep_ended() {
    // One row ends before its time, with a recent error. The other ends because of its time.
    for (delay, allowed) in
        [(Wait::from_secs(1), Wait::from_secs(60)), (Wait::from_secs(6), Wait::from_secs(8))]
    {
        let (scene, _) = waiting(1050, delay).await;
        scene.sim.inject(second_page(FaultKind::Deny));
        let answer = scene.answer_within(batch(&[sweep_event().to_string()], 1), allowed).await;
        let unresolved = answer.report.unresolved.join(", ");
        assert!(
            unresolved.contains("cannot list the instances") && unresolved.contains("Unauthorized"),
            "{unresolved}"
        );
        assert_eq!((failures(&answer), scene.calls(DESCRIBE).len()), (vec!["m0".to_owned()], 2), "{delay:?}");
    }
}
