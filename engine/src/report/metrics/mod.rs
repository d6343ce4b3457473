//! Metrics in CloudWatch's embedded metric format: JSON documents that CloudWatch Logs turns into metrics.
//!
//! There are few dimensions because each combination of their values is a billed metric. Account and Region are
//! properties, which log queries can use.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use imds_core::call_error::Call;
use imds_core::ids::AccountRegion;
use imds_core::mode::Mode;
use imds_core::outcome::{InstanceOutcome, Outcome};
use imds_core::policy::is_ending;
use imds_core::trigger::TriggerKind;
use serde_json::{Map, Value, json};
use time::{Duration, OffsetDateTime};

use crate::aws::call_counts::Count;

/// The namespace of all metrics.
const NAMESPACE: &str = "ImdsEnforcer";

/// The maximum number of values of a metric in one document.
const VALUES_PER_DOCUMENT: usize = 100;

/// The metrics of one invocation.
#[derive(Debug, Default)]
pub struct Metrics {
    instances: BTreeMap<(AccountRegion, TriggerKind, Mode), Instances>,
    calls: BTreeMap<(AccountRegion, Call), Count>,
    /// The complete sweeps, each with the number of usage gates that end soon.
    sweeps: Vec<(AccountRegion, usize)>,
    /// The sweeps that sent no more changes, as too many failed.
    stopped: Vec<AccountRegion>,
    /// Events of ours that could not be read.
    unreadable: usize,
    /// Outcome events that were not put.
    events_not_put: usize,
}

/// The instances of one account and Region that one kind of event named.
#[derive(Debug, Default)]
struct Instances {
    counts: BTreeMap<&'static str, usize>,
    /// In seconds.
    launch_to_applied: Vec<f64>,
    /// The maximum of the exempt instances whose first run is known.
    oldest_exemption_days: Option<i64>,
}

impl Metrics {
    /// Counts an instance.
    pub fn add(&mut self, instance: &InstanceOutcome, now: OffsetDateTime) {
        let InstanceOutcome { account, region, trigger, mode, outcome, warnings, unlogged, .. } = instance;
        let account_region = AccountRegion { account: account.clone(), region: region.clone() };
        let instances = self.instances.entry((account_region, *trigger, *mode)).or_default();
        let is_ending = unlogged.exempt_until.is_some_and(|until| is_ending(until, now));
        for (name, count) in [
            (name(*outcome), 1),
            ("Warnings", warnings.len()),
            ("PendingTooLong", usize::from(unlogged.is_pending_too_long)),
            ("RejectedCalls", usize::try_from(unlogged.rejected_calls).unwrap_or(usize::MAX)),
            ("ExemptionsEnding", usize::from(is_ending)),
        ] {
            let so_far = instances.counts.entry(name).or_default();
            *so_far = so_far.saturating_add(count);
        }
        let first_ran = unlogged.first_ran.filter(|_| *outcome == Outcome::Exempt);
        let days = first_ran.map(|first_ran| (now - first_ran).whole_days().max(0));
        instances.oldest_exemption_days = instances.oldest_exemption_days.max(days);
        instances.launch_to_applied.extend(unlogged.launch_to_applied.map(Duration::as_seconds_f64));
    }

    /// Counts calls to EC2 and CloudWatch in `account_region`.
    pub fn add_calls(&mut self, account_region: &AccountRegion, counts: BTreeMap<Call, Count>) {
        for (call, Count { attempts, throttles }) in counts {
            let count = self.calls.entry((account_region.clone(), call)).or_default();
            count.attempts += attempts;
            count.throttles += throttles;
        }
    }

    /// Counts a complete sweep of `account_region`, and the usage gates that end soon.
    pub fn add_sweep(&mut self, account_region: AccountRegion, gates_ending: usize) {
        self.sweeps.push((account_region, gates_ending));
    }

    /// Counts a sweep of `account_region` that sent no more changes, as too many failed.
    pub fn add_stopped(&mut self, account_region: AccountRegion) {
        self.stopped.push(account_region);
    }

