use super::*;
use crate::report::sample::instance as report;
use imds_core::ids::{AccountId, Region};
use imds_core::outcome::Unlogged;
use time::macros::datetime;

const NOW: OffsetDateTime = datetime!(2026-03-17 12:00 UTC);

fn documents(reports: impl IntoIterator<Item = InstanceOutcome>) -> Vec<Value> {
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
    assert_eq!(documents(vec![report(Outcome::Gone, Unlogged::default()); 3]), [expected]);
}

/// The dimension sets of each metric, by its name.
fn sets(documents: &[Value]) -> BTreeMap<String, Value> {
    let directives = documents.iter().flat_map(|d| d["_aws"]["CloudWatchMetrics"].as_array().unwrap());
    let sets = directives.flat_map(|directive| {
        let metrics = directive["Metrics"].as_array().unwrap().iter();
        metrics.map(|metric| (metric["Name"].as_str().unwrap().to_owned(), directive["Dimensions"].clone()))
    });
    sets.collect()
}

#[test]
fn metrics_that_alarms_use_have_sets_without_the_mode() {
    let failed = Outcome::Failed { retry: true };
    let outcomes = [Outcome::Enforced, Outcome::Denied, Outcome::Blocked, failed];
    let documents = documents(outcomes.map(|outcome| report(outcome, Unlogged::default())));
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
fn the_share_of_throttled_calls_is_emitted_once_per_account_and_region() {
    let [one, other, idle] = ["us-east-1", "us-east-2", "us-west-1"].map(|region| {
        let account = AccountId::new("111122223333").unwrap();
        AccountRegion { account, region: Region::new(region).unwrap() }
    });
    let count = |attempts, throttles| Count { attempts, throttles };
    let mut metrics = Metrics::default();
    metrics.add_calls(&one, [(Call::DescribeInstances, count(1, 0))].into());
    let changes = (Call::ModifyInstanceMetadataOptions, count(4, 3));
    metrics.add_calls(&one, [(Call::DescribeInstances, count(1, 0)), changes].into());
    metrics.add_calls(&other, [changes].into());
    // The throttle of a call that an earlier invocation counted.
    metrics.add_calls(&idle, [(Call::DescribeInstances, count(0, 1))].into());
    metrics.add_sweep(one, 0);
    let documents = metrics.documents(Mode::Enforce, NOW).into_iter().map(Value::Object).collect::<Vec<_>>();
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
fn long_pending_changes_and_ending_exemptions_are_counted() {
    let pending = |is_pending_too_long| {
        let unlogged = Unlogged { is_pending_too_long, ..Unlogged::default() };
        documents([report(Outcome::Pending, unlogged)])[0].get("PendingTooLong").cloned()
    };
    assert_eq!((pending(false), pending(true)), (None, Some(json!(1))));
    let exempt = |until| {
        let unlogged = Unlogged { exempt_until: Some(until), ..Unlogged::default() };
        documents([report(Outcome::Exempt, unlogged)])[0].get("ExemptionsEnding").cloned()
    };
    assert_eq!(exempt(time::macros::date!(2026 - 03 - 31)), Some(json!(1)));
    assert_eq!(exempt(time::macros::date!(2026 - 04 - 01)), None);
}

#[test]
fn the_oldest_exempt_instance_is_told() {
    let days = |outcomes: &[(Outcome, Option<i64>)]| {
        let reports = outcomes.iter().map(|(outcome, days)| {
            let first_ran = days.map(|days| NOW - Duration::days(days) - Duration::HOUR);
            report(*outcome, Unlogged { first_ran, ..Unlogged::default() })
        });
        documents(reports)[0].get("OldestExemptionDays").cloned()
    };
    type Row<'a> = (&'a [(Outcome, Option<i64>)], Option<i64>);
    let rows: &[Row<'_>] = &[
        (&[(Outcome::Exempt, Some(30)), (Outcome::Exempt, Some(400)), (Outcome::Exempt, Some(7))], Some(400)),
        (&[(Outcome::Exempt, None), (Outcome::Exempt, Some(7))], Some(7)),
        (&[(Outcome::Exempt, Some(0))], Some(0)),
        // The clocks of EC2 and Lambda may differ.
        (&[(Outcome::Exempt, Some(-1))], Some(0)),
        (&[(Outcome::Exempt, None)], None),
        (&[(Outcome::Enforced, Some(30))], None),
    ];
    for (outcomes, expected) in rows {
        assert_eq!(days(outcomes), expected.map(|days| json!(days)), "{outcomes:?}");
    }
    let exempt = Unlogged { first_ran: Some(NOW), ..Unlogged::default() };
    let sets = sets(&documents([report(Outcome::Exempt, exempt)]));
    assert_eq!(sets["OldestExemptionDays"], json!([["Mode"], ["Mode", "Trigger"]]));
}

#[test]
fn no_document_has_more_values_than_cloudwatch_takes() {
    let applied = |n| Unlogged { launch_to_applied: Some(Duration::seconds(n)), ..Unlogged::default() };
    let documents = documents((0..250).map(|n| report(Outcome::Enforced, applied(n))));
    let values = documents.iter().filter_map(|d| d.get("LaunchToApplied")?.as_array());
    assert_eq!(values.map(Vec::len).collect::<Vec<_>>(), [100, 100, 50]);
}

#[test]
fn an_instance_counts_in_its_own_mode_and_not_in_that_of_the_function() {
    let mut dry = report(Outcome::WouldEnforce, Unlogged::default());
    dry.mode = Mode::DryRun;
    let documents = documents([report(Outcome::InUse, Unlogged::default()), dry]);
    let found: Vec<Value> =
        documents.iter().map(|d| json!([d["Mode"], d["InUse"], d["WouldEnforce"]])).collect();
    assert_eq!(json!(found), json!([["enforce", 1, null], ["dry-run", null, 1]]));
}

#[test]
fn what_alarms_look_at_has_no_dimension() {
    let one = AccountRegion {
        account: AccountId::new("111122223333").unwrap(),
        region: Region::new("us-east-1").unwrap(),
    };
    let mut metrics = Metrics::default();
    let rejected = Unlogged { rejected_calls: u64::MAX, ..Unlogged::default() };
    metrics.add(&report(Outcome::Compliant, rejected), NOW);
    metrics.add(&report(Outcome::Compliant, Unlogged { rejected_calls: 5, ..rejected }), NOW);
    metrics.add_sweep(one.clone(), 2);
    metrics.add_stopped(one);
    let documents: Vec<Value> =
        metrics.documents(Mode::Enforce, NOW).into_iter().map(Value::Object).collect();
    for (name, value, sets) in [
        ("RejectedCalls", json!(usize::MAX), json!([[], ["Mode"]])),
        ("SweepsDone", json!(1), json!([[], ["Mode"]])),
        ("GateEnding", json!(2), json!([[], ["Mode"]])),
        ("SweepsStopped", json!(1), json!([[], ["Mode"]])),
    ] {
        let of = documents.iter().find(|document| !document[name].is_null()).expect(name);
        let directives = of["_aws"]["CloudWatchMetrics"].as_array().expect("directives");
        let has = |directive: &&Value| directive["Metrics"].to_string().contains(&format!("\"{name}\""));
        let directive = directives.iter().find(has).expect(name);
        assert_eq!((&of[name], &directive["Dimensions"]), (&value, &sets), "{name}");
    }
}
