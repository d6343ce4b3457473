//! Launches into a group follow its older instances.

use std::time::Duration as Wait;

use ec2_sim::{Fault, FaultKind};

use crate::support::*;
use crate::*;

pub const GROUP: &str = "aws:autoscaling:groupName";
pub const TEMPLATE: &str = "aws:ec2launchtemplate:id";

/// Why a launch is held back with this older instance.
pub fn with_sibling(kind: &str, group: &str, sibling: &str, why: &str) -> String {
    held(&format!("instance {sibling} of the same {kind} \"{group}\" is held back ({why})"))
}

/// Instances that were launched just now, with a tag.
pub fn launched(scene: &Scene, count: usize, key: &str, value: &str) -> Vec<String> {
    scene.launch(tagged(imdsv1(count), key, value))
}

#[tokio::test]
async fn a_launch_into_a_group_with_an_instance_in_use_is_held_back() {
    let rows = [(GROUP, "web", "Auto Scaling group"), (TEMPLATE, "lt-0123456789abcdef0", "launch template")];
    for (key, value, kind) in rows {
        let scene = Scene::new(&[("IMDS_POLICY", GATED)]).await;
        let siblings = scene.launch(tagged(old(3), key, value));
        unused(&scene, &siblings);
        in_use(&scene, &siblings[1..2]);
        let new = launched(&scene, 1, key, value);

        let answer = scene.answer(launch_event(&new)).await;

        let found = reported(&answer, &new[0]);
        assert_eq!(found["outcome"], "in-use", "{kind}: {found}");
        let why = with_sibling(kind, value, &siblings[1], &forty_calls());
        assert_eq!(found["reasons"], json!([why]), "{kind}");
        assert!(found.get("usage").is_none(), "{kind}: its own use was not asked");
        assert_eq!(actions(&scene), [DESCRIBE, DESCRIBE, METRICS], "{kind}");
        assert_eq!(asked_about(&scene)[0].len(), 3, "{kind}: its siblings, and not itself");
        let record = records(&[launch_event(&new)]);
        assert_eq!(failures(&scene.answer(record).await), Vec::<String>::new(), "{kind}: not retried");
    }
}

#[tokio::test]
async fn a_launch_into_a_group_without_instances_in_use_is_enforced() {
    let scene = Scene::new(&[("IMDS_POLICY", GATED)]).await;
    let siblings = scene.launch(tagged(old(2), GROUP, "web"));
    unused(&scene, &siblings);
    // Another group's, one without a group, and one with a name that is similar.
    for other in [tagged(old(1), GROUP, "web2"), tagged(old(1), GROUP, "we?"), old(1)] {
        in_use(&scene, &scene.launch(other));
    }
    let new = launched(&scene, 1, GROUP, "web");
    let answer = scene.answer(launch_event(&new)).await;
    assert_eq!(became(&answer, &new[0]), "enforced");
    assert_eq!(actions(&scene), [DESCRIBE, DESCRIBE, METRICS, MODIFY, DESCRIBE]);
}

#[tokio::test]
async fn the_name_of_a_group_is_literal() {
    let scene = Scene::new(&[("IMDS_POLICY", GATED)]).await;
    in_use(&scene, &scene.launch(tagged(old(1), GROUP, "web-a")));
    let new = launched(&scene, 1, GROUP, "web-*");
    assert_eq!(became(&scene.answer(launch_event(&new)).await, &new[0]), "enforced");
    let odd = r"odd*?\name";
    in_use(&scene, &scene.launch(tagged(old(1), GROUP, odd)));
    let new = launched(&scene, 1, GROUP, odd);
    assert_eq!(became(&scene.answer(launch_event(&new)).await, &new[0]), "in-use");
}

#[tokio::test]
async fn a_launch_outside_of_any_group_makes_no_further_call() {
    let scene = Scene::new(&[("IMDS_POLICY", GATED)]).await;
    in_use(&scene, &scene.launch(tagged(old(1), GROUP, "web")));
    let new = scene.launch(imdsv1(2));
    let answer = scene.answer(launch_event(&new)).await;
    assert_eq!(answer.report.counts, [("enforced", 2)].into());
    assert_eq!(actions(&scene), [DESCRIBE, MODIFY, MODIFY, DESCRIBE]);
}