    /// Counts events of ours that could not be read.
    pub fn add_unreadable(&mut self, events: usize) {
        self.unreadable += events;
    }

    /// Counts outcome events that were not put.
    pub fn add_events_not_put(&mut self, events: usize) {
        self.events_not_put += events;
    }

    /// Returns the documents. Each is written as one log line. `mode` is that of the function, for what is not of an
    /// instance.
    pub fn documents(&self, mode: Mode, now: OffsetDateTime) -> Vec<Map<String, Value>> {
        let mut documents = self.of_instances(now);
        documents.extend(self.of_calls(mode, now));
        documents.extend(self.of_sweeps(mode, now));
        let of_no_account =
            [("UnreadableEvents", self.unreadable), ("OutcomeEventsFailed", self.events_not_put)];
        let of_no_account = of_no_account.into_iter().filter(|(_, count)| *count > 0);
        documents.extend(of_no_account.map(|(name, count)| document_of_events(mode, now, name, count)));
        documents
    }

    fn of_instances(&self, now: OffsetDateTime) -> Vec<Map<String, Value>> {
        let mut documents = Vec::new();
        for ((account_region, trigger, mode), instances) in &self.instances {
            let Instances { counts, launch_to_applied, oldest_exemption_days } = instances;
            let document = |dimension, metrics| document(*mode, now, account_region, dimension, metrics);
            let trigger = Some(("Trigger", json!(trigger)));
            let counted = counts.iter().filter(|(_, count)| **count > 0);
            let oldest = oldest_exemption_days.map(|days| ("OldestExemptionDays", "Count", json!(days)));
            let metrics = counted.map(|(name, count)| (*name, "Count", json!(count))).chain(oldest).collect();
            documents.push(document(trigger.clone(), metrics));
            for values in launch_to_applied.chunks(VALUES_PER_DOCUMENT) {
                let metrics = vec![("LaunchToApplied", "Seconds", json!(values))];
                documents.push(document(trigger.clone(), metrics));
            }
        }
        documents
    }

    fn of_calls(&self, mode: Mode, now: OffsetDateTime) -> Vec<Map<String, Value>> {
        let mut documents = Vec::new();
        let mut shares = self.throttled_shares();
        for ((account_region, call), Count { attempts, throttles }) in &self.calls {
            let mut metrics =
                vec![("Calls", "Count", json!(attempts)), ("Throttles", "Count", json!(throttles))];
            // Emitted once for each account and Region, with its first call.
            metrics.extend(
                shares.remove(account_region).map(|share| ("ThrottledShare", "Percent", json!(share))),
            );
            let call = Some(("Call", json!(call.to_string())));
            documents.push(document(mode, now, account_region, call, metrics));
        }
        documents
    }

    fn of_sweeps(&self, mode: Mode, now: OffsetDateTime) -> Vec<Map<String, Value>> {
        let of = |account_region, name, count: usize| {
            document(mode, now, account_region, None, vec![(name, "Count", json!(count))])
        };
        let done = self.sweeps.iter().map(|(swept, _)| of(swept, "SweepsDone", 1));
        let ending = self.sweeps.iter().filter(|(_, gates)| *gates > 0);
        let ending = ending.map(|(swept, gates)| of(swept, "GateEnding", *gates));
        let stopped = self.stopped.iter().map(|stopped| of(stopped, "SweepsStopped", 1));
        done.chain(ending).chain(stopped).collect()
    }

    /// Returns the share of calls that were throttled in each account and Region, in percent.
    fn throttled_shares(&self) -> BTreeMap<&AccountRegion, f64> {
        let mut counts: BTreeMap<&AccountRegion, Count> = BTreeMap::new();
        for ((account_region, _), Count { attempts, throttles }) in &self.calls {
            let count = counts.entry(account_region).or_default();
            count.attempts += attempts;
            count.throttles += throttles;
        }
        counts.retain(|_, count| count.attempts > 0);
        let share = |count: Count| 100.0 * count.throttles as f64 / count.attempts as f64;
        // A throttle of a call that the previous invocation sent may be counted in this one.
        counts.into_iter().map(|(account_region, count)| (account_region, share(count).min(100.0))).collect()
    }
}

