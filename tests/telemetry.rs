//! The log lines and metrics that the function writes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use ec2_sim::{Ec2Sim, Fault, FaultKind, Launch, Settings};
use serde_json::{Value, json};
use support::lambda::Lambda;
use support::*;

/// The log of one invocation with this payload.
async fn log(sim: &Ec2Sim, variables: &[(&str, &str)], payload: Value) -> Vec<Value> {
    let mut lambda = Lambda::start(sim, variables).await;
    lambda.invoke(payload, Duration::from_secs(60)).await.expect("in time").expect("an answer");
    lambda.last_log().await
}

/// The sums of a log's metrics, by name and by the value of the dimension other than Mode, or of Mode if it is alone.
fn metrics(log: &[Value]) -> BTreeMap<(String, String), f64> {
    let mut sums = BTreeMap::new();
    for line in log.iter().filter(|line| line.get("_aws").is_some()) {
        for directive in line["_aws"]["CloudWatchMetrics"].as_array().unwrap() {
            let sets = directive["Dimensions"].as_array().unwrap();
            let dimension = sets.last().unwrap().as_array().unwrap().last();
            let dimension = dimension.map_or("", |name| line[name.as_str().unwrap()].as_str().unwrap());
            for metric in directive["Metrics"].as_array().unwrap() {
                let name = metric["Name"].as_str().unwrap();
                let value =
                    line[name].as_f64().unwrap_or_else(|| line[name].as_array().unwrap().len() as f64);
                let key = (name.to_owned(), dimension.to_owned());
                *sums.entry(key).or_default() += value;
            }
        }
    }
    sums
}

fn is(name: &str, dimension: &str, value: f64) -> ((String, String), f64) {
    ((name.to_owned(), dimension.to_owned()), value)
}

#[tokio::test]
async fn the_first_line_names_the_version() {
    let sim = Ec2Sim::start(Settings::default()).await.unwrap();
    let mut lambda = Lambda::start(&sim, &[]).await;
    lambda.invoke(sweep_event(), Duration::from_secs(60)).await.expect("in time").expect("an answer");
    let first = &lambda.log()[0];
    assert_eq!(
        (&first["level"], &first["message"], &first["version"]),
        (&json!("INFO"), &json!("started"), &json!(imds_enforcer::VERSION)),
        "{first}"
    );
}

#[tokio::test]
async fn calls_are_counted_as_ec2_counts_them_and_the_window_of_imdsv1_is_measured() {
    let settings = Settings { apply_delay: Duration::from_millis(100), ..Settings::default() };
    let sim = Ec2Sim::start(settings).await.unwrap();
    let account_region = sim.account_region(ACCOUNT, REGION);
    let launched = Some(now() - time::Duration::seconds(30));
    let mut ids = account_region.launch(Launch { launch_time: launched, ..imdsv1(2) });
    ids.extend(account_region.launch(with_options(&[("HttpTokens", "required")])));
    sim.inject(Fault::new(FaultKind::Throttle).on("ModifyInstanceMetadataOptions").times(3));

    let log = log(&sim, &[], batch(&[launch_event(&ids).to_string()], 1)).await;

    let metrics = metrics(&log);
    let count = |action: &str| sim.calls().iter().filter(|call| call.action == action).count() as f64;
    let (changes, describes) = (count("ModifyInstanceMetadataOptions"), count("DescribeInstances"));
    assert_eq!(changes, 5.0, "two changes and three throttled calls");
    let expected = [
        is("Calls", "ec2:DescribeInstances", describes),
        is("Calls", "ec2:ModifyInstanceMetadataOptions", changes),
        is("Compliant", "launch", 1.0),
        is("Enforced", "launch", 2.0),
        is("LaunchToApplied", "launch", 2.0),
        is("ThrottledShare", "", 300.0 / (describes + changes)),
        is("Throttles", "ec2:DescribeInstances", 0.0),
        is("Throttles", "ec2:ModifyInstanceMetadataOptions", 3.0),
    ];
    assert_eq!(metrics, expected.into());
    let windows = log.iter().find_map(|line| line.get("LaunchToApplied")?.as_array()).unwrap();
    assert!(windows.iter().all(|seconds| (30.0..60.0).contains(&seconds.as_f64().unwrap())), "{windows:?}");
}

#[tokio::test]
async fn a_completed_sweep_is_counted() {
    let sim = Ec2Sim::start(Settings { apply_delay: Duration::ZERO, ..Settings::default() }).await.unwrap();
    let account_region = sim.account_region(ACCOUNT, REGION);
    account_region.launch(with_options(&[("HttpTokens", "required")]));
    let sweep = sweep_event();
    let ended = log(&sim, &[], sweep.clone()).await;
    assert_eq!(metrics(&ended).get(&("SweepsDone".to_owned(), "enforce".to_owned())), Some(&1.0));
    sim.inject(Fault::new(FaultKind::Deny).on("DescribeInstances"));
    let stopped = log(&sim, &[], batch(&[sweep.to_string()], 1)).await;
    assert_eq!(metrics(&stopped).get(&("SweepsDone".to_owned(), "enforce".to_owned())), None);
}

#[tokio::test]
async fn every_line_has_a_time_and_level_and_metrics_pass_lambdas_filter() {
    let sim = Ec2Sim::start(Settings { apply_delay: Duration::ZERO, ..Settings::default() }).await.unwrap();
    let account_region = sim.account_region(ACCOUNT, REGION);
    let tag = ("imds:HttpTokens".to_owned(), "\u{1b}[31m\n".to_owned() + &"x".repeat(250));
    let ids = account_region.launch(Launch { tags: vec![tag], ..imdsv1(1) });
    let log = log(&sim, &[("AWS_LAMBDA_LOG_LEVEL", "ERROR")], launch_event(&ids)).await;

    let kinds: Vec<(&str, &str)> = log
        .iter()
        .map(|line| {
            let kind =
                ["outcome", "_aws", "message"].into_iter().find(|key| line.get(key).is_some()).unwrap();
            (kind, line["level"].as_str().unwrap())
        })
        .collect();
    let metrics = ("_aws", "ERROR");
    assert_eq!(kinds, [("outcome", "WARN"), metrics, metrics, metrics, metrics, ("message", "INFO")]);
    assert!(log.iter().all(|line| line["timestamp"].as_str().unwrap().ends_with('Z')), "{log:?}");
    assert!(log.windows(2).all(|pair| pair[0]["timestamp"].as_str() <= pair[1]["timestamp"].as_str()));
    assert_eq!(log[0]["mode"], "enforce");
    let warning = log[0]["warnings"][0].as_str().unwrap();
    assert!(!warning.contains(char::is_control) && warning.len() < 400, "{warning:?}");
}
