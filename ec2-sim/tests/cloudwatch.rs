//! CloudWatch's GetMetricData and PutMetricData in JSON. tests/python/ has the same in CBOR.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod wire;

use ec2_sim::{Ec2Sim, Settings};
use serde_json::{Value, json};
use time::macros::{date, datetime};
use time::{Date, OffsetDateTime, Time};

use wire::{ACCOUNT, REGION, cloudwatch, cloudwatch_at, start};

const METRIC: &str = "MetadataNoToken";
const DAY: Date = date!(2026 - 03 - 17);

fn midnight(day: Date) -> i64 {
    OffsetDateTime::new_utc(day, Time::MIDNIGHT).unix_timestamp()
}

fn query(number: usize, instance: &str, period: u32) -> Value {
    let dimensions = json!([{"Name": "InstanceId", "Value": instance}]);
    let metric = json!({"Namespace": "AWS/EC2", "MetricName": METRIC, "Dimensions": dimensions});
    json!({"Id": format!("q{number}"), "MetricStat": {"Metric": metric, "Period": period, "Stat": "Sum"}})
}

/// The input for daily sums of instances from two days before `DAY` to its end.
fn daily(instances: &[String]) -> Value {
    let queries: Vec<Value> =
        instances.iter().enumerate().map(|(number, id)| query(number, id, 86_400)).collect();
    json!({
        "MetricDataQueries": queries, "StartTime": midnight(DAY) - 2 * 86_400, "EndTime": midnight(DAY) + 86_400,
    })
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("i-{number:017x}")).collect()
}

/// The status and the values of each result, by its id.
fn results(answer: &Value) -> Vec<(String, String, Vec<f64>)> {
    let text = |result: &Value, name: &str| result[name].as_str().unwrap().to_owned();
    let values = |result: &Value| serde_json::from_value(result["Values"].clone()).unwrap();
    let results = answer["MetricDataResults"].as_array().unwrap().iter();
    results.map(|result| (text(result, "Id"), text(result, "StatusCode"), values(result))).collect()
}

/// Three instances, of which the first has data on two days, the second on one and the third on none.
async fn three(settings: Settings) -> (Ec2Sim, Vec<String>) {
    let (sim, ids) = (start(settings).await, names(3));
    let account_region = sim.account_region(ACCOUNT, REGION);
    let before = DAY.previous_day().unwrap();
    account_region.set_daily_sums(&ids[..1], METRIC, &[(before, Some(3.0)), (DAY, Some(0.0))]);
    account_region.set_daily_sums(&ids[1..2], METRIC, &[(DAY, Some(7.5))]);
    (sim, ids)
}

fn row(id: &str, status: &str, values: &[f64]) -> (String, String, Vec<f64>) {
    (id.to_owned(), status.to_owned(), values.to_vec())
}

#[tokio::test]
async fn daily_sums_are_returned_from_the_newest() {
    let (sim, ids) = three(Settings::default()).await;
    let mut input = daily(&ids);
    let (status, answer) = cloudwatch(&sim, "GetMetricData", &input).await;
    let day = midnight(DAY);
    let expected = json!({
        "Id": "q0", "Label": METRIC, "Timestamps": [day, day - 86_400], "Values": [0.0, 3.0],
        "StatusCode": "Complete",
    });
    assert_eq!((status, &answer["MetricDataResults"][0]), (200, &expected));
    let rest = [row("q1", "Complete", &[7.5]), row("q2", "Complete", &[])];
    assert_eq!(results(&answer)[1..], rest, "no data is complete");
    assert_eq!(answer["NextToken"], Value::Null);
    input["ScanBy"] = "TimestampAscending".into();
    let (_, answer) = cloudwatch(&sim, "GetMetricData", &input).await;
    assert_eq!(results(&answer)[0], row("q0", "Complete", &[3.0, 0.0]));
    input["EndTime"] = day.into();
    let (_, answer) = cloudwatch(&sim, "GetMetricData", &input).await;
    assert_eq!(results(&answer)[..2], [row("q0", "Complete", &[3.0]), row("q1", "Complete", &[])]);
    for (account, region) in [("444455556666", REGION), (ACCOUNT, "eu-west-1")] {
        let (_, answer) = cloudwatch_at(&sim, account, region, "GetMetricData", &daily(&ids)).await;
        assert_eq!(results(&answer)[0], row("q0", "Complete", &[]), "{account} {region}");
    }
}

