//! No error opens the gate.

use std::time::Duration;

use ec2_sim::{Fault, FaultKind};
use futures_util::future::join_all;

use crate::support::*;
use crate::*;

/// The text of the warning that names the permission.
const PERMISSION: &str = "the permission cloudwatch:GetMetricData is missing: ";

/// What must become of an instance in use, of one that is not, and of their records.
struct Expected {
    in_use: &'static str,
    unused: &'static str,
    is_retried: bool,
    calls: usize,
}

/// Both instances are decided on by what CloudWatch says of them, after this number of calls.
const fn answered(calls: usize) -> Expected {
    Expected { in_use: "in-use", unused: "enforced", is_retried: false, calls }
}

/// Nothing is decided, so that the records fail.
const fn retried(outcome: &'static str, calls: usize) -> Expected {
    Expected { in_use: outcome, unused: outcome, is_retried: true, calls }
}

/// Both instances are held back, and not tried again.
const REFUSED: Expected = Expected { in_use: "in-use", unused: "in-use", is_retried: false, calls: 1 };

#[tokio::test]
async fn no_error_of_cloudwatch_opens_the_gate() {
    let validation =
        FaultKind::Error { code: "ValidationError".to_owned(), status: 400, message: "no".to_owned() };
    let rows = [
        (FaultKind::Forbidden, 1, REFUSED),
        (FaultKind::Forbidden, u32::MAX, REFUSED),
        (FaultKind::Deny, 1, REFUSED),
        (FaultKind::Deny, u32::MAX, REFUSED),
        (FaultKind::PartialData, 1, answered(2)),
        (FaultKind::PartialData, u32::MAX, retried("failed", 4)),
        (FaultKind::InternalError, 1, answered(2)),
        (FaultKind::InternalError, u32::MAX, retried("failed", 4)),
        (FaultKind::Throttle, 1, answered(2)),
        (FaultKind::Throttle, u32::MAX, retried("throttled", 8)),
        (FaultKind::ServerError, 1, answered(2)),
        (FaultKind::ServerError, u32::MAX, retried("failed", 8)),
        (FaultKind::Reset, 1, answered(2)),
        (FaultKind::Reset, u32::MAX, retried("failed", 8)),
        (FaultKind::Malformed, 1, answered(2)),
        (FaultKind::Malformed, u32::MAX, retried("failed", 8)),
        (FaultKind::Hang(Some(Duration::from_millis(300))), 1, answered(2)),
        (FaultKind::Delay(Duration::from_millis(300)), u32::MAX, answered(1)),
        (validation, u32::MAX, retried("failed", 1)),
    ];
    join_all(rows.map(async |(kind, times, expected)| check(kind, times, &expected).await)).await;
}

async fn check(kind: FaultKind, times: u32, expected: &Expected) {
    let scene = Scene::new(&[("IMDS_POLICY", GATED)]).await;
    let ids = scene.launch(old(2));
    in_use(&scene, &ids[..1]);
    unused(&scene, &ids[1..]);
    let name = format!("{kind:?}, {times} times");
    scene.sim.inject(Fault::new(kind).on(METRICS).times(times));

    let answer = scene.answer(records(&[state_event(&ids[0]), state_event(&ids[1])])).await;

    let found = (became(&answer, &ids[0]), became(&answer, &ids[1]));
    let Expected { in_use, unused, is_retried, calls } = expected;
    assert_eq!(found, (*in_use, *unused), "{name}: {:?}", answer.report.outcomes);
    assert_eq!(failures(&answer).len(), if *is_retried { 2 } else { 0 }, "{name}");
    let sent = if *unused == "enforced" { &ids[1..] } else { &[] };
    assert_eq!(tokens_sent(&scene), sent, "{name}");
    assert_eq!(asked_about(&scene).len(), *calls, "{name}");
    let outcome = outcome(&answer, &ids[1]);
    if *unused == "in-use" {
        let why = "CloudWatch refused to say whether the instance makes calls without a token";
        assert_eq!(outcome.reasons, [held(why)], "{name}");
        assert_eq!(outcome.warnings.len(), 1, "{name}");
        assert!(outcome.warnings[0].starts_with(PERMISSION), "{name}: {:?}", outcome.warnings);
        assert_eq!(outcome.usage, None, "{name}");
    } else if *is_retried {
        assert!(outcome.reasons[0].contains("cloudwatch:GetMetricData"), "{name}: {:?}", outcome.reasons);
        assert!(outcome.before.is_some(), "{name}: the options are known");
    }
}

