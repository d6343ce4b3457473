//! Changes that EC2 refuses, and the options that are still changed.

use std::time::Duration;

use ec2_sim::{Fault, FaultKind, Launch, Settings};
use serde_json::json;

use crate::support::*;
use crate::{DESCRIBE, MODIFY};

const OPTIONAL_AND_2: &str = r#"{"baseline": {"HttpTokens": "optional", "HttpPutResponseHopLimit": 2}}"#;

#[tokio::test]
async fn a_dry_run_calls_ec2_and_changes_nothing() {
    let scene = Scene::new(&[("IMDS_MODE", "dry-run")]).await;
    let ids = scene.launch(imdsv1(2));
    scene.sim.inject(Fault::new(FaultKind::Deny).on(MODIFY).of(&ids[1]));
    let answer = scene.answer(launch_event(&ids)).await;
    assert_eq!(answer.report.counts, [("denied", 1), ("would-enforce", 1)].into());
    assert_eq!(answer.response.unwrap()["mode"], "dry-run");
    assert!(scene.calls(MODIFY).iter().all(|call| call.parameters["DryRun"] == "true"));
    assert!(ids.iter().all(|id| scene.instance(id).options["HttpTokens"] == "optional"));
}

#[tokio::test]
async fn a_denied_describe_is_reported_for_every_instance() {
    let scene = Scene::new(&[]).await;
    let ids = scene.launch(imdsv1(3));
    scene.sim.inject(Fault::new(FaultKind::Deny).on(DESCRIBE));
    let answer = scene.answer(batch(&[launch_event(&ids).to_string()], 1)).await;
    assert_eq!(answer.report.counts, [("failed", 3)].into());
    assert_eq!(failures(&answer), ["m0"], "a new role may not have propagated yet");
    assert!(answer.report.outcomes[0].reasons[0].starts_with("ec2:DescribeInstances returned"));
}

#[tokio::test]
async fn optional_tokens_are_left_out_if_the_account_enforces_tokens() {
    for (enforced, sent) in [(true, "required"), (false, "optional")] {
        let scene = Scene::new(&[("IMDS_POLICY", OPTIONAL_AND_2)]).await;
        let ids = scene.launch(with_options(&[("HttpTokens", "required")]));
        scene.account_region.set_tokens_enforced(enforced);
        let answer = scene.answer(launch_event(&ids)).await;
        assert_eq!(answer.report.counts, [("enforced", 1)].into(), "enforced: {enforced}");
        let options = scene.instance(&ids[0]).options;
        assert_eq!((&*options["HttpTokens"], &*options["HttpPutResponseHopLimit"]), (sent, "2"));
        assert_eq!(answer.report.outcomes[0].warnings.len(), usize::from(enforced));
        assert_eq!(scene.calls("GetInstanceMetadataDefaults").len(), 1);
    }
}

#[tokio::test]
async fn an_unexpected_refusal_does_not_prevent_other_options() {
    let scene = Scene::new(&[("IMDS_POLICY", OPTIONAL_AND_2)]).await;
    let ids = scene.launch(with_options(&[("HttpTokens", "required")]));
    scene.account_region.set_tokens_enforced(true);
    // The function is denied the account's defaults and therefore cannot predict the refusal.
    scene.sim.inject(Fault::new(FaultKind::Deny).on("GetInstanceMetadataDefaults"));
    let answer = scene.answer(launch_event(&ids)).await;
    let report = serde_json::to_value(&answer.report.outcomes[0]).unwrap();
    assert_eq!(
        (&report["outcome"], &report["change"]),
        (&json!("enforced"), &json!({"HttpPutResponseHopLimit": 2}))
    );
    let warning = report["warnings"][1].as_str().unwrap();
    let expected =
        "HttpTokens=optional is left out: ec2:ModifyInstanceMetadataOptions returned UnsupportedOperation";
    assert!(warning.starts_with(expected), "{warning}");
    let options = scene.instance(&ids[0]).options;
    assert_eq!((&*options["HttpTokens"], &*options["HttpPutResponseHopLimit"]), ("required", "2"));
    assert_eq!(scene.calls(MODIFY).len(), 3, "both, then each alone");
}

