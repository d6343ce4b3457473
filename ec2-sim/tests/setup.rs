//! The controls that set up instances, tags and metrics.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod wire;

use std::time::{Duration, Instant};

use ec2_sim::{Ec2Sim, Settings};
use serde_json::{Value, json};

use wire::{ACCOUNT, REGION, call, call_at, cloudwatch, code, control, ids, start, texts};

const GROUP: &str = "aws:autoscaling:groupName";

async fn launched(sim: &Ec2Sim, body: &Value) -> Vec<String> {
    let (status, answer) = control(sim, "instances", body).await;
    assert_eq!(status, 200, "{answer}");
    serde_json::from_value(answer["instanceIds"].clone()).unwrap()
}

#[tokio::test]
async fn instances_ran_before_and_a_start_renews_only_the_launch_time() {
    let sim = start(Settings { state_delay: Duration::ZERO, ..Settings::default() }).await;
    let body = json!({
        "region": "eu-west-1", "account": "444455556666", "count": 3, "image": "ami-0abc", "state": "stopped",
        "tags": {GROUP: "web", "App": "a"}, "options": {"HttpTokens": "required"},
        "launchTime": "2026-03-17T02:00:00+01:00", "firstRan": "2025-01-02T03:04:05Z",
    });
    let launched = launched(&sim, &body).await;
    let describe = "Action=DescribeInstances&Filter.1.Name=tag:aws:autoscaling:groupName&Filter.1.Value.1=web\
                    &Filter.2.Name=instance-state-name&Filter.2.Value.1=";
    let describe = |state: &str| {
        let (sim, call) = (&sim, format!("{describe}{state}"));
        async move { call_at(sim, "444455556666", "eu-west-1", &call).await.unwrap().1 }
    };
    let answer = describe("stopped").await;
    assert_eq!(ids(&answer), launched);
    for (element, expected) in [
        ("launchTime", "2026-03-17T01:00:00.000Z"),
        ("attachTime", "2025-01-02T03:04:05.000Z"),
        ("imageId", "ami-0abc"),
        ("httpTokens", "required"),
        ("httpEndpoint", "enabled"),
    ] {
        assert_eq!(texts(&answer, element), [expected; 3], "{element}");
    }
    assert!(sim.take_events().is_empty(), "their events are those of the past");
    let start = format!("Action=StartInstances&InstanceId.1={}", launched[0]);
    call_at(&sim, "444455556666", "eu-west-1", &start).await.unwrap();
    let answer = describe("pending").await;
    assert_eq!(texts(&answer, "attachTime"), ["2025-01-02T03:04:05.000Z"]);
    assert_ne!(texts(&answer, "launchTime"), ["2026-03-17T01:00:00.000Z"]);
}

#[tokio::test]
async fn ages_are_seconds_and_each_time_is_the_other_by_default() {
    let sim = start(Settings::default()).await;
    let reference = time::macros::format_description!("[year]-[month]-[day]T[hour]");
    let is_before = |text: &str, hours: i64| {
        // The clock can pass an hour during the test.
        let hour = |more: i64| {
            let time = time::OffsetDateTime::from(std::time::UNIX_EPOCH)
                + std::time::UNIX_EPOCH.elapsed().unwrap()
                - time::Duration::hours(hours + more);
            time.format(reference).unwrap()
        };
        text.starts_with(&hour(0)) || text.starts_with(&hour(1))
    };
    for (times, launch, first) in [
        (json!({}), 0, 0),
        (json!({"firstRan": 7_776_000}), 2160, 2160),
        (json!({"launchTime": 7200}), 2, 2),
        (json!({"launchTime": 7200, "firstRan": 36_000}), 2, 10),
    ] {
        let mut body = json!({"region": REGION});
        body.as_object_mut().unwrap().extend(times.as_object().unwrap().clone());
        let id = &launched(&sim, &body).await[0];
        let (_, answer) = call(&sim, &format!("Action=DescribeInstances&InstanceId.1={id}")).await.unwrap();
        let (launched, attached) = (texts(&answer, "launchTime")[0], texts(&answer, "attachTime")[0]);
        assert!(is_before(launched, launch), "{times}: {launched}");
        assert!(is_before(attached, first), "{times}: {attached}");
        assert_eq!(texts(&answer, "name"), ["running"]);
    }
}

#[tokio::test]
async fn thousands_of_instances_are_quick() {
    let sim = start(Settings::default()).await;
    let started = Instant::now();
    let launched = launched(&sim, &json!({"region": REGION, "count": 5000, "firstRan": 86_400})).await;
    let days: Value =
        (0..14).map(|day| (day.to_string(), json!(day))).collect::<serde_json::Map<_, _>>().into();
    let body = json!({"region": REGION, "instances": launched, "metric": "MetadataNoToken", "sums": days});
    assert_eq!(control(&sim, "metrics", &body).await.0, 200);
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    assert_eq!(sim.account_region(ACCOUNT, REGION).instances().len(), 5000);
}

