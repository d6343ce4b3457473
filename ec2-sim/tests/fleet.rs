//! Large fleets: many instances in many accounts and Regions, set up and listed quickly.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod wire;

use std::time::{Duration, Instant};

use ec2_sim::{Ec2Sim, Launch, Settings};
use serde_json::{Value, json};

use wire::{ACCOUNT, REGION, call, call_at, control, ids, next_token, start};

const PLACES: [&str; 2] = ["us-east-1", "eu-west-1"];

fn account(number: usize) -> String {
    format!("2222{number:08}")
}

/// Ten tags, some of which AWS sets.
fn tags() -> Vec<(String, String)> {
    let own = (0..7).map(|number| (format!("platform/key-{number}"), format!("value-{number}")));
    let aws = ["aws:autoscaling:groupName", "aws:ec2launchtemplate:id", "aws:cloudformation:stack-name"];
    own.chain(aws.map(|key| (key.to_owned(), "web".to_owned()))).collect()
}

#[tokio::test]
async fn one_control_sets_up_fifty_thousand_instances() {
    let sim = start(Settings::default()).await;
    let tags: Value =
        tags().into_iter().map(|(key, value)| (key, value.into())).collect::<serde_json::Map<_, _>>().into();
    let launch = |at: usize| {
        json!({
            "account": account(at / 2), "region": PLACES[at % 2], "count": 250, "firstRan": 7_776_000, "tags": tags,
        })
    };
    let body: Value = (0..200).map(launch).collect::<Vec<_>>().into();
    let started = Instant::now();
    let (status, launches) = control(&sim, "instances", &body).await;
    let elapsed = started.elapsed();
    println!("50,000 instances: {elapsed:?}");
    assert_eq!(status, 200, "{launches}");
    // Less than 2 s of CPU time. Other tests run at the same time.
    assert!(elapsed < Duration::from_secs(30), "{elapsed:?}");
    assert_eq!(launches.as_array().unwrap().len(), 200);
    for at in [0, 7, 199] {
        let describe = "Action=DescribeInstances&MaxResults=1000&Filter.1.Name=tag:aws:autoscaling:groupName\
                        &Filter.1.Value.1=web";
        let (_, found) = call_at(&sim, &account(at / 2), PLACES[at % 2], describe).await.unwrap();
        let expected: Vec<String> = serde_json::from_value(launches[at]["instanceIds"].clone()).unwrap();
        assert_eq!((ids(&found), expected.len()), (expected, 250), "{at}");
    }
}

#[tokio::test]
async fn a_list_of_launches_is_refused_as_a_whole() {
    let sim = start(Settings::default()).await;
    let valid = json!({"region": REGION, "count": 3});
    for invalid in [
        json!({"region": REGION, "count": 99_998}),
        json!({"region": REGION, "count": usize::MAX}),
        json!({"region": REGION, "count": 0}),
        json!({"region": REGION, "state": "asleep"}),
        json!({"region": REGION, "options": {"HttpTokens": "never"}}),
        json!(1),
    ] {
        let (status, answer) = control(&sim, "instances", &json!([valid, invalid])).await;
        assert!(status == 400 && answer["error"].is_string(), "{invalid}: {answer}");
    }
    assert!(sim.account_region(ACCOUNT, REGION).instances().is_empty());
    assert_eq!(control(&sim, "instances", &json!([])).await, (200, json!([])));
}

/// All instances, page by page, and the longest time of a page.
async fn pages(sim: &Ec2Sim) -> (usize, Duration) {
    let (mut found, mut longest, mut token) = (0, Duration::ZERO, Some(String::new()));
    while let Some(next) = token {
        let started = Instant::now();
        let describe = format!("Action=DescribeInstances&MaxResults=1000&NextToken={next}");
        let (_, answer) = call(sim, &describe).await.unwrap();
        longest = longest.max(started.elapsed());
        found += answer.matches("<instanceId>").count();
        token = next_token(&answer);
    }
    (found, longest)
}

#[tokio::test]
async fn pages_of_a_thousand_realistic_instances_are_quick() {
    let sim = start(Settings { realistic: true, ..Settings::default() }).await;
    let launch = Launch { count: 5000, tags: tags(), sends_events: false, ..Launch::default() };
    let started = Instant::now();
    sim.account_region(ACCOUNT, REGION).launch(launch);
    println!("5,000 instances: {:?}", started.elapsed());
    let (found, longest) = pages(&sim).await;
    println!("the longest of the pages of 1,000: {longest:?}");
    assert_eq!(found, 5000);
    // Some 0.2 s of CPU time. Other tests run at the same time.
    assert!(longest < Duration::from_secs(4), "{longest:?}");
}
