//! Injected faults and token buckets.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod wire;

use std::io::ErrorKind;
use std::time::Duration;

use ec2_sim::{Bucket, Buckets, Fault, FaultKind, Launch, Settings};

use wire::{ACCOUNT, MODIFY, REGION, call, call_at, code, ids, start, whole};

#[tokio::test]
async fn faults_apply_to_matching_calls_and_the_given_number_of_times() {
    let sim = start(Settings::default()).await;
    let account_region = sim.account_region(ACCOUNT, REGION);
    let ids = account_region.launch(Launch { count: 2, ..Launch::default() });
    let modify = |id: &str| format!("Action={MODIFY}&InstanceId={id}&HttpTokens=required");
    let error = FaultKind::Error { code: "Unavailable".into(), status: 503, message: "no".into() };
    for (kind, expected) in [
        (FaultKind::Throttle, (503, "RequestLimitExceeded")),
        (FaultKind::Deny, (403, "UnauthorizedOperation")),
        (FaultKind::ServerError, (500, "InternalError")),
        (FaultKind::NotVisible, (400, "InvalidInstanceID.NotFound")),
        (error, (503, "Unavailable")),
    ] {
        sim.inject(Fault::new(kind).on(MODIFY).of(&ids[0]).times(1));
        assert_eq!(code(&sim, &modify(&ids[1])).await.0, 200, "{expected:?}: the other instance");
        assert_eq!(code(&sim, "Action=DescribeInstances").await.0, 200, "{expected:?}: the other action");
        let (status, code_) = code(&sim, &modify(&ids[0])).await;
        assert_eq!((status, &*code_), expected);
        assert_eq!(code(&sim, &modify(&ids[0])).await.0, 200, "{expected:?}: once");
    }
    sim.inject(Fault::new(FaultKind::Reset).times(1));
    assert_eq!(call(&sim, "Action=DescribeInstances").await, Err(ErrorKind::ConnectionReset));
    sim.inject(Fault::new(FaultKind::Hang(Some(Duration::from_millis(300)))).times(1));
    let started = std::time::Instant::now();
    assert!(call(&sim, "Action=DescribeInstances").await.is_err());
    assert!(started.elapsed() >= Duration::from_millis(300));
    sim.inject(Fault::new(FaultKind::Terminate).of(&ids[0]).times(1));
    assert_eq!(code(&sim, &modify(&ids[0])).await.1, "IncorrectInstanceState");
}

#[tokio::test]
async fn malformed_responses_have_no_length_and_end_with_the_connection() {
    let sim = start(Settings::default()).await;
    let launch = Launch { count: 7, tags: vec![("A".into(), "b".into())], ..Launch::default() };
    let ids = sim.account_region(ACCOUNT, REGION).launch(launch);
    let describe = "Action=DescribeInstances&MaxResults=5";
    let assume = format!("Action=AssumeRole&RoleArn=arn:aws:iam::{ACCOUNT}:role/r&RoleSessionName=sweep");
    let refused = format!("Action={MODIFY}&InstanceId={}&HttpTokens=no", ids[0]);
    let second = format!("<item><instanceId>{}", ids[1]);
    let before = |text: &str| FaultKind::MalformedBefore(text.to_owned());
    for (kind, call, status, end) in [
        (before("<tagSet>"), describe, 200, "</clientToken>"),
        (before(&second), describe, 200, "</item>"),
        (before("<metadataOptions>"), describe, 200, "</networkInterfaceSet>"),
        (before("<nextToken>"), describe, 200, "</reservationSet>"),
        (before("<nothing>"), describe, 200, "</DescribeInstancesResponse>"),
        (before("</AssumeRoleResponse>"), &assume, 200, "</ResponseMetadata>"),
        (before("</Response>"), &refused, 400, "</RequestID>"),
        (before(""), describe, 200, ""),
        (FaultKind::Malformed, describe, 200, ""),
    ] {
        sim.inject(Fault::new(kind.clone()).times(1));
        let (head, body) = whole(&sim, call).await;
        let is_complete = body.ends_with("Response>");
        let has_length = head.contains("content-length") || head.contains("transfer-encoding");
        assert!(head.contains(&format!(" {status} ")), "{kind:?}: {head}");
        assert!(body.ends_with(end) && is_complete == (kind == before("<nothing>")), "{kind:?}: {body}");
        assert_eq!(has_length, is_complete, "{kind:?}: {head}");
        let recorded = (!is_complete)
            .then(|| if kind == FaultKind::Malformed { "malformed" } else { "malformed-before" });
        assert_eq!(sim.calls().pop().unwrap().fault.as_deref(), recorded, "{kind:?}");
    }
}

