//! The SDK's client for CloudWatch.

use std::sync::OnceLock;

use aws_config::SdkConfig;
use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::config::interceptors::InterceptorContext;
use aws_sdk_cloudwatch::config::retry::{ClassifyRetry, RetryAction};
use imds_core::ids::Region;

use super::settings::{retries, retry_partition, timeouts};

/// CloudWatch in one account and Region. The SDK's client is created at first use, as most invocations need none.
#[derive(Debug)]
pub(super) struct CloudWatch {
    shared: SdkConfig,
    region: Region,
    client: OnceLock<Client>,
}

impl CloudWatch {
    /// Calls CloudWatch in `region` with the credentials and the HTTP client of `shared`.
    pub(super) fn new(shared: &SdkConfig, region: &Region) -> Self {
        Self { shared: shared.clone(), region: region.clone(), client: OnceLock::new() }
    }

    /// Returns the SDK's client.
    pub(super) fn client(&self) -> &Client {
        self.client.get_or_init(|| {
            let config = aws_sdk_cloudwatch::config::Builder::from(&self.shared)
                .region(aws_sdk_cloudwatch::config::Region::new(self.region.as_str().to_owned()))
                .retry_partition(retry_partition(&format!("cloudwatch {}", self.region)))
                .retry_classifier(RetryUnreadable)
                .retry_config(retries())
                .timeout_config(timeouts());
            Client::from_conf(config.build())
        })
    }
}

/// Retries successful responses that cannot be read, like a lost connection: CBOR that is cut off. The SDK would not.
#[derive(Debug)]
struct RetryUnreadable;

impl ClassifyRetry for RetryUnreadable {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let is_success = context.response().is_some_and(|response| response.status().is_success());
        match context.output_or_error() {
            Some(Err(_)) if is_success => RetryAction::transient_error(),
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "RetryUnreadable"
    }
}
