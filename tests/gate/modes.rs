//! Which instances are changed, and for which EC2 is only asked.

use crate::support::*;
use crate::*;

/// The outcome and mode of each instance after a sweep.
async fn swept(scene: &Scene, ids: &[String]) -> Vec<(String, String)> {
    let answer = scene.answer(sweep_event()).await;
    let of = |id: &String| {
        let found = reported(&answer, id);
        let text = |key: &str| found[key].as_str().unwrap().to_owned();
        (text("outcome"), text("mode"))
    };
    ids.iter().map(of).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(outcome, mode)| ((*outcome).to_owned(), (*mode).to_owned())).collect()
}

const DRY: (&str, &str) = ("would-enforce", "dry-run");
const DONE: (&str, &str) = ("enforced", "enforce");

#[tokio::test]
async fn a_policy_in_dry_run_changes_nothing() {
    const POLICY: &str = r#"{"baseline": {"HttpTokens": "required"}, "mode": "dry-run"}"#;
    let scene = Scene::new(&[("IMDS_POLICY", POLICY)]).await;
    let ids = scene.launch(imdsv1(1));
    let answer = scene.answer(launch_event(&ids)).await;
    let found = reported(&answer, &ids[0]);
    assert_eq!((&found["outcome"], &found["mode"]), (&json!("would-enforce"), &json!("dry-run")));
    assert_eq!(scene.calls(MODIFY)[0].parameters["DryRun"], "true");
    assert_eq!(http_tokens(&scene, &ids[0]), "optional");
    assert_eq!(swept(&scene, &ids).await, pairs(&[DRY]));
}

#[tokio::test]
async fn rules_set_the_mode_by_account_region_and_tag_and_the_last_match_wins() {
    const POLICY: &str = r#"{"baseline": {"HttpTokens": "required"}, "mode": "dry-run", "rules": [
        {"name": "pilot", "when": {"accounts": "111122223333", "regions": "us-*"}, "mode": "enforce"},
        {"name": "stack", "when": {"tags": {"aws:cloudformation:stack-name": "old-*"}}, "mode": "dry-run"},
        {"name": "back", "when": {"tags": {"App": "web"}}, "mode": "enforce"},
        {"name": "later", "when": {"tags": {"App": "db"}}, "mode": "dry-run", "until": "9999-12-31"}]}"#;
    let scene = Scene::new(&[("IMDS_POLICY", POLICY)]).await;
    let of = |launch: Launch| scene.launch(launch).remove(0);
    let stack = || tagged(imdsv1(1), "aws:cloudformation:stack-name", "old-api");
    let ids =
        [of(imdsv1(1)), of(stack()), of(tagged(stack(), "App", "web")), of(tagged(imdsv1(1), "App", "db"))];
    assert_eq!(swept(&scene, &ids).await, pairs(&[DONE, DRY, DONE, DRY]), "one sweep with both modes");
    let mut changed: Vec<&str> = Vec::new();
    for call in scene.calls(MODIFY) {
        if !call.parameters.contains_key("DryRun") {
            changed.extend(ids.iter().filter(|id| call.instance_ids.contains(id)).map(String::as_str));
        }
    }
    changed.sort_unstable();
    let mut expected = [ids[0].as_str(), ids[2].as_str()];
    expected.sort_unstable();
    assert_eq!(changed, expected);

    // Another Region, which no rule names.
    let there = scene.sim.account_region(ACCOUNT, "eu-west-1");
    let id = there.launch(imdsv1(1)).remove(0);
    let mut event = sweep_event();
    event["region"] = "eu-west-1".into();
    let answer = scene.answer(event).await;
    assert_eq!(reported(&answer, &id)["mode"], "dry-run");
    assert_eq!(there.instance(&id).unwrap().options["HttpTokens"], "optional");
}

#[tokio::test]
async fn a_dry_run_of_a_rule_ends_after_its_last_day() {
    for (ago, expected) in [(-1, DRY), (0, DRY), (1, DONE)] {
        let policy = format!(
            r#"{{"baseline": {{"HttpTokens": "required"}}, "rules": [
                {{"name": "later", "when": {{"tags": {{"App": "*"}}}}, "mode": "dry-run", "until": "{}"}}]}}"#,
            day(ago)
        );
        let scene = Scene::new(&[("IMDS_POLICY", &policy)]).await;
        let ids = scene.launch(tagged(imdsv1(1), "App", "web"));
        assert_eq!(swept(&scene, &ids).await, pairs(&[expected]), "until {}", day(ago));
    }
    let policy = format!(
        r#"{{"baseline": {{"HttpTokens": "required"}}, "rules": [
            {{"name": "later", "when": {{"tags": {{"App": "*"}}}}, "mode": "dry-run", "until": "{}"}}]}}"#,
        day(1)
    );
    let scene = Scene::new(&[("IMDS_POLICY", &policy)]).await;
    let ids = scene.launch(tagged(imdsv1(1), "App", "web"));
    let answer = scene.answer(sweep_event()).await;
    let warning = format!("the dry run in rule \"later\" expired after {}", day(1));
    assert_eq!(outcome(&answer, &ids[0]).warnings, [warning]);
}

