//! The simulator over HTTP, with requests written by hand.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod wire;

use std::time::Duration;

use ec2_sim::{Launch, Settings};
use time::macros::datetime;

use wire::{ACCOUNT, MODIFY, REGION, call, call_at, code, ids, start};

#[tokio::test]
async fn errors_have_ec2s_codes_and_statuses() {
    let sim = start(Settings::default()).await;
    let account_region = sim.account_region(ACCOUNT, REGION);
    let id = &account_region.launch(Launch::default())[0];
    let tagged =
        &account_region.launch(Launch { tags: vec![("a/b".into(), "c".into())], ..Launch::default() })[0];
    let off = Launch { options: vec![("HttpEndpoint".into(), "disabled".into())], ..Launch::default() };
    let off = &account_region.launch(off)[0];
    let ended = &account_region.launch(Launch { state: Some("terminated".into()), ..Launch::default() })[0];
    let stopping = &account_region.launch(Launch { state: Some("stopping".into()), ..Launch::default() })[0];
    let leaving =
        &account_region.launch(Launch { state: Some("shutting-down".into()), ..Launch::default() })[0];
    let shown =
        Launch { options: vec![("InstanceMetadataTags".into(), "enabled".into())], ..Launch::default() };
    let shown = &account_region.launch(shown)[0];
    let modify = |id: &str, rest: &str| format!("Action={MODIFY}&InstanceId={id}&{rest}");
    let many_tags: String = (1..=51).map(|n| format!("&Tag.{n}.Key=k{n}")).collect();
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
        (modify(off, "HttpEndpoint=disabled&HttpTokens=required"), 400, "InvalidParameterCombination"),
        (modify(stopping, "HttpTokens=required"), 400, "IncorrectInstanceState"),
        (modify(leaving, "HttpTokens=required"), 400, "IncorrectInstanceState"),
        (modify(shown, "DryRun=true&HttpTokens=no"), 400, "InvalidParameterValue"),
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
        (
            format!("Action=StopInstances&InstanceId.1={id}&InstanceId.2={ended}"),
            400,
            "IncorrectInstanceState",
        ),
        ("Action=StopInstances".to_owned(), 400, "MissingParameter"),
        (format!("Action=CreateTags&ResourceId.1={id}&Tag.1.Key=aws:x"), 400, "InvalidParameterValue"),
        (
            format!("Action=CreateTags&ResourceId.1={id}&Tag.1.Key={}", "k".repeat(129)),
            400,
            "InvalidParameterValue",
        ),
        (
            format!("Action=CreateTags&ResourceId.1={id}&Tag.1.Key=k&Tag.1.Value={}", "v".repeat(257)),
            400,
            "InvalidParameterValue",
        ),
        (
            format!("Action=CreateTags&ResourceId.1={id}&Tag.1.Key=k&Tag.2.Key=k"),
            400,
            "InvalidParameterValue",
        ),
        (format!("Action=CreateTags&ResourceId.1={id}{many_tags}"), 400, "TagLimitExceeded"),
        (format!("Action=CreateTags&ResourceId.1={shown}&Tag.1.Key=a/b"), 400, "InvalidParameterValue"),
        (format!("Action=CreateTags&ResourceId.1={id}"), 400, "MissingParameter"),
        ("Action=ModifyInstanceMetadataDefaults&HttpTokens=on".to_owned(), 400, "InvalidParameterValue"),
    ];
    for (body, status, expected) in rows {
        assert_eq!(code(&sim, &body).await, (status, expected.to_owned()), "{body:.120}");
    }
    let unchanged = account_region.instance(id).unwrap();
    assert_eq!((&*unchanged.options["HttpTokens"], &*unchanged.state), ("optional", "running"));
    assert!(unchanged.tags.is_empty());
    account_region.set_tokens_enforced(true);
    assert_eq!(code(&sim, &modify(id, "HttpTokens=optional")).await.1, "UnsupportedOperation");
}

#[tokio::test]
async fn a_change_is_pending_then_applied_and_keeps_other_options() {
    let sim = start(Settings { apply_delay: Duration::from_millis(100), ..Settings::default() }).await;
    let account_region = sim.account_region(ACCOUNT, REGION);
    let id = &account_region.launch(Launch {
        options: vec![("HttpPutResponseHopLimit".into(), "3".into())],
        ..Launch::default()
    })[0];
    let (status, body) =
        call(&sim, &format!("Action={MODIFY}&InstanceId={id}&HttpTokens=required")).await.unwrap();
    assert_eq!(status, 200);
    assert!(body.contains("<state>pending</state><httpTokens>required</httpTokens>"), "{body}");
    assert_eq!(account_region.instance(id).unwrap().options["HttpPutResponseHopLimit"], "3");
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(account_region.instance(id).unwrap().options_state, "applied");
}