/// Returns a document of `metrics` (name, unit, value), with one directive for all metrics with the same dimension
/// sets.
fn document(
    mode: Mode,
    now: OffsetDateTime,
    account_region: &AccountRegion,
    dimension: Option<(&str, Value)>,
    metrics: Vec<(&str, &str, Value)>,
) -> Map<String, Value> {
    let mut definitions: BTreeMap<Vec<Vec<&str>>, Vec<Value>> = BTreeMap::new();
    for (name, unit, _) in &metrics {
        let sets = dimension_sets(name, dimension.as_ref().map(|(name, _)| *name));
        definitions.entry(sets).or_default().push(json!({"Name": name, "Unit": unit}));
    }
    let directive =
        |(sets, definitions)| json!({"Namespace": NAMESPACE, "Dimensions": sets, "Metrics": definitions});
    let directives: Vec<Value> = definitions.into_iter().map(directive).collect();
    let fixed = [
        ("_aws", json!({"Timestamp": milliseconds(now), "CloudWatchMetrics": directives})),
        ("Mode", json!(mode)),
        ("account", json!(account_region.account)),
        ("region", json!(account_region.region)),
    ];
    let values = metrics.into_iter().map(|(name, _, value)| (name, value));
    fixed.into_iter().chain(dimension).chain(values).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Creates the document of a metric that counts events, and has neither an account and Region nor a dimension.
fn document_of_events(mode: Mode, now: OffsetDateTime, name: &str, events: usize) -> Map<String, Value> {
    let directive =
        json!({"Namespace": NAMESPACE, "Dimensions": [[]], "Metrics": [{"Name": name, "Unit": "Count"}]});
    let metadata = json!({"Timestamp": milliseconds(now), "CloudWatchMetrics": [directive]});
    let fields = [("_aws", metadata), ("Mode", json!(mode)), (name, json!(events))];
    fields.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
}

fn milliseconds(now: OffsetDateTime) -> i64 {
    now.unix_timestamp() * 1000 + i64::from(now.millisecond())
}

/// Returns the dimension sets of a metric: by mode, and by mode and `dimension`. Metrics that alarms use also have sets
/// without the mode, as an alarm on a single metric costs less than one on metric math and works in both modes.
fn dimension_sets<'a>(metric: &str, dimension: Option<&'a str>) -> Vec<Vec<&'a str>> {
    let of_dimension = |set: &[&'a str]| dimension.map(|dimension| [set, &[dimension]].concat());
    let by_mode = [Some(vec!["Mode"]), of_dimension(&["Mode"])];
    let without_mode = match metric {
        "ThrottledShare" => return vec![Vec::new()],
        "RejectedCalls" => return vec![Vec::new(), vec!["Mode"]],
        "SweepsDone" | "SweepsStopped" | "GateEnding" | "Denied" | "Failed" => [Some(Vec::new()), None],
        "Blocked" => [Some(Vec::new()), of_dimension(&[])],
        _ => [None, None],
    };
    without_mode.into_iter().chain(by_mode).flatten().collect()
}

/// Returns the metric that counts instances with this outcome: the outcome's name in reports, in Pascal case.
fn name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Enforced => "Enforced",
        Outcome::Compliant => "Compliant",
        Outcome::WouldEnforce => "WouldEnforce",
        Outcome::Exempt => "Exempt",
        Outcome::OutOfScope => "OutOfScope",
        Outcome::InUse => "InUse",
        Outcome::Deferred => "Deferred",
        // Only runs of a plan have it, which publish no metrics.
        Outcome::ChangedSincePlan => "ChangedSincePlan",
        Outcome::Blocked => "Blocked",
        Outcome::Denied => "Denied",
        Outcome::Gone => "Gone",
        Outcome::Pending => "Pending",
        Outcome::NotReady => "NotReady",
        Outcome::Throttled => "Throttled",
        Outcome::Unreachable => "Unreachable",
        Outcome::Failed { .. } => "Failed",
    }
}
