//! Faults of CloudWatch.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod wire;

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use ec2_sim::{Bucket, Buckets, Ec2Sim, Fault, FaultKind, Settings};
use serde_json::{Value, json};
use time::macros::{date, datetime};

use wire::{ACCOUNT, REGION, authorization, call, cloudwatch, cloudwatch_whole, http, start, target};

const METRIC: &str = "MetadataNoToken";

fn input(instances: &[String]) -> Value {
    let queries = instances.iter().enumerate().map(|(number, id)| {
        let dimensions = json!([{"Name": "InstanceId", "Value": id}]);
        let metric = json!({"Namespace": "AWS/EC2", "MetricName": METRIC, "Dimensions": dimensions});
        json!({"Id": format!("q{number}"), "MetricStat": {"Metric": metric, "Period": 86_400, "Stat": "Sum"}})
    });
    json!({
        "MetricDataQueries": queries.collect::<Vec<_>>(),
        "StartTime": datetime!(2026-03-15 0:00 UTC).unix_timestamp(),
        "EndTime": datetime!(2026-03-18 0:00 UTC).unix_timestamp(),
    })
}

/// Two instances with 3, 2 and 1 calls on three days, from the newest.
async fn two(settings: Settings) -> (Ec2Sim, Vec<String>) {
    let (sim, ids) = (start(settings).await, vec!["i-1".to_owned(), "i-2".to_owned()]);
    let days = [date!(2026 - 03 - 15), date!(2026 - 03 - 16), date!(2026 - 03 - 17)];
    let sums: Vec<_> = days.into_iter().zip([1.0, 2.0, 3.0]).map(|(day, sum)| (day, Some(sum))).collect();
    sim.account_region(ACCOUNT, REGION).set_daily_sums(&ids, METRIC, &sums);
    (sim, ids)
}

/// `STATUS VALUES` of each result on a page, and whether a page follows.
async fn page(sim: &Ec2Sim, input: &Value) -> (Vec<String>, Option<String>) {
    let (status, answer) = cloudwatch(sim, "GetMetricData", input).await;
    assert_eq!(status, 200, "{answer}");
    let results = answer["MetricDataResults"].as_array().unwrap().iter();
    let results = results.map(|r| format!("{} {}", r["StatusCode"].as_str().unwrap(), r["Values"]));
    (results.collect(), answer["NextToken"].as_str().map(str::to_owned))
}

const COMPLETE: &str = "Complete [3.0,2.0,1.0]";

#[tokio::test]
async fn results_fail_for_one_instance_or_for_all() {
    let (sim, ids) = two(Settings::default()).await;
    for (kind, expected) in [
        (FaultKind::Forbidden, "Forbidden []"),
        (FaultKind::PartialData, "PartialData [3.0]"),
        (FaultKind::InternalError, "InternalError []"),
    ] {
        sim.inject(Fault::new(kind.clone()).of("i-2").times(1));
        assert_eq!(page(&sim, &input(&ids[..1])).await.0, [COMPLETE], "{kind:?}: not asked for");
        assert_eq!(page(&sim, &input(&ids)).await.0, [COMPLETE, expected], "{kind:?}");
        let recorded = sim.calls().pop().unwrap();
        let name = format!("{kind:?}");
        let name = name.chars().filter(char::is_ascii_alphabetic).collect::<String>().to_lowercase();
        assert_eq!(recorded.fault.unwrap().replace('-', ""), name);
        assert_eq!(page(&sim, &input(&ids)).await.0, [COMPLETE, COMPLETE], "{kind:?}: once");
        sim.inject(Fault::new(kind.clone()).times(1));
        call(&sim, "Action=DescribeInstances").await.unwrap();
        assert_eq!(page(&sim, &input(&ids)).await.0, [expected, expected], "{kind:?}: all");
    }
}

