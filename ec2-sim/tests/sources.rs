//! Launch templates, images and the account's defaults, which determine the options of launches.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod wire;

use ec2_sim::{
    Bucket, Buckets, Ec2Sim, Fault, FaultKind, Image, LaunchTemplate, LaunchTemplateVersion, Settings,
};
use serde_json::json;

use wire::{ACCOUNT, REGION, call, call_at, code, control, next_token, start, texts};

const ID: &str = "lt-0123456789abcdef0";
const VERSIONS: &str = "Action=DescribeLaunchTemplateVersions";
const IMAGES: &str = "Action=DescribeImages";
const GET: &str = "Action=GetInstanceMetadataDefaults";
const SET: &str = "Action=ModifyInstanceMetadataDefaults&HttpTokens=required";

/// A template with three versions, of which the second one is the default.
fn template(id: &str, name: &str) -> LaunchTemplate {
    let options = [("HttpTokens", "optional"), ("HttpPutResponseHopLimit", "2")];
    let with_options = LaunchTemplateVersion {
        options: options.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        ..LaunchTemplateVersion::default()
    };
    let with_image =
        LaunchTemplateVersion { image: Some("ami-0abcdef0".to_owned()), ..LaunchTemplateVersion::default() };
    LaunchTemplate {
        id: id.to_owned(),
        name: name.to_owned(),
        default_version: 2,
        versions: vec![LaunchTemplateVersion::default(), with_options, with_image],
    }
}

async fn with_template() -> Ec2Sim {
    let sim = start(Settings::default()).await;
    sim.account_region(ACCOUNT, REGION).set_launch_template(template(ID, "web"));
    sim
}

/// The response of a call that succeeds.
async fn answer(sim: &Ec2Sim, body: &str) -> String {
    let (status, answer) = call(sim, body).await.unwrap();
    assert_eq!(status, 200, "{body}: {answer}");
    answer
}

#[tokio::test]
async fn versions_of_a_template_are_described() {
    let sim = with_template().await;
    let named = |version: &str| format!("&LaunchTemplateId={ID}&LaunchTemplateVersion.1={version}");
    for (parameters, expected) in [
        (format!("&LaunchTemplateId={ID}"), vec!["3", "2", "1"]),
        ("&LaunchTemplateName=web".to_owned(), vec!["3", "2", "1"]),
        (named("1"), vec!["1"]),
        (named("$Latest"), vec!["3"]),
        (named("$Default"), vec!["2"]),
        (named("$Default&LaunchTemplateVersion.2=2&LaunchTemplateVersion.3=1"), vec!["2", "1"]),
        (format!("&LaunchTemplateId={ID}&MinVersion=2"), vec!["3", "2"]),
        (format!("&LaunchTemplateId={ID}&MaxVersion=$Default"), vec!["2", "1"]),
        ("&LaunchTemplateVersion.1=$Latest".to_owned(), vec!["3"]),
    ] {
        let answer = answer(&sim, &format!("{VERSIONS}{parameters}")).await;
        assert_eq!(texts(&answer, "versionNumber"), expected, "{parameters}");
    }
    let default = answer(&sim, &format!("{VERSIONS}{}", named("2"))).await;
    let data = "<defaultVersion>true</defaultVersion><launchTemplateData><metadataOptions>\
                <httpTokens>optional</httpTokens><httpPutResponseHopLimit>2</httpPutResponseHopLimit></metadataOptions></launchTemplateData>";
    assert!(default.contains(data), "{default}");
    let image = answer(&sim, &format!("{VERSIONS}{}", named("3"))).await;
    assert_eq!(texts(&image, "launchTemplateData"), ["<imageId>ami-0abcdef0</imageId>"]);
    let page = answer(&sim, &format!("{VERSIONS}&LaunchTemplateName=web&MaxResults=2")).await;
    let rest = format!("{VERSIONS}&LaunchTemplateName=web&NextToken={}", next_token(&page).unwrap());
    assert_eq!(texts(&answer(&sim, &rest).await, "versionNumber"), ["1"]);
    assert_eq!(sim.calls().pop().unwrap().parameters["LaunchTemplateName"], "web");
}

#[tokio::test]
async fn all_templates_have_their_latest_and_default_versions() {
    let sim = with_template().await;
    sim.account_region(ACCOUNT, REGION).set_launch_template(template("lt-0a0a0a0a", "batch"));
    let both = format!("{VERSIONS}&LaunchTemplateVersion.1=$Latest&LaunchTemplateVersion.2=$Default");
    let found = answer(&sim, &both).await;
    assert_eq!(texts(&found, "launchTemplateName"), ["web", "web", "batch", "batch"]);
    assert_eq!(texts(&found, "versionNumber"), ["3", "2", "3", "2"]);
    let (_, elsewhere) = call_at(&sim, ACCOUNT, "eu-west-1", &both).await.unwrap();
    assert_eq!(texts(&elsewhere, "versionNumber"), [""; 0], "another Region");
}

