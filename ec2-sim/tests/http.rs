//! The simulator over HTTP, with requests written by hand.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod wire;

use std::io::ErrorKind;
use std::time::Duration;

use ec2_sim::{Bucket, Buckets, Fault, FaultKind, Launch, Settings};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use wire::{ACCOUNT, MODIFY, REGION, call, call_at, code, start};

#[tokio::test]
async fn refusals_have_ec2s_codes_and_statuses() {
    let sim = start(Settings::default()).await;
    let place = sim.place(ACCOUNT, REGION);
    let id = &place.launch(Launch::default())[0];
    let tagged = &place.launch(Launch { tags: vec![("a/b".into(), "c".into())], ..Launch::default() })[0];
    let off = Launch { options: vec![("HttpEndpoint".into(), "disabled".into())], ..Launch::default() };
    let off = &place.launch(off)[0];
    let ended = &place.launch(Launch { state: Some("terminated".into()), ..Launch::default() })[0];
    let modify = |id: &str, rest: &str| format!("Action={MODIFY}&InstanceId={id}&{rest}");
    let many_ids: String = (1..=201).map(|n| format!("&Filter.1.Value.{n}=x")).collect();
    let rows = [
        ("Action=Nonsense".to_owned(), 400, "InvalidAction"),
        (format!("Action={MODIFY}&HttpTokens=required"), 400, "MissingParameter"),
        (modify("i-0123456789abcdef0", "HttpTokens=required"), 400, "InvalidInstanceID.NotFound"),
        (modify("i-nonsense", "HttpTokens=required"), 400, "InvalidInstanceID.Malformed"),
        (modify(ended, "HttpTokens=required"), 400, "IncorrectInstanceState"),
        (modify(id, ""), 400, "MissingParameter"),
        (modify(id, "HttpTokens=Required"), 400, "InvalidParameterValue"),
        (modify(id, "HttpPutResponseHopLimit=0"), 400, "InvalidParameterValue"),
        (modify(id, "HttpPutResponseHopLimit=65"), 400, "InvalidParameterValue"),
        (modify(id, "HttpPutResponseHopLimit=-1"), 400, "InvalidParameterValue"),
        (modify(id, "HttpEndpoint=on"), 400, "InvalidParameterValue"),
        (modify(tagged, "InstanceMetadataTags=enabled"), 400, "InvalidParameterValue"),
        (modify(off, "HttpTokens=required"), 400, "InvalidParameterCombination"),
        (modify(id, "HttpTokens=required&DryRun=true"), 412, "DryRunOperation"),
        ("Action=DescribeInstances&MaxResults=4".to_owned(), 400, "InvalidParameterValue"),
        (
            format!("Action=DescribeInstances&MaxResults=5&InstanceId.1={id}"),
            400,
            "InvalidParameterCombination",
        ),
        ("Action=DescribeInstances&NextToken=x".to_owned(), 400, "InvalidParameterValue"),
        (
            "Action=DescribeInstances&Filter.1.Name=colour&Filter.1.Value.1=x".to_owned(),
            400,
            "InvalidParameterValue",
        ),
        (format!("Action=DescribeInstances&Filter.1.Name=instance-id{many_ids}"), 400, "FilterLimitExceeded"),
        ("Action=RunInstances&MinCount=2&MaxCount=1".to_owned(), 400, "InvalidParameterCombination"),
        ("Action=RunInstances&MinCount=0&MaxCount=1".to_owned(), 400, "InvalidParameterValue"),
        ("Action=RunInstances&MinCount=1".to_owned(), 400, "MissingParameter"),
        (format!("Action=StartInstances&InstanceId.1={ended}"), 400, "IncorrectInstanceState"),
        (format!("Action=CreateTags&ResourceId.1={id}&Tag.1.Key=aws:x"), 400, "InvalidParameterValue"),
    ];
    for (body, status, expected) in rows {
        assert_eq!(code(&sim, &body).await, (status, expected.to_owned()), "{body:.120}");
    }
    assert_eq!(place.instance(id).unwrap().options["HttpTokens"], "optional", "nothing was changed");
    place.set_tokens_enforced(true);
    assert_eq!(code(&sim, &modify(id, "HttpTokens=optional")).await.1, "UnsupportedOperation");
}