#[tokio::test]
async fn a_launch_with_required_tokens_makes_no_further_call() {
    let scene = Scene::new(&[("IMDS_POLICY", GATED)]).await;
    in_use(&scene, &scene.launch(tagged(old(1), GROUP, "web")));
    let required = with_options(&[("HttpTokens", "required")]);
    let new = scene.launch(tagged(required, GROUP, "web"));
    assert_eq!(became(&scene.answer(launch_event(&new)).await, &new[0]), "compliant");
    assert_eq!(actions(&scene), [DESCRIBE]);
}

#[tokio::test]
async fn launches_are_enforced_where_the_gate_says_so() {
    const POLICY: &str = r#"{"baseline": {"HttpTokens": "required"}, "usageGate": {"launches": "enforce"}}"#;
    let scene = Scene::new(&[("IMDS_POLICY", POLICY)]).await;
    let siblings = scene.launch(tagged(old(1), GROUP, "web"));
    in_use(&scene, &siblings);
    let new = launched(&scene, 1, GROUP, "web");
    assert_eq!(became(&scene.answer(launch_event(&new)).await, &new[0]), "enforced");
    assert_eq!(actions(&scene), [DESCRIBE, MODIFY, DESCRIBE]);
    assert_eq!(
        became(&scene.answer(sweep_event()).await, &siblings[0]),
        "in-use",
        "the gate is closed for it"
    );
}

#[tokio::test]
async fn the_auto_scaling_group_comes_before_the_launch_template() {
    let scene = Scene::new(&[("IMDS_POLICY", GATED)]).await;
    unused(&scene, &scene.launch(tagged(tagged(old(1), GROUP, "web"), TEMPLATE, "lt-0aaaaaaaaaaaaaaaa")));
    // Of the same template, in another group.
    in_use(&scene, &scene.launch(tagged(tagged(old(1), GROUP, "db"), TEMPLATE, "lt-0aaaaaaaaaaaaaaaa")));
    let new = scene.launch(tagged(tagged(imdsv1(1), GROUP, "web"), TEMPLATE, "lt-0aaaaaaaaaaaaaaaa"));
    assert_eq!(became(&scene.answer(launch_event(&new)).await, &new[0]), "enforced");
}

#[tokio::test]
async fn a_group_is_described_and_asked_about_once_in_a_batch() {
    let scene = Scene::new(&[("IMDS_POLICY", GATED)]).await;
    in_use(&scene, &scene.launch(tagged(old(2), GROUP, "web")));
    unused(&scene, &scene.launch(tagged(old(2), GROUP, "db")));
    let (web, db) = (launched(&scene, 15, GROUP, "web"), launched(&scene, 15, GROUP, "db"));
    // Some are shown only after a pause, so that they are decided on later.
    scene.sim.inject(Fault::new(FaultKind::NotVisible).on(DESCRIBE).of(&web[3]).times(1));
    let mut events: Vec<Value> = web.iter().map(|id| launch_event(std::slice::from_ref(id))).collect();
    events.extend(web.iter().map(|id| state_event(id)));
    events.push(launch_event(&db));

    let answer = scene.answer(records(&events)).await;

    assert_eq!(answer.report.outcomes.iter().filter(|one| one.outcome.as_str() == "in-use").count(), 15);
    let mut sent = tokens_sent(&scene);
    sent.sort();
    let mut expected = db;
    expected.sort();
    assert_eq!(sent, expected);
    assert_eq!(asked_about(&scene).len(), 2, "one for each group");
    let of_group =
        |call: &ec2_sim::RecordedCall| call.parameters.values().any(|value| value == &format!("tag:{GROUP}"));
    assert_eq!(scene.calls(DESCRIBE).iter().filter(|call| of_group(call)).count(), 2);
    // The next batch asks again.
    scene.answer(records(&events[..1])).await;
    assert_eq!(asked_about(&scene).len(), 3);
}

