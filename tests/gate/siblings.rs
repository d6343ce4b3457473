//! Which older instances of a group count.

use crate::ages::renamed;
use crate::follow::{GROUP, launched, with_sibling};
use crate::support::*;
use crate::*;

/// Whether a launch into the group is held back.
async fn is_held(scene: &Scene) -> bool {
    let new = launched(scene, 1, GROUP, "web");
    let answer = scene.answer(launch_event(&new)).await;
    let outcome = became(&answer, &new[0]);
    assert!(["in-use", "enforced"].contains(&outcome), "{outcome}");
    outcome == "in-use"
}

#[tokio::test]
async fn the_20_oldest_count() {
    // The youngest of 21 is in use, or the one before it.
    for (position, expected) in [(20, false), (19, true), (0, true)] {
        let scene = Scene::new(&[("IMDS_POLICY", GATED)]).await;
        let mut ids = Vec::new();
        for age in 0..21 {
            ids.extend(scene.launch(tagged(ran_for(1, Duration::days(100 - age)), GROUP, "web")));
        }
        unused(&scene, &ids);
        in_use(&scene, &ids[position..=position]);
        assert_eq!(is_held(&scene).await, expected, "the one at {position}");
        let mut oldest = ids[..20].to_vec();
        oldest.sort();
        assert_eq!(asked_about(&scene), [oldest], "the one at {position}");
    }
}

#[tokio::test]
async fn instances_that_do_not_use_imdsv1_now_do_not_count() {
    const POLICY: &str = r#"{"baseline": {"HttpTokens": "required"}, "usageGate": {}, "rules": [
        {"name": "exempt", "when": {"tags": {"App": "exempt"}}, "exempt": {"until": "9999-12-31"}},
        {"name": "open", "when": {"tags": {"App": "open"}}, "usageGate": false}]}"#;
    let group = |launch: Launch| tagged(launch, GROUP, "web");
    let options = |name: &str, value: &str| with_options(&[(name, value)]).options;
    let rows = [
        ("with optional tokens", group(old(1)), true),
        ("stopped", group(Launch { state: Some("stopped".to_owned()), ..old(1) }), true),
        ("compliant", group(Launch { options: options("HttpTokens", "required"), ..old(1) }), false),
        (
            "endpoint disabled",
            group(Launch { options: options("HttpEndpoint", "disabled"), ..old(1) }),
            false,
        ),
        ("exempt", group(tagged(old(1), "App", "exempt")), false),
        ("with an open gate", group(tagged(old(1), "App", "open")), false),
        ("shutting down", group(Launch { state: Some("shutting-down".to_owned()), ..old(1) }), false),
        ("terminated", group(Launch { state: Some("terminated".to_owned()), ..old(1) }), false),
        (
            "of another operator",
            group(Launch { operator: Some("eks.amazonaws.com".to_owned()), ..old(1) }),
            false,
        ),
        ("a few hours old", group(ran_for(1, Duration::hours(3))), true),
        ("as new as the launch", group(ran_for(1, Duration::minutes(30))), false),
    ];
    for (name, launch, expected) in rows {
        let scene = Scene::new(&[("IMDS_POLICY", POLICY)]).await;
        let sibling = scene.launch(launch);
        in_use(&scene, &sibling);
        used(&scene, &sibling, &[(0, 40.0)]);
        assert_eq!(is_held(&scene).await, expected, "{name}");
        let asked = if expected { vec![sibling] } else { vec![] };
        assert_eq!(asked_about(&scene), asked, "{name}");
    }
}

#[tokio::test]
async fn a_group_about_which_too_little_is_known_holds_its_launches() {
    let scene = Scene::new(&[("IMDS_POLICY", GATED)]).await;
    let siblings = scene.launch(tagged(old(1), GROUP, "web"));
    used(&scene, &siblings, &[(1, 0.0), (2, 0.0)]);
    let new = launched(&scene, 1, GROUP, "web");
    let answer = scene.answer(launch_event(&new)).await;
    let why = with_sibling("Auto Scaling group", "web", &siblings[0], "observed on 2 of 7 days");
    assert_eq!(outcome(&answer, &new[0]).reasons, [why]);
}

#[tokio::test]
async fn a_sibling_that_may_be_of_the_same_launch_holds_nothing_back_without_calls() {
    for (age, expected) in [(Duration::hours(5), false), (Duration::hours(7), true)] {
        let scene = Scene::new(&[("IMDS_POLICY", GATED)]).await;
        let sibling = scene.launch(tagged(ran_for(1, age), GROUP, "web"));
        used(&scene, &sibling, &[(0, 0.0)]);
        assert_eq!(is_held(&scene).await, expected, "too little is known of one that first ran {age} ago");
        assert_eq!(asked_about(&scene), [sibling], "{age}");
    }
}

#[tokio::test]
async fn the_first_instance_of_a_group_is_enforced() {
    let scene = Scene::new(&[("IMDS_POLICY", GATED)]).await;
    assert!(!is_held(&scene).await, "it has no siblings");
    assert_eq!(actions(&scene), [DESCRIBE, DESCRIBE, MODIFY, DESCRIBE]);
}

#[tokio::test]
async fn a_launch_that_is_held_back_is_asked_about_itself_when_it_is_older() {
    let scene = Scene::new(&[("IMDS_POLICY", GATED)]).await;
    let siblings = scene.launch(tagged(old(1), GROUP, "web"));
    in_use(&scene, &siblings);
    let younger = scene.launch(tagged(ran_for(1, Duration::days(8)), GROUP, "web"));
    unused(&scene, &younger);
    let answer = scene.answer(state_event(&younger[0])).await;
    assert_eq!(became(&answer, &younger[0]), "enforced", "it has a history of its own");
    assert_eq!(actions(&scene), [DESCRIBE, METRICS, MODIFY, DESCRIBE]);
}

#[tokio::test]
async fn a_sibling_without_a_reported_state_leaves_the_launch_to_a_retry() {
    let scene = renamed(GATED, "<name>stopped</name>", "<name></name>       ").await;
    let sibling = scene.launch(tagged(Launch { state: Some("stopped".to_owned()), ..old(1) }, GROUP, "web"));
    unused(&scene, &sibling);
    let new = launched(&scene, 1, GROUP, "web");
    let answer = scene.answer(records(&[launch_event(&new)])).await;
    assert_eq!((became(&answer, &new[0]), failures(&answer)), ("failed", vec!["m0".to_owned()]));
    assert!(outcome(&answer, &new[0]).reasons[0].contains(&sibling[0]), "{}", reported(&answer, &new[0]));
    assert_eq!(tokens_sent(&scene), Vec::<String>::new());
}

#[tokio::test]
async fn a_sweep_follows_the_group_too() {
    let scene = Scene::new(&[("IMDS_POLICY", GATED)]).await;
    let siblings = scene.launch(tagged(old(1), GROUP, "web"));
    in_use(&scene, &siblings);
    let new = launched(&scene, 3, GROUP, "web");
    let answer = scene.answer(sweep_event()).await;
    assert_eq!(answer.report.counts, [("in-use", 4)].into());
    let why = with_sibling("Auto Scaling group", "web", &siblings[0], &forty_calls());
    assert!(
        new.iter().all(|id| outcome(&answer, id).reasons == [why.clone()]),
        "{:?}",
        answer.report.outcomes
    );
    assert_eq!(tokens_sent(&scene), Vec::<String>::new());
}