#[tokio::test]
async fn unknown_templates_and_images_are_refused() {
    let sim = with_template().await;
    for (body, expected) in [
        (format!("{VERSIONS}&LaunchTemplateId=lt-0fffffffffffffff0"), "InvalidLaunchTemplateId.NotFound"),
        (format!("{VERSIONS}&LaunchTemplateId=web"), "InvalidLaunchTemplateId.Malformed"),
        (format!("{VERSIONS}&LaunchTemplateName=batch"), "InvalidLaunchTemplateName.NotFoundException"),
        (
            format!("{VERSIONS}&LaunchTemplateId={ID}&LaunchTemplateVersion.1=4"),
            "InvalidLaunchTemplateId.VersionNotFound",
        ),
        (format!("{VERSIONS}&LaunchTemplateId={ID}&LaunchTemplateVersion.1=new"), "InvalidParameterValue"),
        (format!("{VERSIONS}&LaunchTemplateId={ID}&LaunchTemplateName=web"), "InvalidParameterCombination"),
        (format!("{VERSIONS}&LaunchTemplateId={ID}&MaxResults=201"), "InvalidParameterValue"),
        (format!("{VERSIONS}&Filter.1.Name=image-id&Filter.1.Value.1=a"), "InvalidParameterValue"),
        (VERSIONS.to_owned(), "MissingParameter"),
        (format!("{VERSIONS}&LaunchTemplateVersion.1=1"), "MissingParameter"),
        (format!("{IMAGES}&ImageId.1=ami-12345678"), "InvalidAMIID.NotFound"),
        (format!("{IMAGES}&ImageId.1=image"), "InvalidAMIID.Malformed"),
        (format!("{IMAGES}&Filter.1.Name=name&Filter.1.Value.1=a"), "InvalidParameterValue"),
    ] {
        assert_eq!(code(&sim, &body).await, (400, expected.to_owned()), "{body}");
    }
    for body in [format!("{VERSIONS}&LaunchTemplateId={ID}&DryRun=true"), format!("{IMAGES}&DryRun=true")] {
        assert_eq!(code(&sim, &body).await, (412, "DryRunOperation".to_owned()), "{body}");
    }
    sim.inject(Fault::new(FaultKind::Throttle).with_parameter("LaunchTemplateId", ID));
    sim.inject(Fault::new(FaultKind::Deny).on("DescribeImages"));
    let throttled = code(&sim, &format!("{VERSIONS}&LaunchTemplateId={ID}")).await;
    assert_eq!(throttled, (503, "RequestLimitExceeded".to_owned()));
    assert_eq!(code(&sim, IMAGES).await, (403, "UnauthorizedOperation".to_owned()));
}

#[tokio::test]
async fn images_are_described() {
    let sim = start(Settings::default()).await;
    let account_region = sim.account_region(ACCOUNT, REGION);
    let image = |id: &str| Image { id: id.to_owned(), ..Image::default() };
    account_region.set_image(image("ami-0aaaaaaa"));
    let support = Some("v2.0".to_owned());
    let owner = "137112412989".to_owned();
    account_region.set_image(Image { imds_support: support, owner, ..image("ami-0bbbbbbb") });
    let both = answer(&sim, &format!("{IMAGES}&ImageId.1=ami-0bbbbbbb&ImageId.2=ami-0aaaaaaa")).await;
    assert_eq!(texts(&both, "imageId"), ["ami-0aaaaaaa", "ami-0bbbbbbb"]);
    assert_eq!(texts(&both, "imageOwnerId"), [ACCOUNT, "137112412989"]);
    assert_eq!(texts(&both, "imdsSupport"), ["v2.0"]);
    let filtered =
        format!("{IMAGES}&Filter.1.Name=image-id&Filter.1.Value.1=ami-0bbb*&Filter.1.Value.2=ami-0cccccccc");
    assert_eq!(texts(&answer(&sim, &filtered).await, "imageId"), ["ami-0bbbbbbb"], "others are no error");
    let old = answer(&sim, &format!("{IMAGES}&ImageId.1=ami-0aaaaaaa")).await;
    assert_eq!(texts(&old, "imdsSupport"), [""; 0]);
    for (owner, expected) in [("self", "ami-0aaaaaaa"), ("137112412989", "ami-0bbbbbbb")] {
        let found = answer(&sim, &format!("{IMAGES}&Owner.1={owner}")).await;
        assert_eq!(texts(&found, "imageId"), [expected], "{owner}");
    }
}