#[tokio::test]
async fn a_group_about_which_cloudwatch_fails_is_retried_and_one_it_refuses_is_held_back() {
    let rows = [
        (FaultKind::InternalError, "failed", true),
        (FaultKind::PartialData, "failed", true),
        (FaultKind::Deny, "in-use", false),
        (FaultKind::Forbidden, "in-use", false),
    ];
    for (kind, expected, is_retried) in rows {
        let scene = Scene::new(&[("IMDS_POLICY", GATED)]).await;
        unused(&scene, &scene.launch(tagged(old(2), GROUP, "web")));
        let new = launched(&scene, 1, GROUP, "web");
        let outside = scene.launch(imdsv1(1));
        scene.sim.inject(Fault::new(kind.clone()).on(METRICS));
        let answer = scene.answer(records(&[launch_event(&new), launch_event(&outside)])).await;
        assert_eq!(became(&answer, &new[0]), expected, "{kind:?}");
        assert_eq!(failures(&answer), if is_retried { vec!["m0"] } else { vec![] }, "{kind:?}");
        assert_eq!(tokens_sent(&scene), outside, "{kind:?}");
        let warnings = &outcome(&answer, &new[0]).warnings;
        let named =
            warnings.iter().any(|text| text.contains("the permission cloudwatch:GetMetricData is missing"));
        assert_eq!(named, !is_retried, "{kind:?}: {warnings:?}");
    }
}

#[tokio::test]
async fn a_group_that_cannot_be_described_is_not_enforced() {
    let rows =
        [(FaultKind::ServerError, "failed"), (FaultKind::Throttle, "throttled"), (FaultKind::Deny, "failed")];
    for (kind, expected) in rows {
        let scene = Scene::new(&[("IMDS_POLICY", GATED)]).await;
        in_use(&scene, &scene.launch(tagged(old(1), GROUP, "web")));
        let new = launched(&scene, 1, GROUP, "web");
        let of_group = Fault::new(kind.clone()).on(DESCRIBE);
        scene.sim.inject(of_group.with_parameter("Filter.1.Name", &format!("tag:{GROUP}")));
        let answer = scene.answer(records(&[launch_event(&new)])).await;
        assert_eq!(became(&answer, &new[0]), expected, "{kind:?}: {}", reported(&answer, &new[0]));
        assert_eq!(tokens_sent(&scene), Vec::<String>::new(), "{kind:?}");
    }
}

/// Invokes the function, and returns the outcomes with the time after which each was reported.
pub async fn timed(scene: &Scene, payload: Value, allowed: Wait) -> Vec<(InstanceOutcome, Wait)> {
    let (started, ended) = (std::time::Instant::now(), std::cell::RefCell::new(Vec::new()));
    let report = |outcome: &InstanceOutcome| ended.borrow_mut().push((outcome.clone(), started.elapsed()));
    let deadline = imds_engine::deadline::Deadline::new(now(), allowed);
    imds_enforcer::handler::answer(&scene.enforcer, payload, deadline, &report).await;
    ended.into_inner()
}

#[tokio::test]
async fn a_launch_does_not_wait_for_a_cloudwatch_that_hangs_for_another_instance() {
    let scene = Scene::new(&[("IMDS_POLICY", GATED)]).await;
    let before = scene.launch(old(1));
    unused(&scene, &scene.launch(tagged(old(1), GROUP, "web")));
    let stuck = scene.launch(tagged(old(1), GROUP, "db"));
    let outside = scene.launch(imdsv1(1));
    let (web, db) = (launched(&scene, 1, GROUP, "web"), launched(&scene, 1, GROUP, "db"));
    for id in [&before[0], &stuck[0]] {
        scene.sim.inject(Fault::new(FaultKind::Hang(None)).on(METRICS).of(id));
    }
    // The name of the group that hangs comes first.
    let events = [state_event(&before[0]), launch_event(&outside), launch_event(&db), launch_event(&web)];
    let (ended, meanwhile) = tokio::join!(timed(&scene, records(&events), Wait::from_secs(60)), async {
        tokio::time::sleep(Wait::from_secs(5)).await;
        tokens_sent(&scene)
    });
    assert_eq!(meanwhile, outside, "a launch without a group is changed at once");
    assert!(ended.iter().all(|(_, after)| *after < Wait::from_secs(35)), "{ended:?}");
    let of = |id: &str| ended.iter().find(|(outcome, _)| outcome.instance_id.as_str() == id).unwrap();
    for (id, expected) in
        [(&before[0], "failed"), (&outside[0], "enforced"), (&db[0], "failed"), (&web[0], "enforced")]
    {
        assert_eq!(of(id).0.outcome.as_str(), expected, "{id}: {:?}", of(id));
    }
    let mut changed = tokens_sent(&scene);
    changed.sort();
    let mut expected = vec![outside[0].clone(), web[0].clone()];
    expected.sort();
    assert_eq!(changed, expected);
}