#[tokio::test]
async fn hours_begin_on_the_hour() {
    let sim = start(Settings::default()).await;
    let (id, account_region) = (&names(1)[0], sim.account_region(ACCOUNT, REGION));
    for (time, sum) in [
        (datetime!(2026-03-17 9:05:30 UTC), 1.0),
        (datetime!(2026-03-17 9:59 UTC), 2.0),
        (datetime!(2026-03-17 10:00 UTC), 4.0),
        (datetime!(2026-03-17 10:00:59 UTC), 8.0),
    ] {
        account_region.set_sum(id, METRIC, time, Some(sum));
    }
    let (start, end) = (datetime!(2026-03-17 8:30 UTC), datetime!(2026-03-17 11:30 UTC));
    let input = json!({
        "MetricDataQueries": [query(0, id, 3600)], "StartTime": start.unix_timestamp(), "EndTime": end.unix_timestamp(),
    });
    let (_, answer) = cloudwatch(&sim, "GetMetricData", &input).await;
    assert_eq!(results(&answer), [row("q0", "Complete", &[8.0, 3.0])], "the minute 10:00 was replaced");
    let hours = [datetime!(2026-03-17 10:00 UTC), datetime!(2026-03-17 9:00 UTC)];
    let hours = hours.map(OffsetDateTime::unix_timestamp);
    assert_eq!(answer["MetricDataResults"][0]["Timestamps"], json!(hours));
}

#[tokio::test]
async fn what_goes_on_in_the_next_page_is_partial() {
    let (sim, ids) = three(Settings { datapoints_per_page: 1, ..Settings::default() }).await;
    let mut input = daily(&ids);
    let mut pages = Vec::new();
    loop {
        let (_, answer) = cloudwatch(&sim, "GetMetricData", &input).await;
        pages.push(results(&answer));
        let Some(token) = answer["NextToken"].as_str() else { break };
        input["NextToken"] = token.into();
    }
    let expected = [
        vec![row("q0", "PartialData", &[0.0])],
        vec![row("q0", "Complete", &[3.0])],
        vec![row("q1", "Complete", &[7.5]), row("q2", "Complete", &[])],
    ];
    assert_eq!(pages, expected);
    let sim = three(Settings::default()).await.0;
    let mut input = daily(&ids);
    input["MaxDatapoints"] = 2.into();
    let (_, answer) = cloudwatch(&sim, "GetMetricData", &input).await;
    assert_eq!(results(&answer), [row("q0", "Complete", &[0.0, 3.0])]);
    assert!(answer["NextToken"].is_string(), "{answer}");
}

#[tokio::test]
async fn what_was_put_is_found() {
    let sim = start(Settings::default()).await;
    let (id, time) = (&names(1)[0], midnight(DAY) + 3600);
    let dimensions = json!([{"Name": "InstanceId", "Value": id}]);
    let datum = |values: Value| {
        let mut datum = json!({"MetricName": METRIC, "Dimensions": dimensions, "Timestamp": time});
        datum.as_object_mut().unwrap().extend(values.as_object().unwrap().clone());
        datum
    };
    let statistics = json!({"SampleCount": 9, "Sum": 4, "Minimum": 0, "Maximum": 2});
    let data = [
        datum(json!({"Value": 1})),
        datum(json!({"Values": [2.0, 3.0], "Counts": [1, 2]})),
        datum(json!({"Values": [16]})),
        datum(json!({"StatisticValues": statistics})),
    ];
    let input = json!({"Namespace": "AWS/EC2", "MetricData": data});
    assert_eq!(cloudwatch(&sim, "PutMetricData", &input).await, (200, json!({})));
    let (_, answer) = cloudwatch(&sim, "GetMetricData", &daily(&names(1))).await;
    assert_eq!(results(&answer), [row("q0", "Complete", &[29.0])]);
    let mut elsewhere = daily(&names(1));
    elsewhere["MetricDataQueries"][0]["MetricStat"]["Metric"]["Namespace"] = "Custom".into();
    let (_, answer) = cloudwatch(&sim, "GetMetricData", &elsewhere).await;
    assert_eq!(results(&answer), [row("q0", "Complete", &[])]);
    let invalid = [
        (json!({"Value": 1, "Values": [1]}), "InvalidParameterCombinationException"),
        (json!({"Values": [1], "Counts": [1, 2]}), "InvalidParameterValueException"),
        (json!({}), "MissingRequiredParameterException"),
        (json!({"Value": 1, "Timestamp": 1e300}), "InvalidParameterValueException"),
        (json!({"Value": "1"}), "ValidationException"),
    ];
    for (values, shape) in invalid {
        let input = json!({"Namespace": "AWS/EC2", "MetricData": [datum(json!({"Value": 64})), datum(values.clone())]});
        let (status, answer) = cloudwatch(&sim, "PutMetricData", &input).await;
        assert_eq!(status, 400, "{values}");
        assert!(answer["__type"].as_str().unwrap().ends_with(shape), "{values}: {answer}");
    }
    let (_, answer) = cloudwatch(&sim, "GetMetricData", &daily(&names(1))).await;
    assert_eq!(results(&answer), [row("q0", "Complete", &[29.0])], "refused calls add nothing");
}

