//! The AWS SDK's settings, shared by all clients.

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_sts::config::SharedHttpClient;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

/// Reads the SDK's settings as it always does, and makes one HTTP client for all accounts and Regions.
///
/// An endpoint variable that is empty counts as unset, where the SDK would panic: `sam local invoke` leaves every variable
/// empty that it cannot resolve.
pub async fn load() -> SdkConfig {
    let loaded = aws_config::defaults(BehaviorVersion::latest()).http_client(http_client()).load().await;
    let endpoint = loaded.endpoint_url().filter(|url| !url.is_empty()).map(str::to_owned);
    let mut builder = loaded.to_builder();
    builder.set_endpoint_url(endpoint);
    builder.service_config(NonEmpty(loaded)).build()
}

/// An HTTP client: HTTP/1.1 and 2, and TLS with the machine's root certificates.
pub fn http_client() -> SharedHttpClient {
    let tls = Provider::Rustls(CryptoMode::Ring);
    aws_smithy_http_client::Builder::new().tls_provider(tls).build_https()
}

/// The settings of single services, but for those that are empty.
#[derive(Debug)]
struct NonEmpty(SdkConfig);

impl LoadServiceConfig for NonEmpty {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        self.0.service_config()?.load_config(key).filter(|value| !value.is_empty())
    }
}
