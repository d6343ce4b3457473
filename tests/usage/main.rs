//! What CloudWatch says of calls without a token.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod faults;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use ec2_sim::{Ec2Sim, RecordedCall, Settings};
use imds_core::call_error::{Call, CallError};
use imds_core::ids::{AccountId, AccountRegion, InstanceId, Region};
use imds_core::usage::Usage;
use imds_engine::aws::client::RegionClient;
use imds_engine::aws::clients::{MemberRole, RegionClients};
use imds_engine::aws::settings::for_simulator;
use imds_engine::deadline::Deadline;
use time::Date;
use time::macros::{date, datetime};

use support::{ACCOUNT, REGION};

const CALL: &str = "GetMetricData";
const USED: &str = "MetadataNoToken";
const MEMBER: &str = "444455556666";

/// The time of all questions, and the first day of those about use.
const NOW: time::OffsetDateTime = datetime!(2026-11-24 15:30 UTC);
const SINCE: Date = date!(2026 - 11 - 10);

/// A simulator, and the clients of a function in [`ACCOUNT`] that may assume a role in other accounts.
struct CloudWatch {
    sim: Ec2Sim,
    clients: RegionClients,
}

impl CloudWatch {
    async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    async fn with(settings: Settings) -> Self {
        let sim = Ec2Sim::start(settings).await.unwrap();
        let role = MemberRole { name: "imds-enforcer-member".to_owned(), session: "tests".to_owned() };
        let limit = imds_engine::aws::rate_limit::RateLimit { ceiling: 1.0, burst: 80 };
        let clients = RegionClients::new(for_simulator(&sim.endpoint(), ACCOUNT, REGION), limit, Some(role));
        clients.invoked_as(&format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:tests"));
        Self { sim, clients }
    }

    async fn client(&self, account: &str) -> RegionClient {
        let (account, region) = (AccountId::new(account).unwrap(), Region::new(REGION).unwrap());
        self.clients.get(&AccountRegion { account, region }).await
    }

    /// Sets the calls without a token to an instance on days.
    fn used(&self, id: &InstanceId, days: &[(Date, f64)]) {
        let sums: Vec<_> = days.iter().map(|(day, calls)| (*day, Some(*calls))).collect();
        self.sim.account_region(ACCOUNT, REGION).set_daily_sums(&[id.to_string()], USED, &sums);
    }

    /// The use of instances since [`SINCE`].
    async fn ask(&self, ids: &[InstanceId]) -> BTreeMap<InstanceId, Result<Usage, CallError>> {
        self.ask_within(ids, Duration::from_secs(120)).await
    }

    async fn ask_within(
        &self,
        ids: &[InstanceId],
        allowed: Duration,
    ) -> BTreeMap<InstanceId, Result<Usage, CallError>> {
        let client = self.client(ACCOUNT).await;
        client.calls_without_token(ids, SINCE, NOW, &Deadline::new(NOW, allowed)).await
    }

    /// The calls of GetMetricData so far.
    fn calls(&self) -> Vec<RecordedCall> {
        self.sim.calls().into_iter().filter(|call| call.action == CALL).collect()
    }
}

/// Instance IDs.
fn instances<const N: usize>() -> [InstanceId; N] {
    std::array::from_fn(|number| InstanceId::new(&format!("i-{number:017x}")).unwrap())
}

fn days(days: &[(Date, u64)]) -> Result<Usage, CallError> {
    Ok(Usage::Days(days.iter().copied().collect()))
}

#[tokio::test]
async fn each_instance_has_its_days_with_data() {
    let cloudwatch = CloudWatch::new().await;
    let [used, unused, unknown] = instances();
    let (first, last) = (SINCE, NOW.date());
    cloudwatch.used(&used, &[(date!(2026 - 11 - 09), 9.0), (first, 1203.5), (date!(2026 - 11 - 23), 1.0)]);
    cloudwatch.used(&unused, &[(first, 0.0), (last, 0.0)]);

    let found = cloudwatch.ask(&[used.clone(), unused.clone(), unknown.clone(), used.clone()]).await;

    let expected = [
        (used, days(&[(first, 1204), (date!(2026 - 11 - 23), 1)])),
        (unused, days(&[(first, 0), (last, 0)])),
        (unknown, days(&[])),
    ];
    assert_eq!(found, expected.into());
    let calls = cloudwatch.calls();
    assert_eq!((calls.len(), calls[0].parameters["MetricDataQueries"].as_str()), (1, "3"));
    assert_eq!((&*calls[0].account, &*calls[0].region), (ACCOUNT, REGION));
}

#[tokio::test]
async fn nothing_is_asked_about_no_instance() {
    let cloudwatch = CloudWatch::new().await;
    assert_eq!(cloudwatch.ask(&[]).await, BTreeMap::new());
    assert_eq!(cloudwatch.calls().len(), 0);
}

#[tokio::test]
async fn a_call_asks_for_up_to_500_instances() {
    let cloudwatch = CloudWatch::new().await;
    let ids: [InstanceId; 501] = instances();
    for (number, id) in ids.iter().enumerate() {
        cloudwatch.used(id, &[(SINCE, number as f64)]);
    }
    let found = cloudwatch.ask(&ids).await;
    let is_right = |(number, id): &(usize, &InstanceId)| found[*id] == days(&[(SINCE, *number as u64)]);
    let wrong = ids.iter().enumerate().find(|each| !is_right(each)).map(|(_, id)| &found[id]);
    assert_eq!((found.len(), wrong), (501, None));
    let mut queries: Vec<_> =
        cloudwatch.calls().iter().map(|call| call.parameters["MetricDataQueries"].clone()).collect();
    queries.sort();
    assert_eq!(queries, ["1", "500"]);
}

#[tokio::test]
async fn the_points_of_all_pages_count() {
    // Two pages, and one instance on both of them.
    let cloudwatch = CloudWatch::with(Settings { datapoints_per_page: 3, ..Settings::default() }).await;
    let ids: [InstanceId; 2] = instances();
    let (first, last) = (SINCE, NOW.date());
    for id in &ids {
        cloudwatch.used(id, &[(first, 1.0), (last, 2.0)]);
    }
    let found = cloudwatch.ask(&ids).await;
    assert_eq!(found, ids.map(|id| (id, days(&[(first, 1), (last, 2)]))).into());
    assert_eq!(cloudwatch.calls().len(), 2);
}

#[tokio::test]
async fn refused_calls_are_those_of_the_last_24_hours() {
    let cloudwatch = CloudWatch::new().await;
    let [refused, none] = instances();
    let account_region = cloudwatch.sim.account_region(ACCOUNT, REGION);
    for (time, calls) in [
        (datetime!(2026-11-23 14:59 UTC), 1000.0),
        (datetime!(2026-11-23 15:45 UTC), 1.0),
        (datetime!(2026-11-24 03:00 UTC), 16.0),
        (datetime!(2026-11-24 15:29 UTC), 20.0),
    ] {
        account_region.set_sum(refused.as_str(), "MetadataNoTokenRejected", time, Some(calls));
    }
    let client = cloudwatch.client(ACCOUNT).await;
    let ids = [refused.clone(), none.clone()];
    let deadline = Deadline::new(NOW, Duration::from_secs(60));
    let found = client.rejected_calls(&ids, NOW, &deadline).await;
    assert_eq!(found, [(refused, Ok(37)), (none, Ok(0))].into());
}

#[tokio::test]
async fn a_member_account_is_asked_with_its_role() {
    let cloudwatch = CloudWatch::new().await;
    let [id] = instances();
    let member = cloudwatch.sim.account_region(MEMBER, REGION);
    member.set_daily_sums(&[id.to_string()], USED, &[(SINCE, Some(5.0))]);
    let client = cloudwatch.client(MEMBER).await;
    let deadline = Deadline::new(NOW, Duration::from_secs(60));
    let found = client.calls_without_token(std::slice::from_ref(&id), SINCE, NOW, &deadline).await;
    assert_eq!(found, [(id, days(&[(SINCE, 5)]))].into());
    let calls = cloudwatch.calls();
    let role = format!("arn:aws:iam::{MEMBER}:role/imds-enforcer-member");
    assert_eq!((calls[0].account.as_str(), calls[0].role.as_ref()), (MEMBER, Some(&role)));
}

#[tokio::test]
async fn every_attempt_is_counted() {
    let cloudwatch = CloudWatch::new().await;
    let ids: [InstanceId; 1] = instances();
    cloudwatch.sim.inject(ec2_sim::Fault::new(ec2_sim::FaultKind::Throttle).on(CALL).times(1));
    cloudwatch.ask(&ids).await;
    let counts = cloudwatch.client(ACCOUNT).await.take_counts();
    let count = counts[&Call::GetMetricData];
    assert_eq!((count.attempts, count.throttles), (2, 1));
}
