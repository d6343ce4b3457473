//! The AWS SDK's settings, shared by all clients.

use std::time::Duration;

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_smithy_async::time::SystemTimeSource;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext};
use aws_smithy_runtime_api::client::http::{
    HttpConnectorSettings, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

use super::root_certificates::RootCertificates;

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

/// The connect timeout: the SDK's default.
const CONNECT_WITHIN: Duration = Duration::from_millis(3100);

/// Returns an HTTP client for ec2-sim, which uses plain HTTP. It trusts no server certificate.
fn http_client() -> SharedHttpClient {
    https_client(RootCertificates::default())
}

/// Returns an HTTP client for HTTP/1.1 and HTTP/2, and for TLS with these root certificates.
///
/// It has a single connector and parses the certificates once. The SDK's own client parses them again for each service
/// client that uses it. All service clients therefore share one connect timeout; each keeps its own call timeouts.
pub fn https_client(root_certificates: RootCertificates) -> SharedHttpClient {
    let settings = HttpConnectorSettings::builder().connect_timeout(CONNECT_WITHIN).build();
    let tls = TlsContext::builder().with_trust_store(root_certificates.into_trust_store());
    let connector = Connector::builder()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(tls.build().expect("a TLS context needs only a trust store"))
        .connector_settings(settings)
        .build();
    let connector = SharedHttpConnector::new(connector);
    http_client_fn(move |_, _| connector.clone())
}

/// The service-specific settings, without the empty ones.
#[derive(Debug)]
struct NonEmpty(SdkConfig);

impl LoadServiceConfig for NonEmpty {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        self.0.service_config()?.load_config(key).filter(|value| !value.is_empty())
    }
}
