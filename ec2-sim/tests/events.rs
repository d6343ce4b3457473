//! The events that AWS would send.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod wire;

use std::time::Duration;

use ec2_sim::{AccountRegion, Ec2Sim, Fault, FaultKind, Launch, Settings};
use serde_json::{Value, json};

use wire::{ACCOUNT, MODIFY, REGION, call, start};

#[tokio::test]
async fn events_are_those_that_aws_would_send() {
    let sim = start(Settings::default()).await;
    let account_region = sim.account_region(ACCOUNT, REGION);
    let id = &account_region.launch(Launch::default())[0];
    account_region.tag(id, "Team", "payments");
    account_region.modify(id, &[("HttpTokens", "required")]);
    account_region.terminate(id);
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
    assert_eq!(cut_off["detail"]["responseElements"], json!({"omitted": true}));
    assert!(sim.take_events().is_empty(), "events are taken once");
}

/// The events that a call causes immediately.
async fn events_of(sim: &Ec2Sim, body: &str) -> Vec<Value> {
    sim.take_events();
    call(sim, body).await.unwrap();
    sim.take_events()
}

#[tokio::test]
async fn calls_that_fail_are_recorded_by_cloudtrail_and_change_nothing() {
    let sim = start(Settings::default()).await;
    let id = &sim.account_region(ACCOUNT, REGION).launch(Launch::default())[0];
    let modify = format!("Action={MODIFY}&InstanceId={id}&HttpTokens=required");
    let run = "Action=RunInstances&MinCount=1&MaxCount=1".to_owned();
    let unavailable = FaultKind::Error { code: "Unavailable".into(), status: 503, message: "no".into() };
    let rows = [
        (format!("{modify}&DryRun=true"), None, "Client.DryRunOperation"),
        (format!("{run}&DryRun=true"), None, "Client.DryRunOperation"),
        (format!("Action={MODIFY}&HttpTokens=required"), None, "Client.MissingParameter"),
        (modify.clone(), Some(FaultKind::Deny), "Client.UnauthorizedOperation"),
        (run.clone(), Some(FaultKind::Deny), "Client.UnauthorizedOperation"),
        (modify.clone(), Some(FaultKind::Throttle), "Client.RequestLimitExceeded"),
        (modify.clone(), Some(unavailable), "Server.Unavailable"),
    ];
    for (body, kind, expected) in rows {
        if let Some(kind) = kind {
            sim.inject(Fault::new(kind).times(1));
        }
        let events = events_of(&sim, &body).await;
        assert_eq!(events.len(), 1, "{body} {expected}");
        assert_eq!(events[0]["detail"]["errorCode"], expected, "{body}");
        assert_eq!(events[0]["detail"]["responseElements"], Value::Null, "{body}");
    }
    sim.inject(Fault::new(FaultKind::Reset).times(1));
    assert!(call(&sim, &modify).await.is_err());
    assert!(sim.take_events().is_empty(), "the call did not reach EC2");
}

#[tokio::test]
async fn a_launch_is_recorded_with_its_parameters_and_response() {
    let sim = start(Settings { start_delay: Duration::from_secs(9), ..Settings::default() }).await;
    let body = "Action=RunInstances&MinCount=2&MaxCount=3&ImageId=ami-0abcdef1234567890&ClientToken=t\
                &TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=Team\
                &TagSpecification.1.Tag.1.Value=a&MetadataOptions.HttpPutResponseHopLimit=3";
    let events = events_of(&sim, body).await;
    let kinds: Vec<&str> = events.iter().map(|event| event["detail-type"].as_str().unwrap()).collect();
    let state = "EC2 Instance State-change Notification";
    assert_eq!(kinds, ["AWS API Call via CloudTrail", state, state, state], "the record, then the states");
    let detail = &events[0]["detail"];
    let asked = json!({"minCount": 2, "maxCount": 3, "imageId": "ami-0abcdef1234567890"});
    assert_eq!(detail["requestParameters"]["instancesSet"]["items"], json!([asked]));
    assert_eq!(detail["requestParameters"]["clientToken"], "t");
    assert_eq!((&detail["eventVersion"], &detail["eventName"]), (&json!("1.11"), &json!("RunInstances")));
    let items = detail["responseElements"]["instancesSet"]["items"].as_array().unwrap();
    assert_eq!(items.len(), 3);
    assert_eq!(items[0]["tagSet"], json!({"items": [{"key": "Team", "value": "a"}]}));
    assert_eq!(items[0]["operator"], json!({"managed": false}));
    assert_eq!(
        items[0]["metadataOptions"],
        json!({
            "state": "pending", "httpTokens": "optional", "httpPutResponseHopLimit": 3, "httpEndpoint": "enabled",
            "httpProtocolIpv4": "enabled", "httpProtocolIpv6": "disabled", "instanceMetadataTags": "disabled",
        })
    );
    let id = items[0]["instanceId"].as_str().unwrap();
    assert_eq!(events[1]["resources"], json!([format!("arn:aws:ec2:{REGION}:{ACCOUNT}:instance/{id}")]));
    assert_eq!(events[1]["detail"], json!({"instance-id": id, "state": "pending"}));
}

#[tokio::test]
async fn every_state_change_sends_an_event() {
    let delay = Duration::from_millis(100);
    let sim = start(Settings { start_delay: delay, state_delay: delay, ..Settings::default() }).await;
    let account_region = sim.account_region(ACCOUNT, REGION);
    let id = &account_region.launch(Launch { settled: false, ..Launch::default() })[0];
    let mut told = Vec::new();
    for act in [AccountRegion::stop, AccountRegion::start, AccountRegion::terminate] {
        tokio::time::sleep(2 * delay).await;
        told.extend(sim.take_events());
        act(&account_region, id);
    }
    tokio::time::sleep(2 * delay).await;
    told.extend(sim.take_events());
    let states: Vec<&str> = told.iter().filter_map(|event| event["detail"]["state"].as_str()).collect();
    let expected = "pending running stopping stopped pending running shutting-down terminated";
    assert_eq!(states.join(" "), expected);
}

#[tokio::test]
async fn tag_changes_name_only_the_keys_that_changed() {
    let sim = start(Settings::default()).await;
    let account_region = sim.account_region(ACCOUNT, REGION);
    let id = &account_region.launch(Launch { tags: vec![("a".into(), "1".into())], ..Launch::default() })[0];
    let body =
        format!("Action=CreateTags&ResourceId.1={id}&Tag.1.Key=a&Tag.1.Value=1&Tag.2.Key=b&Tag.2.Value=2");
    let events = events_of(&sim, &body).await;
    assert_eq!((&events[0]["source"], events.len()), (&json!("aws.tag"), 1));
    assert_eq!(events[0]["detail"]["changed-tag-keys"], json!(["b"]));
    assert_eq!(events[0]["detail"]["tags"], json!({"a": "1", "b": "2"}));
    assert!(events_of(&sim, &body).await.is_empty(), "nothing changed");
}
