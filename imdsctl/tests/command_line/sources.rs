//! The sources that `imdsctl audit` tells, against ec2-sim.

use std::process::Output;

use ec2_sim::{Ec2Sim, Fault, FaultKind, Image, Launch, LaunchTemplate, LaunchTemplateVersion, Settings};
use serde_json::Value;

use crate::{in_account, run, stderr};

const TEMPLATE: &str = "lt-0123456789abcdef0";
const OLD_IMAGE: &str = "ami-0123456789abcdef0";
const NEW_IMAGE: &str = "ami-0123456789abcdef1";

fn launch(sim: &Ec2Sim, count: usize, image: &str, tags: &[(&str, &str)]) {
    sim.account_region("111122223333", "us-east-1").launch(Launch {
        count,
        image: image.to_owned(),
        tags: tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        ..Launch::default()
    });
}

/// An account with a source of each kind.
async fn started() -> Ec2Sim {
    let sim = Ec2Sim::start(Settings::default()).await.unwrap();
    let account_region = sim.account_region("111122223333", "us-east-1");
    account_region.set_launch_template(LaunchTemplate {
        id: TEMPLATE.to_owned(),
        name: "web".to_owned(),
        versions: vec![LaunchTemplateVersion {
            options: [("HttpTokens".to_owned(), "optional".to_owned())].into(),
            ..LaunchTemplateVersion::default()
        }],
        ..LaunchTemplate::default()
    });
    account_region.set_image(Image { id: OLD_IMAGE.to_owned(), ..Image::default() });
    let support = Some("v2.0".to_owned());
    account_region.set_image(Image { id: NEW_IMAGE.to_owned(), imds_support: support, ..Image::default() });
    let template = [("aws:ec2launchtemplate:id", TEMPLATE), ("aws:ec2launchtemplate:version", "1")];
    launch(&sim, 3, NEW_IMAGE, &template);
    launch(&sim, 2, NEW_IMAGE, &[&template[..], &[("aws:autoscaling:groupName", "it's web")]].concat());
    launch(&sim, 1, NEW_IMAGE, &[("karpenter.sh/nodepool", "$(touch hacked)")]);
    launch(&sim, 4, OLD_IMAGE, &[]);
    launch(&sim, 5, NEW_IMAGE, &[]);
    // This image does not exist anymore.
    launch(&sim, 1, "ami-0123456789abcdef2", &[]);
    sim
}

fn audit(sim: &Ec2Sim) -> (Output, Value) {
    let output = run(&mut in_account(sim, &["audit", "--format", "json", "--usage-days", "0"]), b"");
    let document = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(&output)));
    (output, document)
}

/// The kind, the ID and the number of instances of each source.
fn sources(document: &Value) -> Vec<(&str, &str, u64)> {
    let rows = document["sources"].as_array().unwrap().iter();
    rows.map(|row| {
        let source = &row["source"];
        (source["kind"].as_str().unwrap(), source["id"].as_str().unwrap(), row["instances"].as_u64().unwrap())
    })
    .collect()
}

fn row<'d>(document: &'d Value, kind: &str) -> &'d Value {
    document["sources"].as_array().unwrap().iter().find(|row| row["source"]["kind"] == kind).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_source_is_told_with_its_instances() {
    let sim = started().await;
    let (output, document) = audit(&sim);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert_eq!(document["warnings"], serde_json::json!([]));
    assert_eq!(
        sources(&document),
        [
            ("account-defaults", "111122223333", 6),
            ("image", OLD_IMAGE, 4),
            ("launch-template", TEMPLATE, 3),
            ("auto-scaling-group", "it's web", 2),
            ("karpenter-node-pool", "$(touch hacked)", 1),
        ]
    );
    let template = row(&document, "launch-template");
    let finding = template["finding"].as_str().unwrap();
    assert!(finding.starts_with("Version 1 of launch template lt-0123456789abcdef0 (\"web\"), the default one, sets HttpTokens=optional."), "{finding}");
    assert_eq!(row(&document, "karpenter-node-pool")["fixes"], serde_json::json!([]));
    let groups = row(&document, "auto-scaling-group")["fixes"].to_string();
    assert!(groups.contains(r"--auto-scaling-group-name 'it'\\''s web'"), "{groups}");
    let count = |action: &str| sim.calls().iter().filter(|call| call.action == action).count();
    assert_eq!((count("DescribeImages"), count("GetInstanceMetadataDefaults")), (1, 1), "each is asked once");
    assert_eq!(
        count("DescribeLaunchTemplateVersions"),
        3,
        "the version in use, the default and the latest one"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_a_warning_and_leaves_the_source_unknown() {
    let sim = started().await;
    for action in ["DescribeImages", "GetInstanceMetadataDefaults", "DescribeLaunchTemplateVersions"] {
        sim.inject(Fault { action: Some(action.to_owned()), ..Fault::new(FaultKind::Deny) });
    }
    let (output, document) = audit(&sim);
    assert_eq!(output.status.code(), Some(1), "it is no error: {}", stderr(&output));
    let kinds: Vec<&str> = sources(&document).iter().map(|(kind, ..)| *kind).collect();
    assert_eq!(kinds, ["launch-template", "auto-scaling-group", "karpenter-node-pool"]);
    let warnings: Vec<&str> =
        document["warnings"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    assert_eq!(warnings.len(), 3, "{warnings:#?}");
    for call in
        ["ec2:DescribeImages", "ec2:GetInstanceMetadataDefaults", "ec2:DescribeLaunchTemplateVersions"]
    {
        assert!(
            warnings.iter().any(|warning| warning.contains(&format!("{call} returned Unauthorized"))),
            "{call}"
        );
    }
    let finding = row(&document, "launch-template")["finding"].as_str().unwrap();
    assert!(finding.starts_with("What launch template lt-0123456789abcdef0 sets is unknown"), "{finding}");
}

#[tokio::test(flavor = "multi_thread")]
async fn defaults_that_require_tokens_are_no_source() {
    let sim = started().await;
    sim.account_region("111122223333", "us-east-1").set_defaults(&[("HttpTokens", "required")]);
    let (_, document) = audit(&sim);
    let kinds: Vec<&str> = sources(&document).iter().map(|(kind, ..)| *kind).collect();
    assert_eq!(kinds, ["image", "launch-template", "auto-scaling-group", "karpenter-node-pool"]);
}