#[tokio::test]
async fn a_probability_is_kept_and_reproducible_with_its_seed() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let sim = start(Settings { seed: 7, ..Settings::default() }).await;
        sim.inject(Fault::new(FaultKind::Throttle).with_probability(0.2));
        let mut statuses = Vec::new();
        for _ in 0..200 {
            statuses.push(code(&sim, "Action=DescribeInstances").await.0);
        }
        runs.push(statuses);
    }
    assert_eq!(runs[0], runs[1]);
    let throttled = runs[0].iter().filter(|status| **status == 503).count();
    assert!((20..=60).contains(&throttled), "about 40 of 200, not {throttled}");
}

#[tokio::test]
async fn buckets_throttle_each_account_and_region_separately() {
    let one = Bucket { capacity: 1.0, refill: 0.001 };
    let buckets = Buckets { describe_unfiltered: one, ..Buckets::default() };
    let sim = start(Settings { buckets: Some(buckets), ..Settings::default() }).await;
    assert_eq!(code(&sim, "Action=DescribeInstances").await.0, 200);
    assert_eq!(code(&sim, "Action=DescribeInstances").await, (503, "RequestLimitExceeded".to_owned()));
    assert_eq!(code(&sim, "Action=DescribeInstances&MaxResults=5").await.0, 200);
    assert_eq!(call_at(&sim, ACCOUNT, "eu-west-1", "Action=DescribeInstances").await.unwrap().0, 200);
}

#[tokio::test]
async fn describes_without_ids_omit_instances_that_are_not_visible() {
    let sim = start(Settings::default()).await;
    let launched = sim.account_region(ACCOUNT, REGION).launch(Launch { count: 2, ..Launch::default() });
    let all = "Action=DescribeInstances";
    let other = format!("{all}&Filter.1.Name=instance-id&Filter.1.Value.1={}", launched[1]);
    let named = format!("{all}&InstanceId.1={}", launched[0]);
    sim.inject(Fault::new(FaultKind::NotVisible).of(&launched[0]).times(2));
    assert_eq!(ids(&call(&sim, &other).await.unwrap().1), launched[1..], "a call that does not name it");
    assert_eq!(ids(&call(&sim, all).await.unwrap().1), launched[1..]);
    assert_eq!(code(&sim, &named).await, (400, "InvalidInstanceID.NotFound".to_owned()));
    assert_eq!(ids(&call(&sim, all).await.unwrap().1), launched, "twice");
    sim.inject(Fault::new(FaultKind::NotVisible).times(1));
    assert!(ids(&call(&sim, all).await.unwrap().1).is_empty(), "a fault without an instance hides all");
}

#[tokio::test]
async fn calls_are_recorded_with_their_fault() {
    let sim = start(Settings::default()).await;
    let id = &sim.account_region(ACCOUNT, REGION).launch(Launch::default())[0];
    let rows = [
        (FaultKind::Throttle, "throttle", Some(503)),
        (FaultKind::Hang(Some(Duration::ZERO)), "hang", None),
        (FaultKind::Reset, "reset", None),
        (FaultKind::NotVisible, "not-visible", Some(400)),
        (FaultKind::Stop, "stop", Some(400)),
    ];
    for (kind, expected, status) in rows {
        sim.inject(Fault::new(kind).times(1));
        let _ = call(&sim, &format!("Action={MODIFY}&InstanceId={id}&HttpTokens=required")).await;
        let met = sim.calls().pop().unwrap();
        assert_eq!((met.fault.as_deref(), met.status), (Some(expected), status), "{expected}");
    }
    call(&sim, "Action=DescribeInstances").await.unwrap();
    assert_eq!(sim.calls().pop().unwrap().fault, None);
}
