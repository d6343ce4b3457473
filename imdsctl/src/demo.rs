//! `imdsctl demo`: the closed loop in one process.

mod fleet;

use std::io::Write;

use anyhow::{Context, Result};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use comfy_table::{ContentArrangement, Table, presets};
use ec2_sim::{Ec2Sim, InstanceView, Place, Settings};
use imds_core::outcome::InstanceReport;
use imds_enforcer::accounts::Accounts;
use imds_enforcer::config::Config;
use imds_enforcer::enforce::Enforcer;
use imds_enforcer::handler;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::exit::Exit;
use fleet::{FLEET, Member, POLICY};

const ACCOUNT: &str = "111122223333";
const REGION: &str = "us-east-1";

/// An instance of the demo.
struct Subject {
    member: &'static Member,
    before: InstanceView,
}

/// Runs the demo.
pub async fn run(out: &mut impl Write) -> Result<Exit> {
    let sim = Ec2Sim::start(Settings::default()).await.context("ec2-sim cannot listen on a free port of 127.0.0.1")?;
    let place = sim.place(ACCOUNT, REGION);
    writeln!(out, "An EC2 of its own listens on {}. The policy:\n\n{POLICY}\n", sim.endpoint())?;
    let fleet = launch(&place);
    let events = sim.take_events();
    writeln!(out, "{} instances were launched; EventBridge has {} events for the function.\n", fleet.len(), events.len())?;

    let answer = handler::answer(&enforcer(&sim)?, sqs_batch(&events), now()).await;
    let response = answer.response.context("the function failed")?;
    let settled = response == json!({"batchItemFailures": []});

    writeln!(out, "{}\n", table(&fleet, &answer.report.outcomes, &place))?;
    let wrong: Vec<String> = fleet.iter().filter_map(|subject| subject.wrong(&place)).collect();
    for line in &wrong {
        writeln!(out, "{line}")?;
    }
    if !settled || !wrong.is_empty() {
        writeln!(out, "Not every instance is as the policy requires. The function answered {response}.")?;
        return Ok(Exit::Findings);
    }
    writeln!(out, "Every instance is as the policy requires, and nothing else was touched: {}.", counts(&sim))?;
    Ok(Exit::Compliant)
}

fn launch(place: &Place) -> Vec<Subject> {
    let launched = |member: &'static Member| {
        let ids = place.launch(member.launch());
        let view = move |id: String| place.instance(&id).map(|before| Subject { member, before });
        ids.into_iter().filter_map(view)
    };
    FLEET.iter().flat_map(launched).collect()
}

/// The function as it runs in Lambda, but for where EC2 is. Nothing is read from the environment.
fn enforcer(sim: &Ec2Sim) -> Result<Enforcer> {
    let config = Config::from_lookup(|name| (name == "IMDS_POLICY").then(|| POLICY.to_owned()))?;
    let credentials = Credentials::new(ACCOUNT, "demo", None, None, "demo");
    let sdk = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(sim.endpoint())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build();
    Ok(Enforcer::new(config, Accounts::new(sdk)))
}

fn sqs_batch(events: &[Value]) -> Value {
    let record = |(number, event): (usize, &Value)| {
        json!({"messageId": number.to_string(), "eventSource": "aws:sqs", "body": event.to_string()})
    };
    json!({"Records": events.iter().enumerate().map(record).collect::<Vec<_>>()})
}

fn table(fleet: &[Subject], reports: &[InstanceReport], place: &Place) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["Instance", "Before", "Decision", "After", "Why"]);
    for subject in fleet {
        let report = reports.iter().find(|report| report.instance_id.as_str() == subject.before.id);
        let after = place.instance(&subject.before.id).map(|after| options(&after)).unwrap_or_default();
        let instance = format!("{}\n{}", subject.member.name, subject.before.id);
        let (decision, why) = report.map(decision).unwrap_or_default();
        table.add_row([instance, options(&subject.before), decision, after, why]);
    }
    table
}

/// What was decided and came of it, and why.
fn decision(report: &InstanceReport) -> (String, String) {
    let change = report.change.iter().flat_map(|change| change.options().iter());
    let lines = change.map(|value| value.to_string()).chain([format!("({})", report.outcome)]);
    let why = report.reasons.iter().chain(&report.warnings).cloned();
    (lines.collect::<Vec<_>>().join("\n"), why.collect::<Vec<_>>().join("\n"))
}

/// State and options, those at their defaults left out.
fn options(instance: &InstanceView) -> String {
    let usual = [("HttpProtocolIpv6", "disabled"), ("InstanceMetadataTags", "disabled"), ("HttpEndpoint", "enabled")];
    let unusual = instance.options.iter().filter(|(name, value)| !usual.contains(&(name.as_str(), value.as_str())));
    let lines = unusual.map(|(name, value)| format!("{name}={value}"));
    [instance.state.clone()].into_iter().chain(lines).collect::<Vec<_>>().join("\n")
}

impl Subject {
    /// What is not as it should be: the options expected of the member, and all others as they were.
    fn wrong(&self, place: &Place) -> Option<String> {
        let id = &self.before.id;
        let mut expected = self.before.options.clone();
        expected.extend(self.member.changed.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let Some(after) = place.instance(id) else { return Some(format!("{id} is not there any more")) };
        (after.options != expected).then(|| format!("{id} has {:?}, not {expected:?}", after.options))
    }
}

fn counts(sim: &Ec2Sim) -> String {
    let calls = sim.calls();
    let count = |action| calls.iter().filter(|call| call.action == action).count();
    let (looks, changes) = (count("DescribeInstances"), count("ModifyInstanceMetadataOptions"));
    format!("{changes} changes, {looks} looks, {} calls in all", calls.len())
}

#[expect(clippy::disallowed_methods, reason = "the command line is the edge")]
fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}
