//! Which days and which calls count.

use crate::support::*;
use crate::*;

/// A policy that requires tokens behind this gate.
fn gate(gate: &str) -> String {
    format!(
        r#"{{"baseline": {{"HttpTokens": "required"}}, "usageGate": {gate}, "limits": {{"changesPerSweep": 200}}}}"#
    )
}

/// The outcome and the reasons of an instance that first ran 90 days ago, and the calls that count.
async fn judged(policy: &str, calls: &[(i64, f64)]) -> (String, Vec<String>, Value) {
    let scene = Scene::new(&[("IMDS_POLICY", policy)]).await;
    let ids = scene.launch(old(1));
    used(&scene, &ids, calls);
    let answer = scene.answer(sweep_event()).await;
    let found = reported(&answer, &ids[0]);
    let is_enforced = found["outcome"] == "enforced";
    assert_eq!(tokens_sent(&scene).len(), usize::from(is_enforced), "{found}");
    let reasons = outcome(&answer, &ids[0]).reasons.clone();
    (became(&answer, &ids[0]).to_owned(), reasons, found["usage"].clone())
}

/// The days from `from` to `to` days ago without calls.
fn quiet(from: i64, to: i64) -> Vec<(i64, f64)> {
    (to..=from).map(|ago| (ago, 0.0)).collect()
}

#[tokio::test]
async fn tolerated_calls_do_not_count() {
    let policy = gate(r#"{"toleratedCalls": 10}"#);
    for (calls, expected) in [(10.0, "enforced"), (11.0, "in-use"), (10.5, "in-use")] {
        let found = judged(&policy, &[quiet(14, 2), vec![(1, calls)]].concat()).await;
        assert_eq!(found.0, expected, "{calls}: {found:?}");
        assert_eq!(found.2["calls"], calls.ceil() as u64, "tolerated calls are reported");
    }
    // Over the whole lookback, not a day.
    let found = judged(&policy, &(0..=14).map(|ago| (ago, 1.0)).collect::<Vec<_>>()).await;
    assert_eq!((&*found.0, &found.2["calls"]), ("in-use", &json!(15)));
}

#[tokio::test]
async fn the_lookback_begins_at_midnight() {
    for (ago, expected) in [(0, "in-use"), (14, "in-use"), (15, "enforced"), (60, "enforced")] {
        let found = judged(GATED, &[quiet(14, 0), vec![(ago, 1.0)]].concat()).await;
        assert_eq!(found.0, expected, "{ago} days ago: {found:?}");
    }
    let found = judged(GATED, &[quiet(14, 0), vec![(14, 1.0)]].concat()).await;
    assert_eq!(found.1, [held(&format!("1 call without a token in 14 days, the last on {}", day(14)))]);
    for (days, ago, expected) in
        [(90, 90, "in-use"), (90, 91, "enforced"), (1, 1, "in-use"), (1, 2, "enforced")]
    {
        let policy = gate(&format!(r#"{{"lookbackDays": {days}}}"#));
        let found = judged(&policy, &[quiet(90, 0), vec![(ago, 1.0)]].concat()).await;
        assert_eq!((&*found.0, &found.2["days"]), (expected, &json!(days)), "{days}, {ago} days ago");
    }
}

#[tokio::test]
async fn too_few_days_with_data_are_what_on_unknown_is_for() {
    let enforce = gate(r#"{"onUnknown": "enforce"}"#);
    for (days, held_back) in [(0, true), (3, true), (6, true), (7, false), (15, false)] {
        let calls: Vec<_> = (0..days).map(|ago| (ago, 0.0)).collect();
        let found = judged(GATED, &calls).await;
        if held_back {
            let expected = [held(&format!("observed on {days} of 7 days"))];
            assert_eq!((&*found.0, &*found.1), ("in-use", &expected[..]), "{days}");
            assert_eq!(found.2, json!({"calls": 0, "days": 14}), "{days}");
        } else {
            assert_eq!(found.0, "enforced", "{days}");
        }
        assert_eq!(judged(&enforce, &calls).await.0, "enforced", "{days}: onUnknown is enforce");
    }
    // Calls hold an instance back on however few days.
    for policy in [GATED, &enforce] {
        let found = judged(policy, &[(2, 3.0)]).await;
        let expected = [held(&format!("3 calls without a token in 14 days, the last on {}", day(2)))];
        assert_eq!((&*found.0, &*found.1), ("in-use", &expected[..]));
    }
}

#[tokio::test]
async fn min_days_is_at_most_the_lookback_and_days_before_it_are_no_data() {
    let rows = [
        (r#"{"minDays": 1}"#, vec![(0, 0.0)], "enforced"),
        (r#"{"minDays": 14}"#, quiet(13, 1), "in-use"),
        (r#"{"minDays": 14}"#, quiet(14, 1), "enforced"),
        (r#"{"lookbackDays": 2}"#, vec![(0, 0.0)], "in-use"),
        (r#"{"lookbackDays": 2}"#, quiet(1, 0), "enforced"),
        (r#"{"minDays": 7}"#, quiet(40, 15), "in-use"),
    ];
    for (text, calls, expected) in rows {
        let found = judged(&gate(text), &calls).await;
        assert_eq!(found.0, expected, "{text} {calls:?}: {found:?}");
    }
}

#[tokio::test]
async fn days_before_the_instance_first_ran_are_not_looked_at() {
    let scene = Scene::new(&[("IMDS_POLICY", GATED)]).await;
    let ids = scene.launch(ran_for(1, Duration::days(8)));
    // Data of another instance, whose ID it cannot have had; the day itself counts.
    used(&scene, &ids, &[quiet(8, 0), vec![(9, 7.0)]].concat());
    let answer = scene.answer(sweep_event()).await;
    assert_eq!(became(&answer, &ids[0]), "enforced");
    let asked = scene.calls(METRICS).remove(0).parameters["StartTime"].parse::<f64>().unwrap();
    assert_eq!(asked as i64, day(8).midnight().assume_utc().unix_timestamp());

    let scene = Scene::new(&[("IMDS_POLICY", GATED)]).await;
    let ids = scene.launch(ran_for(1, Duration::days(8)));
    used(&scene, &ids, &[quiet(8, 0), vec![(8, 7.0)]].concat());
    assert_eq!(became(&scene.answer(sweep_event()).await, &ids[0]), "in-use");
}