#[tokio::test]
async fn a_cloudwatch_that_hangs_leaves_the_record_to_a_retry() {
    let scene = Scene::new(&[("IMDS_POLICY", GATED)]).await;
    let ids = scene.launch(old(1));
    unused(&scene, &ids);
    scene.sim.inject(Fault::new(FaultKind::Hang(None)).on(METRICS));
    let event = records(&[state_event(&ids[0])]);
    let started = std::time::Instant::now();
    let answer = scene.answer_within(event, Duration::from_secs(4)).await;
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    assert_eq!((became(&answer, &ids[0]), failures(&answer)), ("failed", vec!["m0".to_owned()]));
    assert_eq!(tokens_sent(&scene), Vec::<String>::new());
    let answer = scene.answer(state_event(&ids[0]));
    scene.sim.clear_faults();
    assert_eq!(became(&answer.await, &ids[0]), "enforced", "the retry");
}

#[tokio::test]
async fn a_refusal_holds_even_where_too_little_data_does_not() {
    const POLICY: &str =
        r#"{"baseline": {"HttpTokens": "required"}, "usageGate": {"onUnknown": "enforce", "minDays": 1}}"#;
    for kind in [FaultKind::Forbidden, FaultKind::Deny, FaultKind::PartialData, FaultKind::InternalError] {
        let scene = Scene::new(&[("IMDS_POLICY", POLICY)]).await;
        let ids = scene.launch(old(1));
        scene.sim.inject(Fault::new(kind.clone()).on(METRICS));
        let answer = scene.answer(sweep_event()).await;
        assert!(["in-use", "failed"].contains(&became(&answer, &ids[0])), "{kind:?}");
        assert_eq!(tokens_sent(&scene), Vec::<String>::new(), "{kind:?}");
    }
}

#[tokio::test]
async fn a_refused_instance_does_not_stop_the_others() {
    let scene = Scene::new(&[("IMDS_POLICY", GATED)]).await;
    let ids = scene.launch(old(3));
    unused(&scene, &ids);
    scene.sim.inject(Fault::new(FaultKind::Forbidden).on(METRICS).of(&ids[1]));
    let answer = scene.answer(sweep_event()).await;
    assert_eq!(answer.report.counts, [("enforced", 2), ("in-use", 1)].into());
    assert_eq!(became(&answer, &ids[1]), "in-use");
}

#[tokio::test]
async fn other_options_are_changed_where_cloudwatch_refuses() {
    const POLICY: &str =
        r#"{"baseline": {"HttpTokens": "required", "HttpPutResponseHopLimit": 2}, "usageGate": {}}"#;
    let scene = Scene::new(&[("IMDS_POLICY", POLICY)]).await;
    let ids = scene.launch(old(1));
    scene.sim.inject(Fault::new(FaultKind::Deny).on(METRICS));
    let answer = scene.answer(sweep_event()).await;
    assert_eq!((became(&answer, &ids[0]), tokens_sent(&scene)), ("in-use", vec![]));
    assert_eq!(scene.instance(&ids[0]).options["HttpPutResponseHopLimit"], "2");
}

#[tokio::test]
async fn a_sweep_goes_on_when_cloudwatch_fails_and_the_next_one_asks_again() {
    let scene = Scene::new(&[("IMDS_POLICY", GATED)]).await;
    let ids = scene.launch(old(2));
    unused(&scene, &ids);
    let new = scene.launch(imdsv1(1));
    scene.sim.inject(Fault::new(FaultKind::InternalError).on(METRICS));
    let answer = scene.answer(sweep_event()).await;
    assert_eq!(answer.report.counts, [("enforced", 1), ("failed", 2)].into());
    assert_eq!((tokens_sent(&scene), answer.swept.len()), (new, 1));
    assert!(answer.response.is_ok(), "the sweep is complete");
    scene.sim.clear_faults();
    let answer = scene.answer(sweep_event()).await;
    assert_eq!(answer.report.counts, [("compliant", 1), ("enforced", 2)].into());
}
