//! EC2 and CloudWatch in one account and Region.

use aws_config::SdkConfig;
use aws_sdk_cloudwatch::operation::get_metric_data::{GetMetricDataError, GetMetricDataOutput};
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::MetricDataQuery;
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::operation::describe_instances::DescribeInstancesError;
use aws_sdk_ec2::operation::get_instance_metadata_defaults::GetInstanceMetadataDefaultsError;
use aws_sdk_ec2::operation::modify_instance_metadata_options::ModifyInstanceMetadataOptionsError;
use aws_sdk_ec2::types as sdk;
use imds_core::call_error::{Call, CallError, CallErrorKind};
use imds_core::ids::{InstanceId, Region};
use imds_core::instance::OptionsState;
use imds_core::metadata::{Change, OptionValue};
use imds_core::mode::Mode;
use imds_core::selector::InstanceSelector;
use std::collections::BTreeMap;
use std::sync::Arc;
use time::OffsetDateTime;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::call_counts::{Count, Counts};
use super::closing_tag::RequireClosingTag;
use super::cloudwatch::CloudWatch;
pub use super::convert::Listed;
use super::error::{LackOfCredentials, call_error};
use super::member_role::MemberCredentials;
use super::rate_limit::{RateLimit, RateLimiter};
use super::settings::{retries, retry_partition, timeouts};
use super::{convert, query};
use crate::deadline::Deadline;

/// The maximum number of instance IDs in one DescribeInstances call: EC2's limit for values in a filter.
pub const IDS_PER_DESCRIBE: usize = 200;

/// The maximum number of instances in a page: EC2's limit.
const INSTANCES_PER_PAGE: i32 = 1000;

/// EC2 and CloudWatch in one account and Region. Clones share their connections, rate limit and counts.
#[derive(Debug, Clone)]
pub struct RegionClient {
    sdk: SdkClients,
    /// Limits the concurrent calls of the whole process: each takes a connection, and memory for its response.
    slots: Arc<Semaphore>,
    /// The credentials of the member role; `None` in the own account.
    credentials: Option<MemberCredentials>,
    lack: LackOfCredentials,
    /// Limits the rate of changes.
    pub(crate) rate_limiter: Arc<RateLimiter>,
    counts: Counts,
}

/// The SDK's clients for one Region.
#[derive(Debug, Clone)]
pub(super) struct SdkClients {
    retrying: aws_sdk_ec2::Client,
    /// Does not retry: changes are retried by the caller, within the rate limit.
    once: aws_sdk_ec2::Client,
    cloudwatch: Arc<CloudWatch>,
}

impl SdkClients {
    /// Creates the clients for `region` with the credentials and the HTTP client of `shared`.
    pub(super) fn new(shared: &SdkConfig, region: &Region) -> Self {
        let config = aws_sdk_ec2::config::Builder::from(shared)
            .region(aws_sdk_ec2::config::Region::new(region.as_str().to_owned()))
            .retry_partition(retry_partition(&format!("ec2 {region}")))
            .interceptor(RequireClosingTag)
            .timeout_config(timeouts());
        let client = |retries| aws_sdk_ec2::Client::from_conf(config.clone().retry_config(retries).build());
        Self {
            retrying: client(retries()),
            once: client(RetryConfig::disabled()),
            cloudwatch: Arc::new(CloudWatch::new(shared, region)),
        }
    }
}

impl RegionClient {
    /// Creates a client on top of `sdk`, which uses `credentials` or our own; `modify_limit` is the rate limit of
    /// changes.
    pub(super) fn new(
        sdk: SdkClients,
        slots: Arc<Semaphore>,
        credentials: Option<MemberCredentials>,
        lack: LackOfCredentials,
        modify_limit: RateLimit,
    ) -> Self {
        let rate_limiter = Arc::new(RateLimiter::new(modify_limit));
        Self { sdk, slots, credentials, lack, rate_limiter, counts: Counts::default() }
    }

    /// Returns the calls since the last `take_counts`, including the SDK's retries.
    pub fn take_counts(&self) -> BTreeMap<Call, Count> {
        self.counts.take()
    }

    /// Returns a page of the instances that `selector` selects, in no particular order. `token` is [`Page::next`] of
    /// the previous page, `None` for the first one. Instances that EC2 does not return are absent. `selector` may hold
    /// at most [`IDS_PER_DESCRIBE`] IDs.
    ///
    /// # Errors
    /// EC2's error, or that EC2 did not respond; see [`CallError::outcome`] for what a retry would change.
    pub async fn page(&self, selector: &InstanceSelector, token: Option<String>) -> Result<Page, CallError> {
        const CALL: Call = Call::DescribeInstances;
        let request = self.sdk.retrying.describe_instances();
        let request = request.filters(query::filter(selector)).max_results(INSTANCES_PER_PAGE);
        let request = request.set_next_token(token).customize();
        let request = request.interceptor(self.counts.of::<DescribeInstancesError>(CALL));
        let answer = self.call(CALL, request.send()).await?;
        let next = answer.next_token.filter(|token| !token.is_empty());
        Ok(Page { listed: convert::listed(answer.reservations), next })
    }

