//! The AWS SDK's settings, shared by all clients.

use std::time::Duration;

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_ec2::config::retry::{RetryConfig, RetryPartition, TokenBucket};
use aws_sdk_ec2::config::timeout::TimeoutConfig;
use aws_smithy_async::time::SystemTimeSource;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

use super::http::http_client;

/// Loads the SDK's default settings; `http_client` serves all accounts and Regions.
///
/// Credentials in the environment, where Lambda puts them, have precedence as in the SDK. If they are there, the other
/// sources, each with its own clients, are not set up at all.
///
/// An empty endpoint variable counts as unset, although the SDK would panic: `sam local invoke` sets every variable
/// that it cannot resolve to an empty value.
pub async fn load(http_client: SharedHttpClient) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http_client);
    let environment = EnvironmentVariableCredentialsProvider::new();
    if environment.provide_credentials().await.is_ok() {
        loader = loader.credentials_provider(environment);
    }
    let loaded = loader.load().await;
    let endpoint = loaded.endpoint_url().filter(|url| !url.is_empty()).map(str::to_owned);
    let mut builder = loaded.to_builder();
    builder.set_endpoint_url(endpoint);
    builder.service_config(NonEmpty(loaded)).build()
}

/// Returns the settings with this Region, if they have none.
#[cfg(feature = "fleet")]
pub fn in_region_if_none(shared: SdkConfig, region: &imds_core::ids::Region) -> SdkConfig {
    // An empty variable is no Region.
    match shared.region() {
        Some(set) if !set.as_ref().is_empty() => shared,
        _ => shared.to_builder().region(Region::new(region.as_str().to_owned())).build(),
    }
}

/// Returns settings for ec2-sim at `endpoint`. Reads nothing from the environment. The access key determines the
/// account.
pub fn for_simulator(endpoint: &str, access_key: &str, region: &str) -> SdkConfig {
    let credentials = Credentials::new(access_key, "secret", None, None, "simulator");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        // Required for the sessions of assumed roles.
        .time_source(SystemTimeSource::new())
        .region(Region::new(region.to_owned()))
        .endpoint_url(endpoint)
        .http_client(http_client())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build()
}

/// The attempts of a call that the SDK retries.
pub(super) fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(8).with_max_backoff(Duration::from_secs(5))
}

/// EC2 describes 200 instances in about a second and modifies one in less; an attempt times out after ten times that.
/// Calls to CloudWatch have the same limits.
pub(super) fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .operation_attempt_timeout(Duration::from_secs(10))
        .operation_timeout(Duration::from_secs(60))
        .build()
}

/// A retry token bucket of our own. By default, all clients of a Region share one bucket that is not refilled:
/// throttling in one account, or an STS or SQS that hangs, would stop the retries of all for the life of the process.
///
/// The SDK's adaptive retry mode is not used: at the first throttle it falls back to the rate measured so far, which is
/// close to zero in a new process, and takes minutes to recover.
pub(super) fn retry_partition(name: &str) -> RetryPartition {
    let allowance = TokenBucket::builder().capacity(500).refill_rate(10.0).build();
    RetryPartition::custom(name.to_owned()).token_bucket(allowance).build()
}

/// The service-specific settings, without the empty ones.
#[derive(Debug)]
struct NonEmpty(SdkConfig);

impl LoadServiceConfig for NonEmpty {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        self.0.service_config()?.load_config(key).filter(|value| !value.is_empty())
    }
}
