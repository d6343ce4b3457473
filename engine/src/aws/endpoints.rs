//! Tests: which endpoints the clients call.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::time::SystemTimeSource;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use imds_core::ids::{AccountId, AccountRegion, Region};
use imds_core::selector::InstanceSelector;
use time::OffsetDateTime;
use tokio::sync::mpsc::channel;
use tokio::time::Instant;

use super::clients::{MemberRole, RegionClients};
use super::event_bus::{EventBus, OutcomeEvent, Tally};
use super::rate_limit::RateLimit;
use super::settings;
use super::visibility::Redelivery;

/// Answers no call, and keeps the hosts that were called.
#[derive(Debug, Clone, Default)]
struct Hosts(Arc<Mutex<BTreeSet<String>>>);

impl HttpConnector for Hosts {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let host = request.uri().split('/').nth(2).unwrap().to_owned();
        self.0.lock().unwrap().insert(host);
        // The SDK does not retry it.
        HttpConnectorFuture::ready(Err(ConnectorError::user("not answered".into())))
    }
}

impl Hosts {
    fn client(&self) -> aws_smithy_runtime_api::client::http::SharedHttpClient {
        let connector = SharedHttpConnector::new(self.clone());
        http_client_fn(move |_, _| connector.clone())
    }
}

/// The hosts that a hub calls in `region`: for its queue, for outcome events, for EC2 and CloudWatch in its own account, and for a member's role.
async fn called(shared: SdkConfig, hosts: &Hosts, region: &str) -> Vec<String> {
    let role = MemberRole { name: "member".to_owned(), session: "tests".to_owned() };
    let bus = EventBus::new(shared.clone(), "outcomes".to_owned());
    let clients = RegionClients::new(shared, RateLimit { ceiling: 1.0, burst: 1 }, Some(role));
    clients.invoked_as(&format!("arn:aws:lambda:{region}:111122223333:function:f"));
    for account in ["111122223333", "444455556666"] {
        let account_region =
            AccountRegion { account: AccountId::new(account).unwrap(), region: Region::new(region).unwrap() };
        let client = clients.get(&account_region).await;
        assert!(client.page(&InstanceSelector::All, None).await.is_err());
        let now = OffsetDateTime::UNIX_EPOCH;
        assert!(client.metric_data(Vec::new(), (now, now), None).await.is_err());
    }
    let redelivery = Redelivery {
        queue_arn: format!("arn:aws:sqs:{region}:111122223333:queue"),
        receipt_handle: "handle".to_owned(),
        after: Duration::ZERO,
    };
    let failures = clients.queues().redeliver(&[redelivery], Instant::now() + Duration::from_secs(9)).await;
    assert_eq!(failures.len(), 1);
    let (sender, events) = channel(1);
    sender.try_send(OutcomeEvent { instance_arn: String::new(), detail: "{}".to_owned() }).unwrap();
    drop(sender);
    let tally = Tally::default();
    bus.put(events, &tally).await;
    assert_eq!((tally.put(), tally.why_not().is_some()), (0, true));
    let hosts = hosts.0.lock().unwrap();
    hosts.iter().cloned().collect()
}

#[tokio::test]
async fn fips_and_dual_stack_endpoints_are_called_by_every_client() {
    for (fips, dual_stack, region, expected) in [
        (
            false,
            false,
            "us-east-1",
            [
                "ec2.us-east-1.amazonaws.com",
                "events.us-east-1.amazonaws.com",
                "monitoring.us-east-1.amazonaws.com",
                "sqs.us-east-1.amazonaws.com",
                "sts.us-east-1.amazonaws.com",
            ],
        ),
        (
            true,
            false,
            "us-west-2",
            [
                "ec2-fips.us-west-2.amazonaws.com",
                "events-fips.us-west-2.amazonaws.com",
                "monitoring-fips.us-west-2.amazonaws.com",
                "sqs-fips.us-west-2.amazonaws.com",
                "sts-fips.us-west-2.amazonaws.com",
            ],
        ),
        (
            false,
            true,
            "eu-west-1",
            [
                "ec2.eu-west-1.api.aws",
                "events.eu-west-1.api.aws",
                "monitoring.eu-west-1.api.aws",
                "sqs.eu-west-1.api.aws",
                "sts.eu-west-1.api.aws",
            ],
        ),
        (
            true,
            true,
            "us-east-1",
            [
                "ec2-fips.us-east-1.api.aws",
                "events-fips.us-east-1.api.aws",
                "monitoring-fips.us-east-1.api.aws",
                "sqs-fips.us-east-1.api.aws",
                "sts-fips.us-east-1.api.aws",
            ],
        ),
    ] {
        let hosts = Hosts::default();
        let credentials = Credentials::new("AKIA", "secret", None, None, "tests");
        let shared = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .time_source(SystemTimeSource::new())
            .region(aws_config::Region::new(region))
            .use_fips(fips)
            .use_dual_stack(dual_stack)
            .http_client(hosts.client())
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .build();
        assert_eq!(called(shared, &hosts, region).await, expected, "{fips} {dual_stack} {region}");
    }
}

/// Set in the process that the next test starts.
const STARTED: &str = "IMDS_ENGINE_TEST_ENDPOINTS";

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "it tests what is read from the environment")]
async fn the_variables_of_the_sdk_choose_the_endpoints() {
    if std::env::var_os(STARTED).is_some() {
        let hosts = Hosts::default();
        let shared = settings::load(hosts.client()).await;
        println!("{:?}", called(shared, &hosts, "us-east-2").await);
        return;
    }
    let name = "aws::endpoints::the_variables_of_the_sdk_choose_the_endpoints";
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env_clear()
        .envs([
            (STARTED, "1"),
            ("AWS_REGION", "us-east-2"),
            ("AWS_ACCESS_KEY_ID", "AKIA"),
            ("AWS_SECRET_ACCESS_KEY", "s"),
        ])
        .envs([("AWS_USE_FIPS_ENDPOINT", "true"), ("AWS_USE_DUALSTACK_ENDPOINT", "true")])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let expected = ["ec2-fips", "events-fips", "monitoring-fips", "sqs-fips", "sts-fips"]
        .map(|service| format!("{service}.us-east-2.api.aws"));
    assert!(text.contains(&format!("{expected:?}")), "{text}");
}