#[tokio::test]
async fn the_mode_of_the_function_overrides_all() {
    const POLICY: &str = r#"{"baseline": {"HttpTokens": "required"}, "mode": "enforce", "rules": [
        {"name": "all", "mode": "enforce"}]}"#;
    let scene = Scene::new(&[("IMDS_POLICY", POLICY), ("IMDS_MODE", "dry-run")]).await;
    let ids = scene.launch(imdsv1(2));
    assert_eq!(swept(&scene, &ids).await, pairs(&[DRY, DRY]));
    let dry =
        |call: &ec2_sim::RecordedCall| call.parameters.get("DryRun").is_some_and(|value| value == "true");
    assert!(scene.calls(MODIFY).iter().all(dry));
    // An instance without a decision has the function's mode as well.
    let answer = scene.answer(state_event("i-0123456789abcdef0")).await;
    assert_eq!(reported(&answer, "i-0123456789abcdef0")["mode"], "dry-run");
    // The function's `enforce`, its default, does not override a dry run of the policy.
    const DRY_RUN: &str = r#"{"baseline": {"HttpTokens": "required"}, "mode": "dry-run"}"#;
    let scene = Scene::new(&[("IMDS_POLICY", DRY_RUN), ("IMDS_MODE", "enforce")]).await;
    let ids = scene.launch(imdsv1(1));
    assert_eq!(swept(&scene, &ids).await, pairs(&[DRY]));
}

#[tokio::test]
async fn every_outcome_carries_its_mode() {
    const POLICY: &str = r#"{"baseline": {"HttpTokens": "required"}, "rules": [
        {"name": "dry", "when": {"tags": {"App": "dry"}}, "mode": "dry-run", "until": "9999-12-31"},
        {"name": "exempt", "when": {"tags": {"Not": "*"}}, "exempt": {"until": "9999-12-31"}}]}"#;
    let scene = Scene::new(&[("IMDS_POLICY", POLICY)]).await;
    let of = |launch: Launch| scene.launch(launch).remove(0);
    let required = || with_options(&[("HttpTokens", "required")]);
    let ids = [
        of(required()),
        of(tagged(required(), "App", "dry")),
        of(tagged(imdsv1(1), "Not", "x")),
        of(tagged(tagged(imdsv1(1), "Not", "x"), "App", "dry")),
        of(Launch { operator: Some("eks.amazonaws.com".to_owned()), ..tagged(imdsv1(1), "App", "dry") }),
    ];
    let expected = [
        ("compliant", "enforce"),
        ("compliant", "dry-run"),
        ("exempt", "enforce"),
        ("exempt", "dry-run"),
        ("out-of-scope", "dry-run"),
    ];
    assert_eq!(swept(&scene, &ids).await, pairs(&expected));
}

#[tokio::test]
async fn a_sweep_sends_few_dry_runs_and_every_change() {
    const POLICY: &str = r#"{"baseline": {"HttpTokens": "required"}, "rules": [
        {"name": "dry", "when": {"tags": {"App": "dry"}}, "mode": "dry-run", "until": "9999-12-31"}]}"#;
    let variables = [("IMDS_POLICY", POLICY), ("IMDS_MODIFY_RATE", "1000"), ("IMDS_MODIFY_BURST", "1000")];
    let scene = Scene::new(&variables).await;
    scene.launch(imdsv1(60));
    scene.launch(tagged(imdsv1(60), "App", "dry"));
    let answer = scene.answer(sweep_event()).await;
    assert_eq!(answer.report.counts, [("enforced", 60), ("would-enforce", 60)].into());
    let (dry, sent): (Vec<_>, Vec<_>) =
        scene.calls(MODIFY).into_iter().partition(|call| call.parameters.contains_key("DryRun"));
    assert_eq!((dry.len(), sent.len()), (50, 60));
}
