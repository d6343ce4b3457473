//! Metrics in CloudWatch's embedded metric format: JSON documents that CloudWatch Logs turns into metrics.
//!
//! Dimensions are few: each combination of their values is a metric that is paid for. Account and Region are properties,
//! for queries over the log.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use imds_core::ids::Place;
use imds_core::outcome::{Call, InstanceReport, Mode, Outcome};
use imds_core::trigger::TriggerKind;
use serde_json::{Map, Value, json};
use time::{Duration, OffsetDateTime};

use crate::aws::call_counts::Count;

/// The namespace of all metrics.
const NAMESPACE: &str = "ImdsEnforcer";

/// The most values that a metric has in one document.
const VALUES_PER_DOCUMENT: usize = 100;

/// How long before its end an exemption is counted.
const ENDING_WITHIN: Duration = Duration::days(14);

/// What one invocation did, in numbers.
#[derive(Debug, Default)]
pub struct Metrics {
    instances: BTreeMap<(Place, TriggerKind), Instances>,
    calls: BTreeMap<(Place, Call), Count>,
    sweeps: Vec<Place>,
}

/// Instances of one account and Region that came with one kind of event.
#[derive(Debug, Default)]
struct Instances {
    counts: BTreeMap<&'static str, usize>,
    /// In seconds.
    launch_to_applied: Vec<f64>,
}

impl Metrics {
    /// Counts an instance.
    pub fn add(&mut self, report: &InstanceReport, now: OffsetDateTime) {
        let InstanceReport { account, region, trigger, outcome, warnings, aside, .. } = report;
        let place = Place { account: account.clone(), region: region.clone() };
        let instances = self.instances.entry((place, *trigger)).or_default();
        // The change was made before the event came again.
        let is_pending_too_long = *outcome == Outcome::Pending && aside.redelivered;
        let is_ending = aside.exempt_until.is_some_and(|until| until - now.date() <= ENDING_WITHIN);
        for (name, count) in [
            (name(*outcome), 1),
            ("Warnings", warnings.len()),
            ("PendingTooLong", usize::from(is_pending_too_long)),
            ("ExemptionsEnding", usize::from(is_ending)),
        ] {
            *instances.counts.entry(name).or_default() += count;
        }
        instances.launch_to_applied.extend(aside.launch_to_applied.map(Duration::as_seconds_f64));
    }

    /// Counts calls to EC2 at `place`.
    pub fn add_calls(&mut self, place: &Place, counts: BTreeMap<Call, Count>) {
        for (call, Count { attempts, throttles }) in counts {
            let count = self.calls.entry((place.clone(), call)).or_default();
            count.attempts += attempts;
            count.throttles += throttles;
        }
    }

    /// Counts a sweep of `place` that came to its end.
    pub fn add_sweep(&mut self, place: Place) {
        self.sweeps.push(place);
    }

    /// The documents, for a line each.
    pub fn documents(&self, mode: Mode, now: OffsetDateTime) -> Vec<Map<String, Value>> {
        let document = |place, dimension, metrics| document(mode, now, place, dimension, metrics);
        let mut documents = Vec::new();
        for ((place, trigger), Instances { counts, launch_to_applied }) in &self.instances {
            let trigger = Some(("Trigger", json!(trigger)));
            let counted = counts.iter().filter(|(_, count)| **count > 0);
            let metrics = counted.map(|(name, count)| (*name, "Count", json!(count))).collect();
            documents.push(document(place, trigger.clone(), metrics));
            for values in launch_to_applied.chunks(VALUES_PER_DOCUMENT) {
                let metrics = vec![("LaunchToApplied", "Seconds", json!(values))];
                documents.push(document(place, trigger.clone(), metrics));
            }
        }
        let mut shares = self.throttled_shares();
        for ((place, call), Count { attempts, throttles }) in &self.calls {
            let mut metrics =
                vec![("Calls", "Count", json!(attempts)), ("Throttles", "Count", json!(throttles))];
            // Once for each place, with the first of its calls.
            metrics.extend(shares.remove(place).map(|share| ("ThrottledShare", "Percent", json!(share))));
            documents.push(document(place, Some(("Call", json!(call.to_string()))), metrics));
        }
        let sweeps = self.sweeps.iter();
        documents.extend(sweeps.map(|place| document(place, None, vec![("SweepsDone", "Count", json!(1))])));
        documents
    }

    /// How many of the calls to each place were throttled, in percent.
    fn throttled_shares(&self) -> BTreeMap<&Place, f64> {
        let mut counts: BTreeMap<&Place, Count> = BTreeMap::new();
        for ((place, _), Count { attempts, throttles }) in &self.calls {
            let count = counts.entry(place).or_default();
            count.attempts += attempts;
            count.throttles += throttles;
        }
        counts.retain(|_, count| count.attempts > 0);
        let share = |count: Count| 100.0 * count.throttles as f64 / count.attempts as f64;
        // The answer to a call of the invocation before may be counted in this one.
        counts.into_iter().map(|(place, count)| (place, share(count).min(100.0))).collect()
    }
}

/// A document of `metrics` (name, unit, value), with a directive for those that have the same dimension sets.
fn document(
    mode: Mode,
    now: OffsetDateTime,
    place: &Place,
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
    let timestamp = now.unix_timestamp() * 1000 + i64::from(now.millisecond());
    let fixed = [
        ("_aws", json!({"Timestamp": timestamp, "CloudWatchMetrics": directives})),
        ("Mode", json!(mode)),
        ("account", json!(place.account)),
        ("region", json!(place.region)),
    ];
    let values = metrics.into_iter().map(|(name, _, value)| (name, value));
    fixed.into_iter().chain(dimension).chain(values).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The dimension sets of a metric: by mode, and by mode and `dimension`. Those that alarms look at have sets without the
/// mode, as an alarm on a single metric costs less than one on metric math, and holds in both modes.
fn dimension_sets<'a>(metric: &str, dimension: Option<&'a str>) -> Vec<Vec<&'a str>> {
    let of_dimension = |set: &[&'a str]| dimension.map(|dimension| [set, &[dimension]].concat());
    let by_mode = [Some(vec!["Mode"]), of_dimension(&["Mode"])];
    let without_mode = match metric {
        "ThrottledShare" => return vec![Vec::new()],
        "SweepsDone" | "Denied" | "Failed" => [Some(Vec::new()), None],
        "Blocked" => [Some(Vec::new()), of_dimension(&[])],
        _ => [None, None],
    };
    without_mode.into_iter().chain(by_mode).flatten().collect()
}

/// The metric that counts instances of this outcome: its name in reports, in the case that metrics have.
fn name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Enforced => "Enforced",
        Outcome::Compliant => "Compliant",
        Outcome::WouldEnforce => "WouldEnforce",
        Outcome::Exempt => "Exempt",
        Outcome::OutOfScope => "OutOfScope",
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
