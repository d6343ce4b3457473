//! `imdsctl demo`: the closed loop in one process.

mod fleet;

use std::cell::RefCell;
use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result};
use comfy_table::{Table, presets};
use ec2_sim::{AccountRegion, Ec2Sim, InstanceView, Settings};
use imds_core::outcome::InstanceOutcome;
use imds_enforcer::config::Config;
use imds_enforcer::handler;
use imds_engine::aws::clients::RegionClients;
use imds_engine::aws::settings;
use imds_engine::deadline::Deadline;
use imds_engine::reconcile::Enforcer;
use serde_json::{Value, json};

use crate::clock;
use crate::exit::Exit;
use fleet::{FLEET, Member, POLICY};

const ACCOUNT: &str = "111122223333";
const REGION: &str = "us-east-1";

/// An instance of the demo.
struct DemoInstance {
    member: &'static Member,
    before: InstanceView,
}

/// Runs the demo.
pub async fn run(out: &mut impl Write) -> Result<Exit> {
    let sim = Ec2Sim::start(Settings::default())
        .await
        .context("ec2-sim cannot listen on a free port of 127.0.0.1")?;
    let account_region = sim.account_region(ACCOUNT, REGION);
    writeln!(out, "An embedded EC2 listens on {}. The policy:\n\n{POLICY}\n", sim.endpoint())?;
    let fleet = launch(&account_region);
    let events = sim.take_events();
    writeln!(
        out,
        "{} instances were launched; EventBridge delivers {} events to the function.\n",
        fleet.len(),
        events.len()
    )?;

    let outcomes = RefCell::new(Vec::new());
    let on_report = |outcome: &InstanceOutcome| outcomes.borrow_mut().push(outcome.clone());
    let deadline = Deadline::new(clock::now(), Duration::from_secs(60));
    let answer = handler::answer(&enforcer(&sim)?, sqs_batch(&events), deadline, &on_report).await;
    let response = answer.response.context("the function failed")?;
    let settled = response == json!({"batchItemFailures": []});

    writeln!(out, "{}\n", table(&fleet, &outcomes.take(), &account_region))?;
    let wrong: Vec<String> = fleet.iter().filter_map(|instance| instance.wrong(&account_region)).collect();
    for line in &wrong {
        writeln!(out, "{line}")?;
    }
    if !settled || !wrong.is_empty() {
        writeln!(out, "Some instances do not comply with the policy. The function returned {response}.")?;
        return Ok(Exit::Findings);
    }
    writeln!(
        out,
        "Every instance complies with the policy, and nothing else was changed: {}.",
        counts(&sim)
    )?;
    Ok(Exit::Compliant)
}

fn launch(account_region: &AccountRegion) -> Vec<DemoInstance> {
    let launched = |member: &'static Member| {
        let ids = account_region.launch(member.launch());
        let view =
            move |id: String| account_region.instance(&id).map(|before| DemoInstance { member, before });
        ids.into_iter().filter_map(view)
    };
    FLEET.iter().flat_map(launched).collect()
}

/// Returns the function as it runs in Lambda, except for the EC2 endpoint. Reads nothing from the environment.
fn enforcer(sim: &Ec2Sim) -> Result<Enforcer> {
    let config = Config::from_lookup(|name| (name == "IMDS_POLICY").then(|| POLICY.to_owned()))?;
    let sdk = settings::for_simulator(&sim.endpoint(), ACCOUNT, REGION);
    let clients = RegionClients::new(sdk, config.modify_limit, None);
    Ok(config.into_enforcer(clients))
}

fn sqs_batch(events: &[Value]) -> Value {
    let record = |(number, event): (usize, &Value)| json!({"messageId": number.to_string(), "eventSource": "aws:sqs", "body": event.to_string()});
    json!({"Records": events.iter().enumerate().map(record).collect::<Vec<_>>()})
}

fn table(fleet: &[DemoInstance], reports: &[InstanceOutcome], account_region: &AccountRegion) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["Instance", "Before", "Decision", "After", "Why"]);
    for instance in fleet {
        let report = reports.iter().find(|report| report.instance_id.as_str() == instance.before.id);
        let name = [instance.member.name, &instance.before.id, &instance.before.state].join("\n");
        let (decision, why) = report.map(decision).unwrap_or_default();
        table.add_row([name, instance.before(), decision, instance.after(account_region), why]);
    }
    table
}

/// Returns the decision with its outcome, and the reasons.
fn decision(report: &InstanceOutcome) -> (String, String) {
    let change = report.change.iter().flat_map(|change| change.options().iter());
    let lines = change.map(|value| value.to_string()).chain([format!("({})", report.outcome)]);
    let warnings = report.warnings.iter().map(|warning| format!("warning: {warning}"));
    let why = report.reasons.iter().cloned().chain(warnings).flat_map(|line| wrap(&line));
    (lines.collect::<Vec<_>>().join("\n"), why.collect::<Vec<_>>().join("\n"))
}

/// Wraps text so that the table fits a normal terminal.
fn wrap(text: &str) -> Vec<String> {
    const LENGTH: usize = 40;
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.len() - 1;
        if !lines[last].is_empty() && lines[last].chars().count() + 1 + word.chars().count() > LENGTH {
            lines.push(format!("  {word}"));
        } else {
            let space = if lines[last].is_empty() { "" } else { " " };
            lines[last] += &format!("{space}{word}");
        }
    }
    lines
}

impl DemoInstance {
    /// Returns the options that the policy names or that differ from the defaults, and the tags.
    fn before(&self) -> String {
        let usual = [
            ("HttpProtocolIpv6", "disabled"),
            ("InstanceMetadataTags", "disabled"),
            ("HttpEndpoint", "enabled"),
        ];
        let is_usual = |(name, value): &(&String, &String)| usual.contains(&(name.as_str(), value.as_str()));
        let options = self.before.options.iter().filter(|option| !is_usual(option));
        let options = options.map(|(name, value)| format!("{name}={value}"));
        let tags = self.before.tags.iter().map(|(key, value)| format!("tag {key}={value}"));
        options.chain(tags).collect::<Vec<_>>().join("\n")
    }

    /// Returns the options that changed.
    fn after(&self, account_region: &AccountRegion) -> String {
        let Some(after) = account_region.instance(&self.before.id) else {
            return "no longer exists".to_owned();
        };
        let changed =
            after.options.iter().filter(|(name, value)| self.before.options.get(*name) != Some(value));
        let changed: Vec<String> = changed.map(|(name, value)| format!("{name}={value}")).collect();
        if changed.is_empty() { "unchanged".to_owned() } else { changed.join("\n") }
    }

    /// Returns what is wrong, if the options are not those expected of the member or another option changed.
    fn wrong(&self, account_region: &AccountRegion) -> Option<String> {
        let id = &self.before.id;
        let mut expected = self.before.options.clone();
        expected.extend(
            self.member.changed.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        let Some(after) = account_region.instance(id) else {
            return Some(format!("{id} no longer exists"));
        };
        (after.options != expected).then(|| format!("{id} has {:?}, not {expected:?}", after.options))
    }
}

fn counts(sim: &Ec2Sim) -> String {
    let calls = sim.calls();
    let count = |action| calls.iter().filter(|call| call.action == action).count();
    let (describes, changes) = (count("DescribeInstances"), count("ModifyInstanceMetadataOptions"));
    format!("{changes} changes, {describes} descriptions, {} calls in total", calls.len())
}