#[tokio::test]
async fn queries_that_cloudwatch_refuses_are_refused() {
    let sim = start(Settings::default()).await;
    let change = |pointer: &str, value: Value| {
        let mut input = daily(&names(2));
        *input.pointer_mut(pointer).unwrap() = value;
        input
    };
    let with = |name: &str, value: Value| {
        let mut input = daily(&names(2));
        input[name] = value;
        input
    };
    for (input, shape) in [
        (daily(&names(501)), "ValidationException"),
        (daily(&[]), "ValidationException"),
        (change("/MetricDataQueries/1/Id", "q0".into()), "ValidationException"),
        (change("/MetricDataQueries/1/Id", "Q".into()), "ValidationException"),
        (change("/MetricDataQueries/1/Id", Value::Null), "ValidationException"),
        (change("/MetricDataQueries/1/MetricStat", Value::Null), "ValidationException"),
        (change("/MetricDataQueries/1/MetricStat/Stat", "p99".into()), "ValidationException"),
        (change("/MetricDataQueries/1/MetricStat/Period", 90.into()), "ValidationException"),
        (change("/MetricDataQueries/1/MetricStat/Period", 0.into()), "ValidationException"),
        (change("/StartTime", midnight(DAY).saturating_add(86_400).into()), "ValidationException"),
        (change("/EndTime", "tomorrow".into()), "ValidationException"),
        (with("MaxDatapoints", 100_801.into()), "ValidationException"),
        (with("NextToken", "other".into()), "InvalidNextToken"),
        (json!([]), "SerializationException"),
    ] {
        let (status, answer) = cloudwatch(&sim, "GetMetricData", &input).await;
        assert_eq!(status, 400, "{answer}");
        assert!(answer["__type"].as_str().unwrap().ends_with(shape), "{shape}: {answer}");
    }
    let (status, _) = cloudwatch(&sim, "GetMetricData", &daily(&names(500))).await;
    assert_eq!(status, 200, "500 queries");
    let (status, answer) = cloudwatch(&sim, "ListMetrics", &json!({})).await;
    assert_eq!(
        (status, &answer["__type"]),
        (404, &json!("com.amazon.coral.service#UnknownOperationException"))
    );
}

#[tokio::test]
async fn calls_are_recorded_with_their_instances_and_what_is_common() {
    let (sim, ids) = three(Settings::default()).await;
    cloudwatch(&sim, "GetMetricData", &daily(&ids)).await;
    let call = sim.calls().pop().unwrap();
    assert_eq!((&*call.action, &*call.account, &*call.region), ("GetMetricData", ACCOUNT, REGION));
    assert_eq!((call.instance_ids, call.status), (ids, Some(200)));
    let parameters = [
        ("MetricDataQueries", "3"),
        ("MetricName", METRIC),
        ("Namespace", "AWS/EC2"),
        ("Period", "86400"),
        ("Stat", "Sum"),
    ];
    for (name, value) in parameters {
        assert_eq!(call.parameters[name], value, "{name}");
    }
}