#[tokio::test]
async fn aws_sets_tags_that_callers_cannot() {
    let sim = start(Settings::default()).await;
    let launched = launched(&sim, &json!({"region": REGION, "count": 2, "tags": {"App": "a"}})).await;
    let create = format!("Action=CreateTags&ResourceId.1={}&Tag.1.Key={GROUP}&Tag.1.Value=web", launched[0]);
    assert_eq!(code(&sim, &create).await, (400, "InvalidParameterValue".to_owned()));
    let run = format!(
        "Action=RunInstances&MinCount=1&MaxCount=1&TagSpecification.1.ResourceType=instance\
         &TagSpecification.1.Tag.1.Key={GROUP}&TagSpecification.1.Tag.1.Value=web"
    );
    assert_eq!(code(&sim, &run).await, (400, "InvalidParameterValue".to_owned()));
    let tags =
        json!({GROUP: "web", "aws:ec2launchtemplate:id": "lt-1", "aws:cloudformation:stack-name": "s"});
    let body = |ids: &[&str], tags: &Value| json!({"region": REGION, "instances": ids, "tags": tags});
    sim.take_events();
    assert_eq!(control(&sim, "tags", &body(&[&launched[0]], &tags)).await.0, 200);
    let account_region = sim.account_region(ACCOUNT, REGION);
    let found = account_region.instance(&launched[0]).unwrap().tags;
    assert_eq!((&*found[GROUP], &*found["App"], found.len()), ("web", "a", 4));
    assert_eq!(sim.take_events()[0]["detail-type"], "Tag Change on Resource");
    let unknown = [&*launched[1], "i-0fffffffffffffff0"];
    assert_eq!(control(&sim, "tags", &body(&unknown, &tags)).await.0, 400);
    assert_eq!(control(&sim, "tags", &body(&[&launched[1]], &json!({"": "x"}))).await.0, 400);
    assert_eq!(account_region.instance(&launched[1]).unwrap().tags.len(), 1, "refused as a whole");
    account_region.tag_as_aws(&launched[1], GROUP, "web");
    assert_eq!(account_region.instance(&launched[1]).unwrap().tags[GROUP], "web");
}

#[tokio::test]
async fn metrics_are_set_by_days_and_times() {
    let sim = start(Settings::default()).await;
    let body =
        |sums: Value| json!({"region": REGION, "instances": ["i-1", "i-2"], "metric": "M", "sums": sums});
    let values = || async {
        let metric = |id: &str| {
            let dimensions = json!([{"Name": "InstanceId", "Value": id}]);
            json!({"Namespace": "AWS/EC2", "MetricName": "M", "Dimensions": dimensions})
        };
        let query = |id: &str| {
            json!({"Id": id.replace('-', ""), "MetricStat": {
            "Metric": metric(id), "Period": 86_400, "Stat": "Sum"}})
        };
        let input = json!({
            "MetricDataQueries": [query("i-1"), query("i-2")], "StartTime": 1_700_000_000, "EndTime": 4_000_000_000u32,
        });
        let (_, answer) = cloudwatch(&sim, "GetMetricData", &input).await;
        let results = answer["MetricDataResults"].as_array().unwrap().iter();
        results.map(|result| result["Values"].clone()).collect::<Vec<_>>()
    };
    let sums =
        json!({"2026-03-17": 5, "2026-03-17T09:05:00Z": 2, "2026-03-16T23:00:00-02:00": 1, "2026-03-15": 9});
    assert_eq!(control(&sim, "metrics", &body(sums)).await.0, 200);
    assert_eq!(values().await, [json!([8.0, 9.0]), json!([8.0, 9.0])]);
    assert_eq!(control(&sim, "metrics", &body(json!({"2026-03-17": null, "2026-03-15": 0}))).await.0, 200);
    assert_eq!(values().await, [json!([0.0]), json!([0.0])]);
    assert_eq!(control(&sim, "metrics", &body(json!({"0": 7, "1": 6}))).await.0, 200);
    assert_eq!(values().await[0], json!([7.0, 6.0, 0.0]), "today and yesterday");
}

#[tokio::test]
async fn invalid_controls_are_refused_and_change_nothing() {
    let sim = start(Settings::default()).await;
    for (name, body) in [
        ("instances", json!({})),
        ("instances", json!({"region": REGION, "count": 0})),
        ("instances", json!({"region": REGION, "count": 100_001})),
        ("instances", json!({"region": REGION, "age": 5})),
        ("instances", json!({"region": REGION, "state": "asleep"})),
        ("instances", json!({"region": REGION, "options": {"HttpTokens": "never"}})),
        ("instances", json!({"region": REGION, "options": {"Tokens": "required"}})),
        ("instances", json!({"region": REGION, "tags": {"": "x"}})),
        ("instances", json!({"region": REGION, "firstRan": "yesterday"})),
        ("instances", json!({"region": REGION, "firstRan": -5})),
        ("instances", json!({"region": REGION, "firstRan": u64::MAX})),
        ("instances", json!({"region": REGION, "firstRan": 10, "launchTime": 20})),
        ("tags", json!({"region": REGION, "instances": ["i-0fffffffffffffff0"], "tags": {"a": "b"}})),
        ("tags", json!({"region": REGION, "instances": []})),
        ("metrics", json!({"region": REGION, "instances": ["i-1"], "metric": "M", "sums": {"today": 1}})),
        ("metrics", json!({"region": REGION, "instances": ["i-1"], "metric": "M", "sums": {"0": "1"}})),
        ("metrics", json!(1)),
    ] {
        let (status, answer) = control(&sim, name, &body).await;
        assert_eq!(status, 400, "{name} {body}: {answer}");
        assert!(answer["error"].is_string(), "{name} {body}: {answer}");
    }
    assert!(sim.account_region(ACCOUNT, REGION).instances().is_empty());
}