    /// Returns all instances that `selector` selects, as [`RegionClient::page`] does.
    ///
    /// # Errors
    /// The errors of [`RegionClient::page`].
    pub async fn describe(&self, selector: &InstanceSelector) -> Result<Listed, CallError> {
        let mut all = Listed::default();
        let mut token = None;
        loop {
            let page = self.page(selector, token).await?;
            all.instances.extend(page.listed.instances);
            all.unknown_ids.extend(page.listed.unknown_ids);
            token = page.next;
            if token.is_none() {
                return Ok(all);
            }
        }
    }

    /// Sends `change`, with `DryRun=true` in [`Mode::DryRun`]. Returns the options state in EC2's response. `taken` is when
    /// [`RateLimiter::acquire`] allowed it.
    ///
    /// # Errors
    /// EC2's error, or that EC2 did not respond. A dry run always ends in an error: `DryRunOperation` means success.
    pub async fn modify(
        &self,
        id: &InstanceId,
        change: &Change,
        mode: Mode,
        taken: Instant,
        deadline: &Deadline,
    ) -> Result<Option<OptionsState>, CallError> {
        let answer = deadline.bound(Call::ModifyInstanceMetadataOptions, self.send(id, change, mode)).await;
        match answer.as_ref().map_err(CallError::kind) {
            Err(CallErrorKind::Throttled) => self.rate_limiter.throttled(taken),
            // A failure of STS, EC2 or the network says nothing about EC2's bucket.
            Err(CallErrorKind::Unreachable | CallErrorKind::CutOff | CallErrorKind::Transient) => {}
            _ => self.rate_limiter.accepted(),
        }
        answer
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

    /// Returns whether the account's defaults in this Region enforce tokens, so that EC2 refuses `HttpTokens=optional`.
    ///
    /// # Errors
    /// EC2's error, or that EC2 did not respond.
    pub async fn tokens_enforced(&self) -> Result<bool, CallError> {
        const CALL: Call = Call::GetInstanceMetadataDefaults;
        let counter = self.counts.of::<GetInstanceMetadataDefaultsError>(CALL);
        let request = self.sdk.retrying.get_instance_metadata_defaults().customize();
        let answer = self.call(CALL, request.interceptor(counter).send()).await?;
        let enforced = answer.account_level.and_then(|defaults| defaults.http_tokens_enforced);
        Ok(enforced == Some(sdk::HttpTokensEnforcedState::Enabled))
    }

    /// Returns a page of CloudWatch's results of `queries`, of which a call may have 500, in a range of time. `token` is
    /// the `next_token` of the previous page, `None` for the first one.
    ///
    /// # Errors
    /// CloudWatch's error, or that CloudWatch did not respond.
    pub(super) async fn metric_data(
        &self,
        queries: Vec<MetricDataQuery>,
        (start, end): (OffsetDateTime, OffsetDateTime),
        token: Option<String>,
    ) -> Result<GetMetricDataOutput, CallError> {
        const CALL: Call = Call::GetMetricData;
        let time = |time: OffsetDateTime| DateTime::from_secs(time.unix_timestamp());
        let request = self.sdk.cloudwatch.client().get_metric_data().set_metric_data_queries(Some(queries));
        let request = request.start_time(time(start)).end_time(time(end)).set_next_token(token);
        let request = request.customize().interceptor(self.counts.of::<GetMetricDataError>(CALL));
        // On the heap, as the work that awaits it would otherwise keep room for it.
        Box::pin(self.call(CALL, request.send())).await
    }
}

impl RegionClient {
    /// Returns the SDK's client of EC2, which retries.
    #[cfg(feature = "fleet")]
    pub(super) fn ec2(&self) -> &aws_sdk_ec2::Client {
        &self.sdk.retrying
    }

    /// Makes a call as soon as a slot is free. The role is assumed before, so that a failure of STS is reported as such.
    pub(super) async fn call<T, E>(
        &self,
        call: Call,
        sent: impl Future<Output = Result<T, SdkError<E>>>,
    ) -> Result<T, CallError>
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        if let Some(credentials) = &self.credentials {
            credentials.resolve().await?;
        }
        // The semaphore is never closed.
        let _slot = self.slots.acquire().await;
        sent.await.map_err(|error| {
            if self.credentials.is_none() {
                self.lack.note(&error);
            }
            call_error(call, &error)
        })
    }
}

/// One page of instances.
#[derive(Debug)]
pub struct Page {
    /// The instances.
    pub listed: Listed,
    /// The token that requests the next page; `None` on the last page.
    pub next: Option<String>,
}