#[tokio::test]
async fn a_guard_that_denies_optional_tokens_does_not_prevent_other_options() {
    let scene = Scene::new(&[("IMDS_POLICY", OPTIONAL_AND_2)]).await;
    let ids = scene.launch(with_options(&[("HttpTokens", "required")]));
    scene.sim.inject(Fault::new(FaultKind::Deny).on(MODIFY).with_parameter("HttpTokens", "optional"));
    scene.sim.inject(Fault::new(FaultKind::Deny).on("GetInstanceMetadataDefaults"));
    let answer = scene.answer(launch_event(&ids)).await;
    let report = &answer.report.outcomes[0];
    assert_eq!(report.outcome.as_str(), "enforced");
    assert_eq!(serde_json::to_value(report.change).unwrap(), json!({"HttpPutResponseHopLimit": 2}));
    let expected = [
        "cannot determine whether the account enforces tokens: ec2:GetInstanceMetadataDefaults returned",
        "HttpTokens=optional is left out: ec2:ModifyInstanceMetadataOptions returned UnauthorizedOperation",
    ];
    for (warning, expected) in report.warnings.iter().zip(expected) {
        assert!(warning.starts_with(expected), "{warning}");
    }
    assert_eq!((report.warnings.len(), scene.calls(MODIFY).len()), (2, 3), "both, then each alone");
}

#[tokio::test]
async fn a_ceiling_that_denies_a_tags_hop_limit_does_not_prevent_required_tokens() {
    const POLICY: &str =
        r#"{"baseline": {"HttpTokens": "required", "HttpPutResponseHopLimit": {"atMost": 5}}}"#;
    let scene = Scene::new(&[("IMDS_POLICY", POLICY)]).await;
    let tag = ("imds:HttpPutResponseHopLimit".to_owned(), "4".to_owned());
    let ids = scene.launch(Launch { tags: vec![tag], ..with_options(&[("HttpPutResponseHopLimit", "10")]) });
    // As with the template's HopLimitCeiling of 3.
    scene.sim.inject(Fault::new(FaultKind::Deny).on(MODIFY).with_parameter("HttpPutResponseHopLimit", "4"));
    let answer = scene.answer(launch_event(&ids)).await;
    let report = &answer.report.outcomes[0];
    assert_eq!(report.outcome.as_str(), "denied", "the hop limit does not meet the policy");
    assert_eq!(serde_json::to_value(report.change).unwrap(), json!({"HttpTokens": "required"}));
    assert_eq!(serde_json::to_value(report.state).unwrap(), "applied", "it was verified");
    let options = scene.instance(&ids[0]).options;
    assert_eq!((&*options["HttpTokens"], &*options["HttpPutResponseHopLimit"]), ("required", "10"));
}

#[tokio::test]
async fn a_denial_without_a_guard_does_not_cause_a_call_per_option() {
    const POLICY: &str = r#"{"baseline": {"HttpTokens": "required", "HttpPutResponseHopLimit": 2}}"#;
    let scene = Scene::new(&[("IMDS_POLICY", POLICY)]).await;
    let ids = scene.launch(imdsv1(1));
    scene.sim.inject(Fault::new(FaultKind::Deny).on(MODIFY));
    let answer = scene.answer(launch_event(&ids)).await;
    assert_eq!(answer.report.counts, [("denied", 1)].into());
    assert_eq!(
        scene.calls(MODIFY).len(),
        2,
        "both options, then only required tokens, which no guard denies"
    );
}

#[tokio::test]
async fn an_option_that_fails_permanently_does_not_prevent_other_options() {
    const POLICY: &str = r#"{"baseline": {"HttpTokens": "required", "HttpPutResponseHopLimit": 2}}"#;
    let scene = Scene::new(&[("IMDS_POLICY", POLICY)]).await;
    let ids = scene.launch(imdsv1(1));
    let error = |code: &str| FaultKind::Error { code: code.into(), status: 400, message: "no".into() };
    scene.sim.inject(Fault::new(error("UnsupportedOperation")).on(MODIFY).times(1));
    scene.sim.inject(Fault::new(error("SomethingNew")).on(MODIFY).with_parameter("HttpTokens", "required"));
    let answer = scene.answer(launch_event(&ids)).await;
    let report = &answer.report.outcomes[0];
    assert_eq!(report.outcome.as_str(), "failed");
    assert_eq!(serde_json::to_value(report.change).unwrap(), json!({"HttpPutResponseHopLimit": 2}));
    assert!(report.warnings[0].starts_with("HttpTokens=required is left out"), "{:?}", report.warnings);
}

