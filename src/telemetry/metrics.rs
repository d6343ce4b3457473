//! Metrics in CloudWatch's embedded metric format: JSON documents that CloudWatch Logs turns into metrics.
//!
//! Dimensions are few: each combination of their values is a metric that is paid for. Account and Region are properties,
//! for queries over the log.

use std::collections::BTreeMap;

use imds_core::ids::Place;
use imds_core::outcome::{Call, InstanceReport, Mode, Outcome};
use imds_core::trigger::TriggerKind;
use serde_json::{Map, Value, json};
use time::{Duration, OffsetDateTime};

use crate::ec2::Count;

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
        self.calls.extend(counts.into_iter().map(|(call, count)| ((place.clone(), call), count)));
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
        for ((place, call), Count { attempts, throttles }) in &self.calls {
            let metrics = vec![("Calls", "Count", json!(attempts)), ("Throttles", "Count", json!(throttles))];
            documents.push(document(place, Some(("Call", json!(call.to_string()))), metrics));
        }
        let sweeps = self.sweeps.iter();
        documents.extend(sweeps.map(|place| document(place, None, vec![("SweepsDone", "Count", json!(1))])));
        documents
    }
}

/// A document of `metrics` (name, unit, value), by mode, and by mode and `dimension`.
fn document(
    mode: Mode,
    now: OffsetDateTime,
    place: &Place,
    dimension: Option<(&str, Value)>,
    metrics: Vec<(&str, &str, Value)>,
) -> Map<String, Value> {
    let mut sets = vec![vec!["Mode"]];
    sets.extend(dimension.iter().map(|(name, _)| vec!["Mode", *name]));
    let definitions = metrics.iter().map(|(name, unit, _)| json!({"Name": name, "Unit": unit}));
    let directive = json!({
        "Namespace": NAMESPACE, "Dimensions": sets, "Metrics": definitions.collect::<Vec<_>>(),
    });
    let timestamp = now.unix_timestamp() * 1000 + i64::from(now.millisecond());
    let fixed = [
        ("_aws", json!({"Timestamp": timestamp, "CloudWatchMetrics": [directive]})),
        ("Mode", json!(mode)),
        ("account", json!(place.account)),
        ("region", json!(place.region)),
    ];
    let values = metrics.into_iter().map(|(name, _, value)| (name, value));
    fixed.into_iter().chain(dimension).chain(values).map(|(name, value)| (name.to_owned(), value)).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use imds_core::ids::{AccountId, InstanceId, Region};
    use imds_core::outcome::Aside;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-03-17 12:00 UTC);

    fn report(outcome: Outcome, aside: Aside) -> InstanceReport {
        InstanceReport {
            account: AccountId::new("111122223333").unwrap(),
            region: Region::new("us-east-1").unwrap(),
            instance_id: InstanceId::new("i-01234567").unwrap(),
            trigger: TriggerKind::Launch,
            outcome,
            before: None,
            change: None,
            state: None,
            reasons: Vec::new(),
            warnings: vec!["w".to_owned(); 2],
            aside,
        }
    }

    fn documents(reports: impl IntoIterator<Item = InstanceReport>) -> Vec<Value> {
        let mut metrics = Metrics::default();
        reports.into_iter().for_each(|report| metrics.add(&report, NOW));
        metrics.documents(Mode::Enforce, NOW).into_iter().map(Value::Object).collect()
    }

    #[test]
    fn instances_are_counted_by_trigger() {
        let expected = json!({
            "_aws": {"Timestamp": 1_773_748_800_000_i64, "CloudWatchMetrics": [{
                "Namespace": "ImdsEnforcer", "Dimensions": [["Mode"], ["Mode", "Trigger"]],
                "Metrics": [{"Name": "Gone", "Unit": "Count"}, {"Name": "Warnings", "Unit": "Count"}],
            }]},
            "Mode": "enforce", "Trigger": "launch", "account": "111122223333", "region": "us-east-1",
            "Gone": 3, "Warnings": 6,
        });
        assert_eq!(documents(vec![report(Outcome::Gone, Aside::default()); 3]), [expected]);
    }

    #[test]
    fn what_lasts_too_long_or_ends_soon_is_counted() {
        let pending = |redelivered| {
            let aside = Aside { redelivered, ..Aside::default() };
            documents([report(Outcome::Pending, aside)])[0].get("PendingTooLong").cloned()
        };
        assert_eq!((pending(false), pending(true)), (None, Some(json!(1))));
        let exempt = |until| {
            let aside = Aside { exempt_until: Some(until), ..Aside::default() };
            documents([report(Outcome::Exempt, aside)])[0].get("ExemptionsEnding").cloned()
        };
        assert_eq!(exempt(time::macros::date!(2026 - 03 - 31)), Some(json!(1)));
        assert_eq!(exempt(time::macros::date!(2026 - 04 - 01)), None);
    }

    #[test]
    fn no_document_has_more_values_than_cloudwatch_takes() {
        let applied = |n| Aside { launch_to_applied: Some(Duration::seconds(n)), ..Aside::default() };
        let documents = documents((0..250).map(|n| report(Outcome::Enforced, applied(n))));
        let values = documents.iter().filter_map(|d| d.get("LaunchToApplied")?.as_array());
        assert_eq!(values.map(Vec::len).collect::<Vec<_>>(), [100, 100, 50]);
    }
}
