//! `imdsctl demo`: the closed loop in one process.

mod fleet;
mod keep;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::SocketAddr;
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
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::clock;
use crate::exit::Exit;
use crate::output::{LEAST_WIDTH, width};
use crate::paragraph::{Paragraph, summary};
use fleet::{ACCOUNT, FLEET, LOOKBACK_DAYS, Member, REGION};

/// Enforce a policy on a small fleet in an embedded EC2, and show what was done and why.
///
/// Starts ec2-sim inside this process, launches instances of every kind, and passes EC2's events and a sweep to the
/// Lambda function's own handler. Then it compares every instance with what the policy requires. It needs no AWS
/// account, credentials or network, and ends by itself.
///
/// With --keep, nothing is enforced. The embedded EC2 stays, with a fleet on which `imdsctl audit`, `plan`, `apply` and
/// `restore` can be tried at once. The output says how.
///
/// Exit codes: 0 every instance is as expected, 1 some are not, 2 error.
#[derive(Args)]
pub struct Arguments {
    /// Keep the embedded EC2 running until Ctrl-C, for the other commands.
    #[arg(long)]
    keep: bool,
    /// The address of the embedded EC2 with --keep.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4566", requires = "keep")]
    listen: SocketAddr,
}

/// How many days the exemption in the demo's policy lasts.
const EXEMPT_DAYS: i64 = 90;

/// An instance of the demo.
struct DemoInstance {
    member: &'static Member,
    before: InstanceView,
    /// What the function reported.
    report: Option<InstanceOutcome>,
}

/// Runs the demo.
pub async fn run(arguments: &Arguments, out: &mut impl Write) -> Result<Exit> {
    if arguments.keep {
        return keep::run(arguments.listen, out).await;
    }
    let sim = Ec2Sim::start(Settings::default())
        .await
        .context("ec2-sim cannot listen on a free port of 127.0.0.1")?;
    let account_region = sim.account_region(ACCOUNT, REGION);
    let now = clock::now();
    let policy = fleet::policy(now.date().saturating_add(time::Duration::days(EXEMPT_DAYS)));
    let mut fleet = launch(&account_region, now);
    let events = sim.take_events();
    writeln!(
        out,
        "An embedded EC2 runs in this process. The policy:\n\n{policy}\n\n\
         {} instances exist. EventBridge delivers the {} events of those that were just\n\
         launched, and a sweep, to the function.\n",
        fleet.len(),
        events.len()
    )?;
    out.flush()?;
    let response = enforce(&sim, &policy, &events, &mut fleet).await?;
    print_outcomes(&fleet, out)?;
    print_conclusion(&sim, &fleet, &response, out)
}

fn launch(account_region: &AccountRegion, now: OffsetDateTime) -> Vec<DemoInstance> {
    let launched = |member: &'static Member| {
        let ids = member.launch(account_region, now);
        let instance = move |id: String| {
            let before = account_region.instance(&id)?;
            Some(DemoInstance { member, before, report: None })
        };
        ids.into_iter().filter_map(instance)
    };
    FLEET.iter().flat_map(launched).collect()
}

/// Passes the events and a sweep to the function, and assigns what it reports. Returns its response.
async fn enforce(sim: &Ec2Sim, policy: &str, events: &[Value], fleet: &mut [DemoInstance]) -> Result<Value> {
    let reports = RefCell::new(BTreeMap::new());
    let on_report = |report: &InstanceOutcome| {
        reports.borrow_mut().insert(report.instance_id.to_string(), report.clone());
    };
    let now = clock::now();
    let deadline = Deadline::new(now, Duration::from_secs(60));
    let batch = sqs_batch(events.iter().chain([&sweep(now)?]));
    let answer = handler::answer(&enforcer(sim, policy)?, batch, deadline, &on_report).await;
    let mut reports = reports.take();
    for instance in fleet {
        instance.report = reports.remove(&instance.before.id);
    }
    answer.response.context("the function failed")
}

/// Returns the event that the schedule of sweeps sends.
fn sweep(now: OffsetDateTime) -> Result<Value> {
    let time = now.format(&Rfc3339).context("the clock shows a year that RFC 3339 does not have")?;
    Ok(json!({
        "id": "sweep", "source": "imds-enforcer", "detail-type": "Sweep", "detail": {},
        "account": ACCOUNT, "region": REGION, "time": time,
    }))
}