#[tokio::test]
async fn a_change_is_pending_then_applied_and_keeps_what_it_does_not_name() {
    let sim = start(Settings { apply_delay: Duration::from_millis(100), ..Settings::default() }).await;
    let place = sim.place(ACCOUNT, REGION);
    let id = &place.launch(Launch {
        options: vec![("HttpPutResponseHopLimit".into(), "3".into())],
        ..Launch::default()
    })[0];
    let (status, body) =
        call(&sim, &format!("Action={MODIFY}&InstanceId={id}&HttpTokens=required")).await.unwrap();
    assert_eq!(status, 200);
    assert!(body.contains("<state>pending</state><httpTokens>required</httpTokens>"), "{body}");
    assert_eq!(place.instance(id).unwrap().options["HttpPutResponseHopLimit"], "3");
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(place.instance(id).unwrap().options_state, "applied");
}

#[tokio::test]
async fn a_stopped_instance_takes_a_change_at_its_start() {
    let delay = Duration::from_millis(50);
    let settings =
        Settings { apply_delay: delay, start_delay: delay, state_delay: delay, ..Settings::default() };
    let sim = start(settings).await;
    let place = sim.place(ACCOUNT, REGION);
    let id = &place.launch(Launch::default())[0];
    place.stop(id);
    assert_eq!(place.instance(id).unwrap().state, "stopping");
    tokio::time::sleep(2 * delay).await;
    place.modify(id, &[("HttpTokens", "required")]);
    tokio::time::sleep(4 * delay).await;
    let stopped = place.instance(id).unwrap();
    assert_eq!((&*stopped.state, &*stopped.options_state), ("stopped", "pending"));
    place.start(id);
    tokio::time::sleep(4 * delay).await;
    let running = place.instance(id).unwrap();
    assert_eq!((&*running.state, &*running.options_state), ("running", "applied"));
}

#[tokio::test]
async fn accounts_and_regions_are_apart() {
    let sim = start(Settings::default()).await;
    let id = &sim.place(ACCOUNT, REGION).launch(Launch::default())[0];
    for (account, region, is_shown) in [
        (ACCOUNT, REGION, true),
        ("444455556666", REGION, false),
        (ACCOUNT, "eu-west-1", false),
        ("AKID", REGION, true),
    ] {
        let (_, body) = call_at(&sim, account, region, "Action=DescribeInstances").await.unwrap();
        assert_eq!(body.contains(id.as_str()), is_shown, "{account} {region}");
    }
}

#[tokio::test]
async fn faults_happen_to_the_calls_that_they_match_and_as_often_as_asked() {
    let sim = start(Settings::default()).await;
    let place = sim.place(ACCOUNT, REGION);
    let ids = place.launch(Launch { count: 2, ..Launch::default() });
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
    sim.inject(Fault::new(FaultKind::Malformed).times(1));
    let (status, body) = call(&sim, "Action=DescribeInstances").await.unwrap();
    assert!(status == 200 && !body.ends_with("</DescribeInstancesResponse>"), "{body}");
    sim.inject(Fault::new(FaultKind::Hang(Some(Duration::from_millis(300)))).times(1));
    let started = std::time::Instant::now();
    assert!(call(&sim, "Action=DescribeInstances").await.is_err());
    assert!(started.elapsed() >= Duration::from_millis(300));
    sim.inject(Fault::new(FaultKind::Terminate).of(&ids[0]).times(1));
    assert_eq!(code(&sim, &modify(&ids[0])).await.1, "IncorrectInstanceState");
}