#[tokio::test]
async fn optional_tokens_that_fail_permanently_are_not_a_success() {
    let scene = Scene::new(&[("IMDS_POLICY", OPTIONAL_AND_2)]).await;
    let ids = scene.launch(with_options(&[("HttpTokens", "required")]));
    let error = |code: &str| FaultKind::Error { code: code.into(), status: 400, message: "no".into() };
    scene.sim.inject(Fault::new(error("UnsupportedOperation")).on(MODIFY).times(1));
    scene.sim.inject(Fault::new(error("SomethingNew")).on(MODIFY).with_parameter("HttpTokens", "optional"));
    let answer = scene.answer(launch_event(&ids)).await;
    let report = &answer.report.outcomes[0];
    assert_eq!(report.outcome.as_str(), "failed");
    assert_eq!(serde_json::to_value(report.change).unwrap(), json!({"HttpPutResponseHopLimit": 2}));
}

#[tokio::test]
async fn accepted_options_are_verified_although_others_fail() {
    let rows = [(FaultKind::Deny, "denied", false), (FaultKind::Throttle, "throttled", true)];
    for (kind, outcome, comes_again) in rows {
        let settings = Settings { apply_delay: Duration::from_millis(700), ..Settings::default() };
        let scene =
            Scene::with(settings, &[("IMDS_POLICY", OPTIONAL_AND_2), ("IMDS_MODIFY_RATE", "1000")]).await;
        let ids = scene.launch(with_options(&[("HttpTokens", "required")]));
        let refused =
            FaultKind::Error { code: "UnsupportedOperation".into(), status: 400, message: "no".into() };
        scene.sim.inject(Fault::new(refused).on(MODIFY).times(1));
        scene.sim.inject(Fault::new(kind).on(MODIFY).with_parameter("HttpPutResponseHopLimit", "2"));
        let bodies = [launch_event(&ids).to_string()];
        let answer = scene.answer(batch(&bodies, 1)).await;
        let report = &answer.report.outcomes[0];
        assert_eq!(report.outcome.as_str(), outcome);
        assert_eq!(
            serde_json::to_value(report.change).unwrap(),
            json!({"HttpTokens": "optional"}),
            "{outcome}"
        );
        assert_eq!(serde_json::to_value(report.state).unwrap(), "applied", "{outcome}: it was verified");
        assert_eq!(failures(&answer).is_empty(), !comes_again, "{outcome}");
    }
}

#[tokio::test]
async fn an_answer_to_a_dry_run_that_nobody_asked_for_is_a_failure() {
    let scene = Scene::new(&[]).await;
    let ids = scene.launch(imdsv1(1));
    let dry_run =
        FaultKind::Error { code: "DryRunOperation".to_owned(), status: 412, message: "m".to_owned() };
    scene.sim.inject(Fault::new(dry_run).on(MODIFY));
    let answer = scene.answer(batch(&[running_event(&ids[0], now()).to_string()], 1)).await;
    assert_eq!(
        (answer.report.counts.clone(), failures(&answer)),
        ([("failed", 1)].into(), vec!["m0".to_owned()])
    );
}

#[tokio::test]
async fn defaults_that_hang_do_not_stop_the_change() {
    let scene = Scene::new(&[("IMDS_POLICY", OPTIONAL_AND_2)]).await;
    let ids = scene.launch(with_options(&[("HttpTokens", "required")]));
    scene.sim.inject(Fault::new(FaultKind::Hang(None)).on("GetInstanceMetadataDefaults"));
    let answer = scene.answer(launch_event(&ids)).await;
    assert_eq!(answer.report.counts, [("enforced", 1)].into());
    let warnings = answer.report.outcomes[0].warnings.join("; ");
    assert!(warnings.contains("cannot determine whether the account enforces tokens"), "{warnings}");
}