#[tokio::test]
async fn results_fail_where_they_end() {
    let (sim, ids) = two(Settings { datapoints_per_page: 2, ..Settings::default() }).await;
    sim.inject(Fault::new(FaultKind::PartialData).of("i-2").times(1));
    let mut input = input(&ids);
    let mut pages = Vec::new();
    loop {
        let (results, token) = page(&sim, &input).await;
        pages.push(results);
        let Some(token) = token else { break };
        input["NextToken"] = token.into();
    }
    let expected = [
        vec!["PartialData [3.0,2.0]"],
        vec!["Complete [1.0]", "PartialData [3.0]"],
        // One of the two points that are left.
        vec!["PartialData [2.0]"],
    ];
    assert_eq!(pages, expected);
    let faults: Vec<_> = sim.calls().into_iter().map(|call| call.fault).collect();
    assert_eq!(faults, [None, None, Some("partial-data".to_owned())]);
}

#[tokio::test]
async fn calls_fail_as_cloudwatch_does() {
    let (sim, ids) = two(Settings::default()).await;
    let own = FaultKind::Error { code: "Own".into(), status: 418, message: "no".into() };
    for (kind, status, shape, code) in [
        (FaultKind::Throttle, 400, "ThrottlingException", "Throttling;Sender"),
        (FaultKind::Deny, 403, "AccessDeniedException", "AccessDenied;Sender"),
        (FaultKind::ServerError, 500, "InternalServiceFault", "InternalServiceError;Receiver"),
        (own, 418, "Own", "Own;Sender"),
    ] {
        sim.inject(Fault::new(kind).on("GetMetricData").of("i-2").times(1));
        assert_eq!(page(&sim, &input(&ids[..1])).await.0, [COMPLETE], "{code}: the other instance");
        let (head, answer) = cloudwatch_whole(&sim, "GetMetricData", &input(&ids)).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        assert!(head.contains(&format!("x-amzn-query-error: {code}\r\n")), "{head}");
        assert!(answer.contains(&format!("#{shape}\"")), "{answer}");
        let recorded = sim.calls().pop().unwrap();
        assert_eq!((recorded.status, recorded.code.as_deref()), (Some(status), code.split(';').next()));
        assert_eq!(page(&sim, &input(&ids)).await.0, [COMPLETE, COMPLETE], "{code}: once");
    }
    let headers = authorization("ASIAEXAMPLE", REGION) + &target("GetMetricData");
    let (status, answer) = http(&sim, "POST", "/", &headers, "{}").await.unwrap();
    assert!(status == 403 && answer.contains("UnrecognizedClientException"), "{status} {answer}");
}

#[tokio::test]
async fn connections_fail_and_responses_are_late() {
    let (sim, ids) = two(Settings::default()).await;
    sim.inject(Fault::new(FaultKind::Reset).times(1));
    let input = || input(&ids).to_string();
    let json = authorization(ACCOUNT, REGION) + &target("GetMetricData");
    assert_eq!(http(&sim, "POST", "/", &json, &input()).await, Err(ErrorKind::ConnectionReset));
    sim.inject(Fault::new(FaultKind::Malformed).times(1));
    let (status, answer) = http(&sim, "POST", "/", &json, &input()).await.unwrap();
    assert!(status == 200 && serde_json::from_str::<Value>(&answer).is_err(), "{answer}");
    sim.inject(Fault::new(FaultKind::Delay(Duration::from_millis(300))).times(2));
    for body in ["Action=DescribeInstances", ""] {
        let started = Instant::now();
        let (status, _) = match body {
            "" => http(&sim, "POST", "/", &json, &input()).await.unwrap(),
            body => call(&sim, body).await.unwrap(),
        };
        assert!(status == 200 && started.elapsed() >= Duration::from_millis(300), "{:?}", started.elapsed());
        assert_eq!(sim.calls().pop().unwrap().fault.as_deref(), Some("delay"));
    }
}

#[tokio::test]
async fn a_bucket_throttles_get_metric_data() {
    let get_metric_data = Bucket { capacity: 1.0, refill: 0.001 };
    let buckets = Buckets { get_metric_data, ..Buckets::default() };
    let (sim, ids) = two(Settings { buckets: Some(buckets), ..Settings::default() }).await;
    let input = input(&ids);
    assert_eq!(cloudwatch(&sim, "GetMetricData", &input).await.0, 200);
    let (status, answer) = cloudwatch(&sim, "GetMetricData", &input).await;
    assert_eq!((status, &answer["message"]), (400, &json!("Rate exceeded")));
}
