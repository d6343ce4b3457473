//! EC2 in one account and Region.

use aws_config::SdkConfig;
use aws_sdk_ec2::config::retry::{RetryConfig, RetryPartition, TokenBucket};
use aws_sdk_ec2::config::timeout::TimeoutConfig;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::operation::describe_instances::DescribeInstancesError;
use aws_sdk_ec2::operation::get_instance_metadata_defaults::GetInstanceMetadataDefaultsError;
use aws_sdk_ec2::operation::modify_instance_metadata_options::ModifyInstanceMetadataOptionsError;
use aws_sdk_ec2::types as sdk;
use imds_core::call_error::{Call, CallError};
use imds_core::ids::{InstanceId, Region};
use imds_core::instance::{Instance, OptionsState};
use imds_core::metadata::{Change, OptionValue};
use imds_core::outcome::Mode;
use imds_core::selector::InstanceSelector;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::call_counts::{Count, Counts};
use super::error::{call_error, role_error};
use super::rate_limit::RateLimiter;
use super::{convert, query};
use crate::deadline::{Deadline, wait_until};

/// The most instance ids that one describe takes: EC2's limit of values in a filter.
pub const IDS_PER_DESCRIBE: usize = 200;

/// The most instances of a page: EC2's limit.
const INSTANCES_PER_PAGE: i32 = 1000;

/// EC2 in one account and Region. Clones share their connections, their rate limit and their counts.
#[derive(Debug, Clone)]
pub struct RegionClient {
    sdk: SdkClients,
    /// How many calls the whole process makes at once: each takes a connection, and memory for its answer.
    slots: Arc<Semaphore>,
    /// Whether its credentials are those of an assumed role.
    is_assumed: bool,
    /// That of changes.
    pub(crate) rate_limiter: Arc<RateLimiter>,
    counts: Counts,
}

/// The SDK's clients for one Region.
#[derive(Debug, Clone)]
pub(super) struct SdkClients {
    retrying: aws_sdk_ec2::Client,
    /// Tries once: changes are tried again within their own rate limit.
    once: aws_sdk_ec2::Client,
}

impl SdkClients {
    /// Clients for `region` with the credentials and the HTTP client of `shared`.
    pub(super) fn new(shared: &SdkConfig, region: &Region) -> Self {
        let config = aws_sdk_ec2::config::Builder::from(shared)
            .region(aws_sdk_ec2::config::Region::new(region.as_str().to_owned()))
            .retry_partition(partition(region))
            .timeout_config(timeouts());
        let client = |retries| aws_sdk_ec2::Client::from_conf(config.clone().retry_config(retries).build());
        Self {
            retrying: client(
                RetryConfig::standard().with_max_attempts(8).with_max_backoff(Duration::from_secs(5)),
            ),
            once: client(RetryConfig::disabled()),
        }
    }
}

impl RegionClient {
    /// EC2 through `sdk`, whose credentials are those of an assumed role or not; `modify_rate` is changes a second.
    pub(super) fn new(sdk: SdkClients, slots: Arc<Semaphore>, is_assumed: bool, modify_rate: f64) -> Self {
        let rate_limiter = Arc::new(RateLimiter::new(modify_rate));
        Self { sdk, slots, is_assumed, rate_limiter, counts: Counts::default() }
    }

    /// The calls since this was last asked for, the SDK's retries included.
    pub fn take_counts(&self) -> BTreeMap<Call, Count> {
        self.counts.take()
    }

    /// A page of the instances that `selector` selects, in no particular order, after the page that gave `token`; those
    /// that EC2 does not show are absent. At most [`IDS_PER_DESCRIBE`] ids.
    ///
    /// # Errors
    /// What EC2 answered, or that it did not; see [`CallError::outcome`] for what a retry would change.
    pub async fn page(&self, selector: &InstanceSelector, token: Option<String>) -> Result<Page, CallError> {
        const CALL: Call = Call::DescribeInstances;
        let request = self.sdk.retrying.describe_instances();
        let request = request.filters(query::filter(selector)).max_results(INSTANCES_PER_PAGE);
        let request = request.set_next_token(token).customize();
        let request = request.interceptor(self.counts.of::<DescribeInstancesError>(CALL));
        let answer = self.call(CALL, request.send()).await?;
        let next = answer.next_token.filter(|token| !token.is_empty());
        Ok(Page { instances: convert::instances(answer.reservations), next })
    }