#[tokio::test]
async fn a_probability_is_kept_and_repeats_with_its_seed() {
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
async fn buckets_throttle_each_account_and_region_for_itself() {
    let one = Bucket { capacity: 1.0, refill: 0.001 };
    let buckets = Buckets { describe_unfiltered: one, ..Buckets::default() };
    let sim = start(Settings { buckets: Some(buckets), ..Settings::default() }).await;
    assert_eq!(code(&sim, "Action=DescribeInstances").await.0, 200);
    assert_eq!(code(&sim, "Action=DescribeInstances").await, (503, "RequestLimitExceeded".to_owned()));
    assert_eq!(code(&sim, "Action=DescribeInstances&MaxResults=5").await.0, 200);
    assert_eq!(call_at(&sim, ACCOUNT, "eu-west-1", "Action=DescribeInstances").await.unwrap().0, 200);
}

#[tokio::test]
async fn calls_are_recorded_with_their_answers() {
    let sim = start(Settings::default()).await;
    let id = &sim.place(ACCOUNT, REGION).launch(Launch::default())[0];
    call(&sim, &format!("Action={MODIFY}&InstanceId={id}&HttpTokens=required")).await.unwrap();
    call(&sim, "Action=Nonsense").await.unwrap();
    let calls = sim.calls();
    assert_eq!(calls.len(), 2, "the launch was no call");
    assert_eq!(
        (&*calls[0].action, &calls[0].instance_ids, calls[0].status),
        (MODIFY, &vec![id.clone()], Some(200))
    );
    assert_eq!(calls[0].parameters["HttpTokens"], "required");
    assert_eq!((calls[1].status, calls[1].code.as_deref()), (Some(400), Some("InvalidAction")));
}

#[tokio::test]
async fn events_are_those_that_aws_would_send() {
    let sim = start(Settings::default()).await;
    let place = sim.place(ACCOUNT, REGION);
    let id = &place.launch(Launch::default())[0];
    place.tag(id, "Team", "payments");
    place.modify(id, &[("HttpTokens", "required")]);
    place.terminate(id);
    call(&sim, "Action=RunInstances&MinCount=1&MaxCount=x").await.unwrap();
    call(&sim, "Action=RunInstances&MinCount=40&MaxCount=40&ClientToken=t").await.unwrap();
    let events = sim.take_events();
    let find = |source: &str, pointer: &str, value: &str| -> Value {
        let is_it =
            |event: &&Value| event["source"] == source && event.pointer(pointer).is_some_and(|v| v == value);
        events.iter().find(is_it).unwrap_or_else(|| panic!("{source} {pointer} {value}")).clone()
    };
    let launched = find("aws.ec2", "/detail/responseElements/instancesSet/items/0/instanceId", id);
    assert_eq!(launched["detail-type"], "AWS API Call via CloudTrail");
    assert_eq!((&launched["account"], &launched["region"]), (&ACCOUNT.into(), &REGION.into()));
    find("aws.ec2", "/detail/state", "shutting-down");
    assert_eq!(find("aws.tag", "/detail/tags/Team", "payments")["detail"]["changed-tag-keys"][0], "Team");
    let drift = "/detail/requestParameters/ModifyInstanceMetadataOptionsRequest/HttpTokens";
    find("aws.ec2", drift, "required");
    let failed = find("aws.ec2", "/detail/errorCode", "Client.InvalidParameterValue");
    assert!(failed["detail"]["responseElements"].is_null());
    let cut_off = find("aws.ec2", "/detail/requestParameters/clientToken", "t");
    assert_eq!(cut_off["detail"]["responseElements"], serde_json::json!({"omitted": true}));
    assert!(sim.take_events().is_empty(), "they are taken once");
}

#[tokio::test]
async fn a_launch_is_not_repeated_under_its_token() {
    let sim = start(Settings::default()).await;
    for _ in 0..2 {
        call(&sim, "Action=RunInstances&MinCount=2&MaxCount=2&ClientToken=t").await.unwrap();
    }
    assert_eq!(sim.place(ACCOUNT, REGION).instances().len(), 2);
}

#[tokio::test]
async fn events_are_delivered_in_order_and_again_after_a_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/invoke", listener.local_addr().unwrap());
    let sim = start(Settings { deliver_to: Some(url), ..Settings::default() }).await;
    sim.place(ACCOUNT, REGION).launch(Launch::default());
    let mut received = Vec::new();
    for answer in [r#"{"errorMessage": "no"}"#, "{}", "{}"] {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 65_536];
        let mut length = 0;
        let event: Value = loop {
            length += stream.read(&mut request[length..]).await.unwrap();
            let text = String::from_utf8_lossy(&request[..length]).into_owned();
            if let Some(event) =
                text.split_once("\r\n\r\n").and_then(|(_, body)| serde_json::from_str(body).ok())
            {
                break event;
            }
        };
        received.push(event["detail-type"].as_str().unwrap().to_owned());
        let head =
            format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", answer.len());
        stream.write_all((head + answer).as_bytes()).await.unwrap();
    }
    let (launch, state) = ("AWS API Call via CloudTrail", "EC2 Instance State-change Notification");
    assert_eq!(received, [launch, launch, state]);
}

#[tokio::test]
async fn hostile_requests_are_answered() {
    let sim = start(Settings::default()).await;
    let big =
        format!("Action=DescribeInstances&Filter.1.Name=tag-key&Filter.1.Value.1={}", "*a".repeat(50_000));
    sim.place(ACCOUNT, REGION)
        .launch(Launch { tags: vec![("a".repeat(128), "x".into())], ..Launch::default() });
    for body in [
        &big,
        "Action=DescribeInstances&Filter.1.Name=",
        "Action=%ff%fe",
        "=&=&&&",
        "Action=RunInstances&MinCount=99999999999999999999&MaxCount=1",
    ] {
        assert!(call(&sim, body).await.unwrap().0 < 500, "{body:.60}");
    }
    assert_eq!(call(&sim, &"x".repeat(2 << 20)).await.map_or(413, |(status, _)| status), 413);
}