#[tokio::test]
async fn a_stopped_instance_applies_a_change_at_its_start() {
    let delay = Duration::from_millis(150);
    let settings =
        Settings { apply_delay: delay, start_delay: delay, state_delay: delay, ..Settings::default() };
    let sim = start(settings).await;
    let account_region = sim.account_region(ACCOUNT, REGION);
    let id = &account_region.launch(Launch::default())[0];
    account_region.stop(id);
    assert_eq!(account_region.instance(id).unwrap().state, "stopping");
    tokio::time::sleep(2 * delay).await;
    account_region.modify(id, &[("HttpTokens", "required")]);
    tokio::time::sleep(4 * delay).await;
    let stopped = account_region.instance(id).unwrap();
    assert_eq!((&*stopped.state, &*stopped.options_state), ("stopped", "pending"));
    account_region.start(id);
    tokio::time::sleep(4 * delay).await;
    let running = account_region.instance(id).unwrap();
    assert_eq!((&*running.state, &*running.options_state), ("running", "applied"));
}

#[tokio::test]
async fn accounts_and_regions_are_separate() {
    let sim = start(Settings::default()).await;
    let id = &sim.account_region(ACCOUNT, REGION).launch(Launch::default())[0];
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
async fn calls_are_recorded_with_their_results() {
    let sim = start(Settings::default()).await;
    let id = &sim.account_region(ACCOUNT, REGION).launch(Launch::default())[0];
    call(&sim, &format!("Action={MODIFY}&InstanceId={id}&HttpTokens=required")).await.unwrap();
    call(&sim, "Action=Nonsense").await.unwrap();
    let calls = sim.calls();
    assert_eq!(calls.len(), 2, "the launch is not a call");
    assert_eq!(
        (&*calls[0].action, &calls[0].instance_ids, calls[0].status),
        (MODIFY, &vec![id.clone()], Some(200))
    );
    assert_eq!(calls[0].parameters["HttpTokens"], "required");
    assert_eq!((calls[1].status, calls[1].code.as_deref()), (Some(400), Some("InvalidAction")));
}

#[tokio::test]
async fn a_launch_with_the_same_client_token_is_not_repeated() {
    let sim = start(Settings::default()).await;
    for _ in 0..2 {
        call(&sim, "Action=RunInstances&MinCount=2&MaxCount=2&ClientToken=t").await.unwrap();
    }
    assert_eq!(sim.account_region(ACCOUNT, REGION).instances().len(), 2);
    let other = "Action=RunInstances&MinCount=1&MaxCount=2&ClientToken=t";
    assert_eq!(code(&sim, other).await, (400, "IdempotentParameterMismatch".to_owned()));
}

#[tokio::test]
async fn hostile_requests_get_a_response() {
    let sim = start(Settings::default()).await;
    let big =
        format!("Action=DescribeInstances&Filter.1.Name=tag-key&Filter.1.Value.1={}", "*a".repeat(50_000));
    sim.account_region(ACCOUNT, REGION)
        .launch(Launch { tags: vec![("a".repeat(128), "x".into())], ..Launch::default() });
    for body in [
        &big,
        "Action=CreateTags&ResourceId.1=%00&Tag.1.Key=%01",
        "Action=ModifyInstanceMetadataOptions&InstanceId=%00%ff&HttpPutResponseHopLimit=-99999999999999999999",
        "Action=RunInstances&MinCount=1&MaxCount=1&TagSpecification.1.Tag.1.Tag.1.Key=x",
        "Action=DescribeInstances&Filter.1.Filter.1.Name=x&Filter.0.Name=y&NextToken=sim-18446744073709551615",
        "Action=DescribeInstances&Filter.1.Name=",
        "Action=%ff%fe",
        "=&=&&&",
        "Action=RunInstances&MinCount=99999999999999999999&MaxCount=1",
    ] {
        assert!(call(&sim, body).await.unwrap().0 < 500, "{body:.60}");
    }
    assert_eq!(call(&sim, &"x".repeat(2 << 20)).await.map_or(413, |(status, _)| status), 413);
}

#[tokio::test]
async fn a_start_renews_the_launch_time() {
    let sim = start(Settings::default()).await;
    let id = &sim.account_region(ACCOUNT, REGION).launch(Launch {
        state: Some("stopped".into()),
        launch_time: Some(datetime!(2026-03-17 00:59:42 UTC)),
        ..Launch::default()
    })[0];
    let launched_in_march =
        "Action=DescribeInstances&Filter.1.Name=launch-time&Filter.1.Value.1=2026-03-17T*";
    assert_eq!(ids(&call(&sim, launched_in_march).await.unwrap().1), [id.as_str()]);
    assert_eq!(code(&sim, &format!("Action=StartInstances&InstanceId.1={id}")).await.0, 200);
    assert!(ids(&call(&sim, launched_in_march).await.unwrap().1).is_empty());
}

#[tokio::test]
async fn tags_are_deleted_by_key_by_value_and_all() {
    let sim = start(Settings::default()).await;
    let account_region = sim.account_region(ACCOUNT, REGION);
    let pairs = [("a", "1"), ("b", "2"), ("c", "3"), ("aws:autoscaling:groupName", "g")];
    let tags = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    let id = &account_region.launch(Launch { tags, ..Launch::default() })[0];
    for (tags, left) in [
        ("&Tag.1.Key=a", "aws:autoscaling:groupName b c"),
        ("&Tag.1.Key=b&Tag.1.Value=other", "aws:autoscaling:groupName b c"),
        ("&Tag.1.Key=b&Tag.1.Value=2", "aws:autoscaling:groupName c"),
        ("", "aws:autoscaling:groupName"),
    ] {
        assert_eq!(code(&sim, &format!("Action=DeleteTags&ResourceId.1={id}{tags}")).await.0, 200, "{tags}");
        let keys: Vec<String> = account_region.instance(id).unwrap().tags.into_keys().collect();
        assert_eq!(keys.join(" "), left, "after {tags:?}");
    }
}

#[tokio::test]
async fn account_defaults_apply_to_later_launches() {
    let sim = start(Settings::default()).await;
    let account_region = sim.account_region(ACCOUNT, REGION);
    let defaults = async || call(&sim, "Action=GetInstanceMetadataDefaults").await.unwrap().1;
    assert!(defaults().await.contains("<accountLevel></accountLevel>"));
    for (asked, tokens, hops) in [
        ("&HttpTokens=required&HttpPutResponseHopLimit=2", "required", "2"),
        ("&HttpTokens=no-preference&HttpPutResponseHopLimit=-1", "optional", "1"),
        ("&HttpTokensEnforced=enabled", "required", "1"),
    ] {
        let body = format!("Action=ModifyInstanceMetadataDefaults{asked}");
        assert_eq!(
            code(&sim, &format!("{body}&DryRun=true")).await,
            (412, "DryRunOperation".to_owned()),
            "{asked}"
        );
        assert_eq!(code(&sim, &body).await.0, 200, "{asked}");
        let launched = account_region.launch(Launch::default());
        let options = account_region.instance(&launched[0]).unwrap().options;
        assert_eq!(
            (&*options["HttpTokens"], &*options["HttpPutResponseHopLimit"]),
            (tokens, hops),
            "{asked}"
        );
    }
    let shown = defaults().await;
    assert!(shown.contains("<httpTokensEnforced>enabled</httpTokensEnforced>"), "{shown}");
    assert!(shown.contains("<managedBy>account</managedBy>"), "{shown}");
}

#[tokio::test]
async fn an_instance_is_not_found_before_it_is_visible() {
    let delay = Duration::from_secs(1);
    let sim = start(Settings { visibility_delay: delay, ..Settings::default() }).await;
    let id = &sim.account_region(ACCOUNT, REGION).launch(Launch::default())[0];
    let modify = format!("Action={MODIFY}&InstanceId={id}&HttpTokens=required");
    assert_eq!(code(&sim, &modify).await.1, "InvalidInstanceID.NotFound");
    assert!(ids(&call(&sim, "Action=DescribeInstances").await.unwrap().1).is_empty());
    tokio::time::sleep(delay).await;
    assert_eq!(code(&sim, &modify).await.0, 200);
}

#[tokio::test]
async fn a_setting_decides_whether_a_pending_instance_can_be_changed() {
    for (modify_while_pending, status) in [(true, 200), (false, 400)] {
        let sim = start(Settings { modify_while_pending, ..Settings::default() }).await;
        let id =
            &sim.account_region(ACCOUNT, REGION).launch(Launch { settled: false, ..Launch::default() })[0];
        let modify = format!("Action={MODIFY}&InstanceId={id}&HttpTokens=required");
        assert_eq!(code(&sim, &modify).await.0, status, "{modify_while_pending}");
    }
}