    /// All instances that `selector` selects, as [`RegionClient::page`] gives them.
    ///
    /// # Errors
    /// Those of [`RegionClient::page`].
    pub async fn describe(&self, selector: &InstanceSelector) -> Result<Vec<Instance>, CallError> {
        let mut all = Vec::new();
        let mut token = None;
        loop {
            let page = self.page(selector, token).await?;
            all.extend(page.instances);
            token = page.next;
            if token.is_none() {
                return Ok(all);
            }
        }
    }

    /// Sends `change` when the rate limit allows it, with `DryRun=true` in [`Mode::DryRun`]. Returns the state that EC2
    /// answers; `None`, with nothing sent, where its turn comes after `until`.
    ///
    /// # Errors
    /// What EC2 answered, or that it did not; a dry run always ends here, with `DryRunOperation` at best.
    pub async fn modify(
        &self,
        id: &InstanceId,
        change: &Change,
        mode: Mode,
        until: Instant,
        deadline: &Deadline,
    ) -> Option<Result<Option<OptionsState>, CallError>> {
        wait_until(self.rate_limiter.take(until)?).await;
        Some(deadline.bound(Call::ModifyInstanceMetadataOptions, self.send(id, change, mode)).await)
    }

    async fn send(
        &self,
        id: &InstanceId,
        change: &Change,
        mode: Mode,
    ) -> Result<Option<OptionsState>, CallError> {
        let mut request = self.sdk.once.modify_instance_metadata_options().instance_id(id.as_str());
        if mode == Mode::DryRun {
            request = request.dry_run(true);
        }
        for value in change.options().iter() {
            request = match value {
                OptionValue::HttpTokens(_) => request.http_tokens(value.text().as_str().into()),
                OptionValue::HttpEndpoint(_) => request.http_endpoint(value.text().as_str().into()),
                OptionValue::HttpPutResponseHopLimit(limit) => {
                    request.http_put_response_hop_limit(limit.get().into())
                }
                OptionValue::HttpProtocolIpv6(_) => request.http_protocol_ipv6(value.text().as_str().into()),
                OptionValue::InstanceMetadataTags(_) => {
                    request.instance_metadata_tags(value.text().as_str().into())
                }
            };
        }
        const CALL: Call = Call::ModifyInstanceMetadataOptions;
        let counter = self.counts.of::<ModifyInstanceMetadataOptionsError>(CALL);
        let answer = self.call(CALL, request.customize().interceptor(counter).send()).await?;
        let state = answer.instance_metadata_options.and_then(|options| options.state);
        Ok(state.and_then(|state| OptionsState::from_name(state.as_str())))
    }

    /// Whether the account's defaults enforce tokens here, so that EC2 refuses `HttpTokens=optional`.
    ///
    /// # Errors
    /// What EC2 answered, or that it did not.
    pub async fn tokens_enforced(&self) -> Result<bool, CallError> {
        const CALL: Call = Call::GetInstanceMetadataDefaults;
        let counter = self.counts.of::<GetInstanceMetadataDefaultsError>(CALL);
        let request = self.sdk.retrying.get_instance_metadata_defaults().customize();
        let answer = self.call(CALL, request.interceptor(counter).send()).await?;
        let enforced = answer.account_level.and_then(|defaults| defaults.http_tokens_enforced);
        Ok(enforced == Some(sdk::HttpTokensEnforcedState::Enabled))
    }
}

impl RegionClient {
    /// Makes a call when there is a slot for it.
    async fn call<T, E>(
        &self,
        call: Call,
        sent: impl Future<Output = Result<T, SdkError<E>>>,
    ) -> Result<T, CallError>
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        // The semaphore is never closed.
        let _slot = self.slots.acquire().await;
        sent.await.map_err(|error| match role_error(&error).filter(|_| self.is_assumed) {
            Some(error) => error,
            None => call_error(call, &error),
        })
    }
}

/// Instances, and how to go on.
#[derive(Debug)]
pub struct Page {
    /// The instances.
    pub instances: Vec<Instance>,
    /// What the next page is asked for with; `None` after the last.
    pub next: Option<String>,
}

/// The SDK's allowance of retries, which by default all clients of a Region share and nothing refills: one account's
/// throttles would end the retries of all, for the life of the process.
///
/// Retries are not in the SDK's adaptive mode: at the first throttle it falls back to what it measured so far, which in a
/// fresh process is next to nothing, and takes minutes to recover.
fn partition(region: &Region) -> RetryPartition {
    let allowance = TokenBucket::builder().capacity(500).refill_rate(10.0).build();
    RetryPartition::custom(format!("ec2 {region}")).token_bucket(allowance).build()
}

/// A describe of 200 instances takes EC2 about a second and a modify less; what takes ten times as long is lost.
fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .operation_attempt_timeout(Duration::from_secs(10))
        .operation_timeout(Duration::from_secs(60))
        .build()
}
