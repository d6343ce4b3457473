//! DescribeRegions, and calls in Regions that an account does not have on.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod wire;

use ec2_sim::{Ec2Sim, Fault, FaultKind, Settings};
use serde_json::json;

use wire::{ACCOUNT, REGION, call, call_at, cloudwatch_at, code, control, organizations, start, texts};

const REGIONS: &str = "Action=DescribeRegions";

/// The names of the Regions that the call returns.
async fn names(sim: &Ec2Sim, parameters: &str) -> Vec<String> {
    let (status, answer) = call(sim, &format!("{REGIONS}{parameters}")).await.unwrap();
    assert_eq!(status, 200, "{answer}");
    texts(&answer, "regionName").into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn regions_are_those_that_the_account_has_on() {
    let sim = start(Settings::default()).await;
    let by_default = names(&sim, "").await;
    for region in
        ["us-east-1", "us-east-2", "us-west-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-southeast-1"]
    {
        assert!(by_default.iter().any(|name| name == region), "{region}");
    }
    let all = names(&sim, "&AllRegions=true").await;
    assert!(["ap-east-1", "eu-south-1", "me-south-1"].iter().all(|name| {
        all.iter().any(|found| found == name) && !by_default.iter().any(|found| found == name)
    }));
    sim.set_regions(ACCOUNT, &["us-east-1", "me-south-1"]);
    assert_eq!(names(&sim, "").await, ["me-south-1", "us-east-1"]);
    assert_eq!(names(&sim, "&AllRegions=true").await, all);
    assert_eq!(names(&sim, "&AllRegions=false").await, ["me-south-1", "us-east-1"]);
    assert_eq!(
        names(&sim, "&RegionName.1=eu-south-1&RegionName.2=us-east-1").await,
        ["eu-south-1", "us-east-1"]
    );
    for (status, expected) in [
        ("opted-in", vec!["me-south-1"]),
        ("opt-in-not-required", vec!["us-east-1"]),
        ("opt-in-not-required&Filter.1.Value.2=opted-in", vec!["me-south-1", "us-east-1"]),
        ("not-opted-in", vec![]),
    ] {
        let filter = format!("&Filter.1.Name=opt-in-status&Filter.1.Value.1={status}");
        assert_eq!(names(&sim, &filter).await, expected, "{status}");
    }
    let south = "&AllRegions=true&Filter.1.Name=endpoint&Filter.1.Value.1=ec2.*-south-1.amazonaws.com\
                 &Filter.2.Name=opt-in-status&Filter.2.Value.1=not-opted-in\
                 &Filter.3.Name=region-name&Filter.3.Value.1=e*";
    assert_eq!(names(&sim, south).await, ["eu-south-1"]);
    let (_, answer) = call(&sim, &format!("{REGIONS}&RegionName.1=eu-south-1")).await.unwrap();
    let item = "<regionInfo><item><regionName>eu-south-1</regionName>\
                <regionEndpoint>ec2.eu-south-1.amazonaws.com</regionEndpoint>\
                <optInStatus>not-opted-in</optInStatus></item></regionInfo>";
    assert!(answer.contains(item), "{answer}");
    let (_, others) = call_at(&sim, "444455556666", REGION, REGIONS).await.unwrap();
    assert_eq!(texts(&others, "regionName"), by_default, "another account");
}

#[tokio::test]
async fn invalid_calls_are_refused() {
    let sim = start(Settings::default()).await;
    for (parameters, expected) in [
        ("&RegionName.1=us-east-9", (400, "InvalidParameterValue")),
        ("&Filter.1.Name=instance-id&Filter.1.Value.1=i-1", (400, "InvalidParameterValue")),
        ("&Filter.1.Value.1=opted-in", (400, "MissingParameter")),
        ("&DryRun=true", (412, "DryRunOperation")),
    ] {
        let (status, found) = code(&sim, &format!("{REGIONS}{parameters}")).await;
        assert_eq!((status, &*found), expected, "{parameters}");
    }
    for body in [json!({"regions": ["us-east-9"]}), json!({"regions": "us-east-1"}), json!({}), json!(1)] {
        assert_eq!(control(&sim, "regions", &body).await.0, 400, "{body}");
    }
}

#[tokio::test]
async fn a_region_that_is_off_refuses_ec2_and_cloudwatch() {
    let sim = start(Settings::default()).await;
    let (off, member) = ("eu-south-1", "444455556666");
    let describe = "Action=DescribeInstances";
    assert_eq!(call_at(&sim, ACCOUNT, off, describe).await.unwrap().0, 200, "until the Regions are set");
    let body = json!({"account": ACCOUNT, "regions": [REGION, "eu-west-1"]});
    assert_eq!(control(&sim, "regions", &body).await.0, 200);
    sim.inject(Fault::new(FaultKind::Throttle).at(ACCOUNT, off));
    for action in ["DescribeInstances", "DescribeRegions", "ModifyInstanceMetadataOptions"] {
        let (status, answer) = call_at(&sim, ACCOUNT, off, &format!("Action={action}")).await.unwrap();
        assert_eq!((status, texts(&answer, "Code")), (401, vec!["AuthFailure"]), "{action}");
        let message = ["AWS was not able to validate the provided access credentials"];
        assert_eq!(texts(&answer, "Message"), message, "{action}");
        let recorded = sim.calls().pop().unwrap();
        assert_eq!((&*recorded.region, recorded.code.as_deref()), (off, Some("AuthFailure")), "{action}");
        assert_eq!(recorded.fault, None, "faults do not apply to callers that the Region does not know");
    }
    assert!(sim.take_events().is_empty(), "nor does CloudTrail record them");
    sim.clear_faults();
    let (status, answer) = cloudwatch_at(&sim, ACCOUNT, off, "GetMetricData", &json!({})).await;
    assert_eq!(
        (status, &answer["__type"]),
        (403, &json!("com.amazon.coral.service#UnrecognizedClientException"))
    );
    for (account, region) in [(ACCOUNT, REGION), (ACCOUNT, "eu-west-1"), (member, off)] {
        assert_eq!(call_at(&sim, account, region, describe).await.unwrap().0, 200, "{account} {region}");
    }
    let (status, _) = call_at(&sim, ACCOUNT, off, "Action=GetCallerIdentity").await.unwrap();
    assert_eq!(status, 200, "STS is not simulated by Region");
    assert_eq!(organizations(&sim, ACCOUNT, "ListAccounts", &json!({})).await.0, 400);
    control(&sim, "reset", &json!({})).await;
    assert_eq!(call_at(&sim, ACCOUNT, off, describe).await.unwrap().0, 200, "a reset deletes the setting");
}
