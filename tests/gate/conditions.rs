//! Conditions of rules on the instance itself.

use crate::ages::without_attach_time;
use crate::support::*;
use crate::*;

#[tokio::test]
async fn rules_can_name_instances_images_and_when_instances_first_ran() {
    let before = day(30);
    let scene = Scene::new(&[]).await;
    let named = scene.launch(old(2));
    let (web, db) = ("ami-0aaaaaaaaaaaaaaaa", "ami-0bbbbbbbbbbbbbbbb");
    let of = |image: &str, age: i64| {
        let launch = ran_for(1, Duration::days(age));
        scene.launch(Launch { image: image.to_owned(), ..launch }).remove(0)
    };
    let rows = [
        (named[0].clone(), "would-enforce"),
        (named[1].clone(), "enforced"),
        (of(web, 5), "would-enforce"),
        (of(db, 5), "enforced"),
        (of(db, 31), "would-enforce"),
        (of(db, 30), "enforced"),
        (of(db, 29), "enforced"),
    ];
    let policy = format!(
        r#"{{"baseline": {{"HttpTokens": "required"}}, "rules": [
            {{"name": "ids", "when": {{"instanceIds": "{}"}}, "mode": "dry-run"}},
            {{"name": "images", "when": {{"images": ["ami-0aaa*"]}}, "mode": "dry-run"}},
            {{"name": "age", "when": {{"images": "{db}", "launchedBefore": "{before}"}}, "mode": "dry-run"}}]}}"#,
        named[0]
    );
    let scene = Scene { enforcer: enforcer(&scene.sim, &[("IMDS_POLICY", &policy)]), ..scene };
    let answer = scene.answer(sweep_event()).await;
    for (id, expected) in &rows {
        assert_eq!(became(&answer, id), *expected, "{id}: {}", reported(&answer, id));
        let mode = if *expected == "enforced" { "enforce" } else { "dry-run" };
        assert_eq!(reported(&answer, id)["mode"], mode, "{id}");
    }
}

#[tokio::test]
async fn the_conditions_decide_on_exemptions_and_gates_too() {
    let scene = Scene::new(&[]).await;
    let ids = scene.launch(old(3));
    in_use(&scene, &ids);
    let policy = format!(
        r#"{{"baseline": {{"HttpTokens": "required"}}, "usageGate": {{}}, "rules": [
            {{"name": "a", "when": {{"instanceIds": ["{}"]}}, "exempt": {{"until": "9999-12-31"}}}},
            {{"name": "b", "when": {{"instanceIds": "{}"}}, "usageGate": false}}]}}"#,
        ids[0], ids[1]
    );
    let scene = Scene { enforcer: enforcer(&scene.sim, &[("IMDS_POLICY", &policy)]), ..scene };
    let answer = scene.answer(sweep_event()).await;
    let found: Vec<&str> = ids.iter().map(|id| became(&answer, id)).collect();
    assert_eq!(found, ["exempt", "enforced", "in-use"]);
}

#[tokio::test]
async fn when_an_instance_first_ran_is_not_changed_by_a_start() {
    let policy = format!(
        r#"{{"baseline": {{"HttpTokens": "required"}}, "rules": [
            {{"name": "age", "when": {{"launchedBefore": "{}"}}, "mode": "dry-run"}}]}}"#,
        day(30)
    );
    let scene = Scene::new(&[("IMDS_POLICY", &policy)]).await;
    let ids = scene.launch(Launch { launch_time: Some(now()), ..old(1) });
    assert_eq!(became(&scene.answer(state_event(&ids[0])).await, &ids[0]), "would-enforce");
}

#[tokio::test]
async fn an_age_that_is_not_known_and_that_a_rule_depends_on_is_not_ready() {
    const POLICY: &str = r#"{"baseline": {"HttpTokens": "required"}, "rules": [
        {"name": "age", "when": {"launchedBefore": "2026-01-01", "tags": {"App": "old"}}, "mode": "dry-run",
         "until": "9999-12-31"}]}"#;
    let scene = without_attach_time(POLICY).await;
    let depends = scene.launch(tagged(imdsv1(1), "App", "old"));
    let other = scene.launch(imdsv1(1));
    let answer = scene.answer(records(&[state_event(&depends[0]), state_event(&other[0])])).await;
    assert_eq!((became(&answer, &depends[0]), became(&answer, &other[0])), ("not-ready", "enforced"));
    let reason = "EC2 did not report NetworkInterfaces[].Attachment.AttachTime";
    assert_eq!(outcome(&answer, &depends[0]).reasons, [reason]);
    assert_eq!(failures(&answer), ["m0"]);
    assert_eq!(tokens_sent(&scene), other);
}