#[tokio::test]
async fn a_declarative_policy_manages_the_defaults() {
    let sim = start(Settings::default()).await;
    let account_region = sim.account_region(ACCOUNT, REGION);
    account_region.set_defaults(&[("HttpTokens", "optional")]);
    assert_eq!(texts(&answer(&sim, GET).await, "managedBy"), ["account"]);
    account_region.set_defaults_managed("Ask the <platform> team.");
    let shown = answer(&sim, GET).await;
    assert_eq!(texts(&shown, "httpTokens"), ["optional"], "its value stays");
    assert_eq!(texts(&shown, "managedBy"), ["declarative-policy"]);
    assert_eq!(texts(&shown, "managedExceptionMessage"), ["Ask the &lt;platform&gt; team."]);
    for body in [SET.to_owned(), format!("{SET}&DryRun=true")] {
        let (status, refused) = call(&sim, &body).await.unwrap();
        assert_eq!((status, texts(&refused, "Code")), (400, vec!["DeclarativePolicyViolation"]), "{body}");
        assert!(texts(&refused, "Message")[0].ends_with("Ask the &lt;platform&gt; team."), "{refused}");
    }
    assert_eq!(texts(&answer(&sim, GET).await, "httpTokens"), ["optional"]);
    assert_eq!(call_at(&sim, ACCOUNT, "eu-west-1", SET).await.unwrap().0, 200, "another Region");
    account_region.set_defaults_managed("");
    let shown = answer(&sim, GET).await;
    assert_eq!(texts(&shown, "managedExceptionMessage"), [""; 0]);
    assert_eq!(control(&sim, "defaults", &json!({"region": REGION})).await.0, 200);
    assert_eq!(code(&sim, SET).await.0, 200, "the account manages them again");
}

#[tokio::test]
async fn defaults_are_changed_twice_a_second() {
    let buckets = Buckets {
        modify_defaults: Bucket { refill: 0.0, ..Buckets::default().modify_defaults },
        ..Buckets::default()
    };
    let sim = start(Settings { buckets: Some(buckets), ..Settings::default() }).await;
    let default = Buckets::default().modify_defaults;
    assert_eq!((default.capacity, default.refill), (2.0, 2.0));
    for expected in [200, 200, 503] {
        assert_eq!(code(&sim, SET).await.0, expected);
    }
    assert_eq!(call_at(&sim, ACCOUNT, "eu-west-1", SET).await.unwrap().0, 200, "a bucket per Region");
}

#[tokio::test]
async fn controls_set_them_up_too() {
    let sim = start(Settings::default()).await;
    let options = json!({"HttpTokens": "optional", "HttpPutResponseHopLimit": "2"});
    let versions = json!([{}, {"options": options}, {"image": "ami-0abcdef0"}]);
    let template =
        json!({"region": REGION, "id": ID, "name": "web", "defaultVersion": 2, "versions": versions});
    assert_eq!(control(&sim, "launch-templates", &template).await.0, 200);
    let body = format!("{VERSIONS}&LaunchTemplateId={ID}&LaunchTemplateVersion.1=$Default");
    assert_eq!(texts(&answer(&sim, &body).await, "httpPutResponseHopLimit"), ["2"]);
    let image = json!({"region": REGION, "id": "ami-0aaaaaaa", "imdsSupport": "v2.0"});
    assert_eq!(control(&sim, "images", &image).await.0, 200);
    assert_eq!(texts(&answer(&sim, IMAGES).await, "imdsSupport"), ["v2.0"]);
    let defaults =
        json!({"region": REGION, "defaults": {"HttpTokens": "required"}, "managedExceptionMessage": "no"});
    assert_eq!(control(&sim, "defaults", &defaults).await.0, 200);
    let shown = answer(&sim, GET).await;
    assert_eq!(
        (texts(&shown, "httpTokens"), texts(&shown, "managedExceptionMessage")),
        (vec!["required"], vec!["no"])
    );
    let launched = json!({"region": REGION, "count": 1});
    assert_eq!(control(&sim, "instances", &launched).await.0, 200);
    assert_eq!(sim.account_region(ACCOUNT, REGION).instances()[0].options["HttpTokens"], "required");
    for (name, body) in [
        ("launch-templates", json!({"region": REGION, "id": ID, "name": "web", "versions": []})),
        ("launch-templates", json!({"region": REGION, "id": "web", "name": "web", "versions": [{}]})),
        (
            "launch-templates",
            json!({"region": REGION, "id": ID, "name": "w", "versions": [{"options": {"Tokens": "optional"}}]}),
        ),
        ("images", json!({"region": REGION, "id": "image"})),
        ("images", json!({"region": REGION, "id": "ami-0aaaaaaa", "imdsSupport": "v1.0"})),
        ("defaults", json!({"region": REGION, "defaults": {"HttpProtocolIpv6": "enabled"}})),
        ("defaults", json!({"region": REGION, "defaults": {"HttpTokens": "never"}})),
    ] {
        assert_eq!(control(&sim, name, &body).await.0, 400, "{name} {body}");
    }
}