/// Returns the function as it runs in Lambda, except for the EC2 endpoint. Reads nothing from the environment.
fn enforcer(sim: &Ec2Sim, policy: &str) -> Result<Enforcer> {
    let config = Config::from_lookup(|name| (name == "IMDS_POLICY").then(|| policy.to_owned()))?;
    let sdk = settings::for_simulator(&sim.endpoint(), ACCOUNT, REGION);
    let clients = RegionClients::new(sdk, config.modify_limit, None);
    Ok(config.into_enforcer(clients))
}

fn sqs_batch<'a>(events: impl Iterator<Item = &'a Value>) -> Value {
    let record = |(number, event): (usize, &Value)| {
        let (id, body) = (number.to_string(), event.to_string());
        json!({"messageId": id, "eventSource": "aws:sqs", "body": body})
    };
    json!({"Records": events.enumerate().map(record).collect::<Vec<_>>()})
}

/// Prints a paragraph for each instance, and how many have each outcome.
fn print_outcomes(fleet: &[DemoInstance], out: &mut impl Write) -> io::Result<()> {
    let width = width(LEAST_WIDTH);
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for instance in fleet {
        *counts.entry(instance.outcome()).or_default() += 1;
        instance.paragraph().print(width, out)?;
    }
    writeln!(
        out,
        "{}\n\nin-use: IMDSv2 is required only after {LOOKBACK_DAYS} days without a call of IMDSv1.\n",
        summary(&counts)
    )
}

/// Prints whether every instance is as expected, and returns that.
fn print_conclusion(
    sim: &Ec2Sim,
    fleet: &[DemoInstance],
    response: &Value,
    out: &mut impl Write,
) -> Result<Exit> {
    let account_region = sim.account_region(ACCOUNT, REGION);
    let wrong: Vec<String> = fleet.iter().filter_map(|instance| instance.wrong(&account_region)).collect();
    for line in &wrong {
        writeln!(out, "{line}")?;
    }
    if !wrong.is_empty() || *response != json!({"batchItemFailures": []}) {
        writeln!(out, "Some instances are not as expected. The function returned {response}.")?;
        return Ok(Exit::Findings);
    }
    writeln!(
        out,
        "Every instance complies with the policy or is held back, and nothing else was\nchanged: {}.",
        counts(sim)
    )?;
    Ok(Exit::Compliant)
}

impl DemoInstance {
    fn outcome(&self) -> &'static str {
        self.report.as_ref().map_or("not reported", |report| report.outcome.as_str())
    }

    fn paragraph(&self) -> Paragraph<'_> {
        let report = self.report.as_ref();
        Paragraph {
            title: format!("{} {:?}, {}", self.before.id, self.member.name, self.before.state),
            word: self.outcome(),
            details: self.before(),
            before: report.and_then(|report| report.before.as_ref()),
            change: report.and_then(|report| report.change.as_ref()),
            reasons: report.map(|report| &*report.reasons).unwrap_or_default(),
            warnings: report.map(|report| &*report.warnings).unwrap_or_default(),
        }
    }

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

    /// Returns what is wrong, if the outcome or the options are not those expected of the member, or another option
    /// changed.
    fn wrong(&self, account_region: &AccountRegion) -> Option<String> {
        let id = &self.before.id;
        let mut expected = self.before.options.clone();
        expected.extend(
            self.member.changed.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        let Some(after) = account_region.instance(id) else {
            return Some(format!("{id} no longer exists"));
        };
        let (outcome, wanted) = (self.outcome(), self.member.outcome);
        if outcome != wanted {
            return Some(format!("{id} is {outcome}, not {wanted}"));
        }
        (after.options != expected).then(|| format!("{id} has {:?}, not {expected:?}", after.options))
    }
}

fn counts(sim: &Ec2Sim) -> String {
    let calls = sim.calls();
    let count = |action| calls.iter().filter(|call| call.action == action).count();
    let (describes, changes) = (count("DescribeInstances"), count("ModifyInstanceMetadataOptions"));
    let usage = count("GetMetricData");
    format!(
        "{changes} changes, {describes} descriptions, {usage} GetMetricData, {} calls in total",
        calls.len()
    )
}
