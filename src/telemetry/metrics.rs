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

    /// The dimension sets of each metric, by its name.
    fn sets(documents: &[Value]) -> BTreeMap<String, Value> {
        let directives = documents.iter().flat_map(|d| d["_aws"]["CloudWatchMetrics"].as_array().unwrap());
        let sets = directives.flat_map(|directive| {
            let metrics = directive["Metrics"].as_array().unwrap().iter();
            metrics
                .map(|metric| (metric["Name"].as_str().unwrap().to_owned(), directive["Dimensions"].clone()))
        });
        sets.collect()
    }

    #[test]
    fn what_alarms_look_at_has_sets_without_the_mode() {
        let failed = Outcome::Failed { retry: true };
        let outcomes = [Outcome::Enforced, Outcome::Denied, Outcome::Blocked, failed];
        let documents = documents(outcomes.map(|outcome| report(outcome, Aside::default())));
        assert_eq!(documents.len(), 1);
        let expected = [
            ("Blocked", json!([[], ["Trigger"], ["Mode"], ["Mode", "Trigger"]])),
            ("Denied", json!([[], ["Mode"], ["Mode", "Trigger"]])),
            ("Enforced", json!([["Mode"], ["Mode", "Trigger"]])),
            ("Failed", json!([[], ["Mode"], ["Mode", "Trigger"]])),
            ("Warnings", json!([["Mode"], ["Mode", "Trigger"]])),
        ];
        assert_eq!(sets(&documents), expected.map(|(name, sets)| (name.to_owned(), sets)).into());
    }

    #[test]
    fn the_share_of_throttled_calls_comes_once_a_place() {
        let [one, other, idle] = ["us-east-1", "us-east-2", "us-west-1"].map(|region| {
            let account = AccountId::new("111122223333").unwrap();
            Place { account, region: Region::new(region).unwrap() }
        });
        let count = |attempts, throttles| Count { attempts, throttles };
        let mut metrics = Metrics::default();
        metrics.add_calls(&one, [(Call::DescribeInstances, count(1, 0))].into());
        let changes = (Call::ModifyInstanceMetadataOptions, count(4, 3));
        metrics.add_calls(&one, [(Call::DescribeInstances, count(1, 0)), changes].into());
        metrics.add_calls(&other, [changes].into());
        // The answer to a call that was counted before.
        metrics.add_calls(&idle, [(Call::DescribeInstances, count(0, 1))].into());
        metrics.add_sweep(one);
        let documents =
            metrics.documents(Mode::Enforce, NOW).into_iter().map(Value::Object).collect::<Vec<_>>();
        let values =
            documents.iter().map(|d| json!([d["region"], d["Calls"], d["Throttles"], d["ThrottledShare"]]));
        let expected = json!([
            ["us-east-1", 2, 0, 50.0],
            ["us-east-1", 4, 3, null],
            ["us-east-2", 4, 3, 75.0],
            ["us-west-1", 0, 1, null],
            ["us-east-1", null, null, null],
        ]);
        assert_eq!(json!(values.collect::<Vec<_>>()), expected);
        let expected = [
            ("Calls", json!([["Mode"], ["Mode", "Call"]])),
            ("SweepsDone", json!([[], ["Mode"]])),
            ("ThrottledShare", json!([[]])),
            ("Throttles", json!([["Mode"], ["Mode", "Call"]])),
        ];
        assert_eq!(sets(&documents), expected.map(|(name, sets)| (name.to_owned(), sets)).into());
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
