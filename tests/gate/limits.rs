//! How many instances a sweep changes.

use std::collections::BTreeSet;
use std::time::Duration as Wait;

use ec2_sim::{Fault, FaultKind, Settings};

use crate::support::*;
use crate::*;

/// Why an instance is left to the next sweep.
fn at_most(most: usize) -> String {
    format!("the sweep changes at most {most} instances (limits.changesPerSweep): the next sweep goes on")
}

const RETRIED: &str = "a retried sweep with limits changes nothing more: the next sweep goes on";

/// A scene whose rate limit allows any number of changes.
pub async fn scene_with(policy: &str, more: &[(&str, &str)]) -> Scene {
    let mut variables =
        vec![("IMDS_POLICY", policy), ("IMDS_MODIFY_RATE", "10000"), ("IMDS_MODIFY_BURST", "1000")];
    variables.extend(more);
    Scene::with(Settings { apply_delay: Wait::ZERO, ..Settings::default() }, &variables).await
}

/// A policy that requires tokens, with these limits and what follows.
pub fn limited(limits: &str) -> String {
    format!(r#"{{"baseline": {{"HttpTokens": "required"}}, "limits": {limits}}}"#)
}

pub fn of_outcome(answer: &Answer, name: &str) -> BTreeSet<String> {
    let outcomes = answer.report.outcomes.iter();
    let of = outcomes.filter(|outcome| outcome.outcome.as_str() == name);
    of.map(|outcome| outcome.instance_id.to_string()).collect()
}

#[tokio::test]
async fn a_sweep_changes_as_many_as_the_limit_and_defers_the_rest() {
    let scene = scene_with(&limited(r#"{"changesPerSweep": 7}"#), &[]).await;
    let ids = scene.launch(old(30));
    let others = scene.launch(with_options(&[("HttpTokens", "required")]));

    let answer = scene.answer(sweep_of("first")).await;

    assert_eq!(answer.report.counts, [("compliant", 1), ("deferred", 23), ("enforced", 7)].into());
    assert_eq!(answer.report.outcomes.len(), 31, "each is reported once");
    assert_eq!(became(&answer, &others[0]), "compliant");
    for id in of_outcome(&answer, "deferred") {
        let found = reported(&answer, &id);
        let reasons = ["baseline requires HttpTokens=required".to_owned(), at_most(7)];
        assert_eq!(
            (&found["reasons"], &found["change"]),
            (&json!(reasons), &json!({"HttpTokens": "required"}))
        );
        assert_eq!((&found["mode"], &*http_tokens(&scene, &id)), (&json!("enforce"), "optional"));
    }
    assert_eq!(tokens_sent(&scene).len(), 7);
    assert_eq!((answer.swept.len(), answer.report.unresolved.len()), (1, 0), "the sweep is complete");
    assert!(answer.response.is_ok());
    // Sweep by sweep, all are changed.
    let mut counts = vec![];
    for number in 0..5 {
        let answer = scene.answer(sweep_of(&format!("next {number}"))).await;
        counts.push(answer.report.counts.get("enforced").copied().unwrap_or_default());
    }
    assert_eq!(counts, [7, 7, 7, 2, 0]);
    let mut sent = tokens_sent(&scene);
    sent.sort();
    let mut expected = ids;
    expected.sort();
    assert_eq!(sent, expected, "each once");
}

#[tokio::test]
async fn another_event_changes_other_instances() {
    let policy = limited(r#"{"changesPerSweep": 5}"#);
    let mut chosen = Vec::new();
    for id in ["8c4ee1ae-0000-4000-8000-000000000001", "8c4ee1ae-0000-4000-8000-000000000002", "x", "x"] {
        // The same seed: the same instance IDs.
        let scene = scene_with(&policy, &[]).await;
        let ids = scene.launch(old(60));
        let answer = scene.answer(sweep_of(id)).await;
        let places = of_outcome(&answer, "enforced");
        let places: BTreeSet<usize> =
            ids.iter().enumerate().filter(|(_, id)| places.contains(*id)).map(|(place, _)| place).collect();
        assert_eq!(places.len(), 5, "{id}");
        chosen.push((ids, places));
    }
    assert_eq!(chosen[0].0, chosen[1].0, "the fleets are the same");
    assert_ne!(chosen[0].1, chosen[1].1);
    assert_ne!(chosen[1].1, chosen[2].1);
    assert_eq!(chosen[2].1, chosen[3].1, "the event determines them");
    assert!(
        chosen.iter().any(|(_, places)| !places.iter().eq(&[0, 1, 2, 3, 4])),
        "not the order of the list"
    );
}

#[tokio::test]
async fn instances_that_fail_do_not_starve_the_others() {
    let scene = scene_with(&limited(r#"{"changesPerSweep": 3}"#), &[]).await;
    let ids = scene.launch(old(12));
    deny(&scene, &ids[..6]);
    for number in 0..40 {
        scene.answer(sweep_of(&format!("sweep {number}"))).await;
    }
    let left: Vec<&String> = ids[6..].iter().filter(|id| http_tokens(&scene, id) == "optional").collect();
    assert_eq!(left, Vec::<&String>::new(), "40 sweeps of 3");
}

#[tokio::test]
async fn a_redelivered_sweep_changes_nothing_more() {
    for limits in [r#"{"changesPerSweep": 4}"#, r#"{"failuresPerSweep": 4}"#] {
        let scene = scene_with(&limited(limits), &[]).await;
        scene.launch(old(10));
        let new = scene.launch(imdsv1(1));
        let event = sweep_of("one").to_string();
        let answer = scene.answer(batch(std::slice::from_ref(&event), 2)).await;
        let why = "baseline requires HttpTokens=required";
        assert_eq!(of_outcome(&answer, "deferred").len(), 11, "{limits}");
        assert_eq!(outcome(&answer, &new[0]).reasons, [why, RETRIED], "{limits}");
        assert_eq!((tokens_sent(&scene).len(), failures(&answer)), (0, vec![]), "{limits}");
    }
    // Without limits, it goes on.
    let scene = Scene::new(&[]).await;
    let ids = scene.launch(old(2));
    let answer = scene.answer(batch(&[sweep_of("one").to_string()], 2)).await;
    assert_eq!((of_outcome(&answer, "enforced").len(), tokens_sent(&scene).len()), (ids.len(), 2));
}

#[tokio::test]
async fn events_are_not_limited() {
    let scene = scene_with(&limited(r#"{"changesPerSweep": 1, "failuresPerSweep": 1}"#), &[]).await;
    let ids = scene.launch(imdsv1(30));
    deny(&scene, &ids[..3]);
    let answer = scene.answer(launch_event(&ids)).await;
    assert_eq!(answer.report.counts, [("denied", 3), ("enforced", 27)].into());
    // An instance that an event names does not count for a sweep in the same batch.
    scene.sim.clear_faults();
    scene.sim.clear_calls();
    let more = scene.launch(imdsv1(5));
    let answer = scene.answer(records(&[launch_event(&more), sweep_of("one")])).await;
    assert_eq!(of_outcome(&answer, "enforced").len(), 6, "5, and 1 of the 3 that were denied");
    assert_eq!((of_outcome(&answer, "deferred").len(), tokens_sent(&scene).len()), (2, 6));
}

#[tokio::test]
async fn dry_runs_and_what_is_held_back_are_not_limited() {
    let scene = scene_with(&limited(r#"{"changesPerSweep": 1}"#), &[("IMDS_MODE", "dry-run")]).await;
    scene.launch(old(20));
    let answer = scene.answer(sweep_event()).await;
    assert_eq!(answer.report.counts, [("would-enforce", 20)].into());
    assert_eq!(scene.calls(MODIFY).len(), 20);

    const POLICY: &str = r#"{"baseline": {"HttpTokens": "required"}, "usageGate": {}, "limits": {"changesPerSweep": 2},
        "rules": [{"name": "dry", "when": {"tags": {"App": "dry"}}, "mode": "dry-run", "until": "9999-12-31"}]}"#;
    let scene = scene_with(POLICY, &[]).await;
    let (used, free) = (scene.launch(old(5)), scene.launch(old(5)));
    let dry = scene.launch(tagged(old(5), "App", "dry"));
    in_use(&scene, &used);
    unused(&scene, &free);
    unused(&scene, &dry);
    let answer = scene.answer(sweep_event()).await;
    let expected = [("deferred", 3), ("enforced", 2), ("in-use", 5), ("would-enforce", 5)];
    assert_eq!(answer.report.counts, expected.into());
    assert!(of_outcome(&answer, "deferred").iter().all(|id| free.contains(id)));
    let usage = &reported(&answer, of_outcome(&answer, "deferred").first().unwrap())["usage"];
    assert_eq!(usage, &json!({"calls": 0, "days": 14}), "it was asked");
}

#[tokio::test]
async fn other_options_of_held_instances_are_limited() {
    const POLICY: &str = r#"{"baseline": {"HttpTokens": "required", "HttpPutResponseHopLimit": 2}, "usageGate": {},
        "limits": {"changesPerSweep": 2}}"#;
    let scene = scene_with(POLICY, &[]).await;
    in_use(&scene, &scene.launch(old(5)));
    let answer = scene.answer(sweep_event()).await;
    assert_eq!(answer.report.counts, [("deferred", 3), ("in-use", 2)].into());
    assert_eq!((scene.calls(MODIFY).len(), tokens_sent(&scene).len()), (2, 0));
    for id in of_outcome(&answer, "deferred") {
        let reasons = &outcome(&answer, &id).reasons;
        assert!(reasons.contains(&held(&forty_calls())) && reasons.contains(&at_most(2)), "{reasons:?}");
    }
}

#[tokio::test]
async fn an_instance_that_came_into_use_during_the_listing_is_held_back() {
    const POLICY: &str =
        r#"{"baseline": {"HttpTokens": "required"}, "usageGate": {}, "limits": {"changesPerSweep": 5}}"#;
    let scene = scene_with(POLICY, &[]).await;
    let ids = scene.launch(old(3));
    unused(&scene, &ids);
    // The second GetMetricData is that of the selected instances.
    scene.sim.inject(Fault::new(FaultKind::Delay(Wait::from_millis(700))).on(METRICS).times(1));
    let answer = tokio::join!(scene.answer(sweep_event()), async {
        tokio::time::sleep(Wait::from_millis(350)).await;
        in_use(&scene, &ids[..1]);
    });
    assert_eq!(answer.0.report.counts, [("enforced", 2), ("in-use", 1)].into());
    assert!(!tokens_sent(&scene).contains(&ids[0]));
}

#[tokio::test]
async fn limits_count_over_all_pages() {
    let scene = scene_with(&limited(r#"{"changesPerSweep": 150}"#), &[]).await;
    let ids = scene.launch(old(2100));
    let answer = scene.answer(sweep_of("one")).await;
    assert_eq!(answer.report.counts, [("deferred", 1950), ("enforced", 150)].into());
    let enforced = of_outcome(&answer, "enforced");
    let of_page = |page: &[String]| page.iter().filter(|id| enforced.contains(*id)).count();
    let by_page: Vec<usize> = ids.chunks(700).map(of_page).collect();
    assert!(by_page.iter().all(|count| *count > 20), "the whole fleet has its turn: {by_page:?}");
    assert_eq!(tokens_sent(&scene).len(), 150);
}

#[tokio::test]
async fn a_limited_sweep_that_runs_out_of_time_has_changed_some() {
    let scene = scene_with(&limited(r#"{"changesPerSweep": 40}"#), &[]).await;
    scene.launch(old(1050));
    // The first page takes more than half of the time. There is enough left to change instances on a busy machine.
    scene.sim.inject(Fault::new(FaultKind::Delay(Wait::from_secs(8))).on(DESCRIBE).times(1));
    let event = sweep_of("one").to_string();
    let answer = scene.answer_within(batch(std::slice::from_ref(&event), 1), Wait::from_secs(20)).await;
    let changed = of_outcome(&answer, "enforced").len() + of_outcome(&answer, "pending").len();
    assert_eq!(changed, 40, "{:?}", answer.report.counts);
    assert_eq!(of_outcome(&answer, "deferred").len(), 960, "of one page");
    assert_eq!((failures(&answer), answer.swept.len()), (vec!["m0".to_owned()], 0));
    assert_eq!(answer.report.unresolved, ["the sweep ran out of time and will be retried"]);
    // The retry lists the whole fleet, and changes nothing more.
    scene.sim.clear_faults();
    let answer = scene.answer(batch(&[event], 2)).await;
    assert_eq!(answer.report.counts, [("compliant", 40), ("deferred", 1010)].into());
    assert_eq!((tokens_sent(&scene).len(), failures(&answer), answer.swept.len()), (40, vec![], 1));
}
