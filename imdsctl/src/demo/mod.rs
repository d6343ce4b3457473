//! `imdsctl demo`: the closed loop in one process.

mod fleet;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use ec2_sim::{AccountRegion, Ec2Sim, InstanceView, Settings};
use imds_core::metadata::OptionName;
use imds_core::outcome::InstanceOutcome;
use imds_enforcer::config::Config;
use imds_enforcer::handler;
use imds_engine::aws::clients::RegionClients;
use imds_engine::aws::settings;
use imds_engine::deadline::Deadline;
use imds_engine::reconcile::Enforcer;
use serde_json::{Value, json};
use terminal_size::{Width, terminal_size_of};

use crate::clock;
use crate::exit::Exit;
use crate::paragraph::{Paragraph, summary};
use fleet::{FLEET, Member};

/// Enforce a policy on a small fleet in an embedded EC2, and show what was done and why.
///
/// Starts ec2-sim inside this process, launches instances of every kind, and passes EC2's events to the Lambda
/// function's own handler. Then it compares every instance with what the policy requires. It needs no AWS account,
/// credentials or network, and ends by itself.
///
/// To try an embedded EC2 that stays, run `ec2-sim`. For your own instances, see `imdsctl explain`.
///
/// Exit codes: 0 every instance is as expected, 1 some are not, 2 error.
#[derive(Args)]
pub struct Arguments {}

const ACCOUNT: &str = "111122223333";
const REGION: &str = "us-east-1";
/// How many days the exemption in the demo's policy lasts.
const EXEMPT_DAYS: i64 = 90;

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
    let until = clock::now().date().saturating_add(time::Duration::days(EXEMPT_DAYS));
    let policy = fleet::policy(until);
    let fleet = launch(&account_region);
    let events = sim.take_events();
    writeln!(
        out,
        "An embedded EC2 runs in this process. The policy:\n\n{policy}\n\n\
         {} instances were launched. EventBridge delivers {} events to the function.\n",
        fleet.len(),
        events.len()
    )?;
    out.flush()?;

    let outcomes = RefCell::new(Vec::new());
    let on_report = |outcome: &InstanceOutcome| outcomes.borrow_mut().push(outcome.clone());
    let deadline = Deadline::new(clock::now(), Duration::from_secs(60));
    let answer = handler::answer(&enforcer(&sim, &policy)?, sqs_batch(&events), deadline, &on_report).await;
    let response = answer.response.context("the function failed")?;
    let settled = response == json!({"batchItemFailures": []});

    print_outcomes(&fleet, &outcomes.take(), out)?;
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
        "Every instance complies with the policy, and nothing else was changed:\n{}.",
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
fn enforcer(sim: &Ec2Sim, policy: &str) -> Result<Enforcer> {
    let config = Config::from_lookup(|name| (name == "IMDS_POLICY").then(|| policy.to_owned()))?;
    let sdk = settings::for_simulator(&sim.endpoint(), ACCOUNT, REGION);
    let clients = RegionClients::new(sdk, config.modify_limit, None);
    Ok(config.into_enforcer(clients))
}

fn sqs_batch(events: &[Value]) -> Value {
    let record = |(number, event): (usize, &Value)| {
        let (id, body) = (number.to_string(), event.to_string());
        json!({"messageId": id, "eventSource": "aws:sqs", "body": body})
    };
    json!({"Records": events.iter().enumerate().map(record).collect::<Vec<_>>()})
}

/// Prints a paragraph for each instance, and how many have each outcome.
fn print_outcomes(
    fleet: &[DemoInstance],
    reports: &[InstanceOutcome],
    out: &mut impl Write,
) -> io::Result<()> {
    const LEAST_WIDTH: usize = 80;
    let width = terminal_size_of(io::stdout()).map_or(0, |(Width(columns), _)| usize::from(columns));
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for instance in fleet {
        let report = reports.iter().find(|report| report.instance_id.as_str() == instance.before.id);
        let word = report.map_or("not reported", |report| report.outcome.as_str());
        *counts.entry(word).or_default() += 1;
        let paragraph = Paragraph {
            title: format!("{} {:?}, {}", instance.before.id, instance.member.name, instance.before.state),
            word,
            details: instance.before(),
            before: report.and_then(|report| report.before.as_ref()),
            change: report.and_then(|report| report.change.as_ref()),
            reasons: report.map(|report| &*report.reasons).unwrap_or_default(),
            warnings: report.map(|report| &*report.warnings).unwrap_or_default(),
        };
        paragraph.print(width.max(LEAST_WIDTH), out)?;
    }
    writeln!(out, "{}\n", summary(&counts))
}

impl DemoInstance {
    /// Returns the options that the policy names or that differ from the defaults, and the tags.
    fn before(&self) -> Vec<String> {
        const USUAL: [&str; 3] =
            ["HttpEndpoint=enabled", "HttpProtocolIpv6=disabled", "InstanceMetadataTags=disabled"];
        let option = |name: OptionName| Some(format!("{name}={}", self.before.options.get(name.as_str())?));
        let options = OptionName::ALL.into_iter().filter_map(option);
        let options: Vec<String> = options.filter(|option| !USUAL.contains(&option.as_str())).collect();
        let tags = self.before.tags.iter().map(|(key, value)| format!("tag: {key}={value}"));
        [format!("before: {}", options.join(", "))].into_iter().chain(tags).collect()
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
