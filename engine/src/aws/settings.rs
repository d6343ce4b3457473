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

/// Reads the SDK's settings as it always does; `http_client` serves all accounts and Regions.
///
/// Credentials in the environment, where Lambda puts them, come first as always; the other sources, each with clients of
/// its own, are then not set up at all.
///
/// An endpoint variable that is empty counts as unset, where the SDK would panic: `sam local invoke` leaves every variable
/// empty that it cannot resolve.
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

/// Settings for ec2-sim at `endpoint`: nothing is read from the environment. The access key says whose account it is.
pub fn for_simulator(endpoint: &str, access_key: &str, region: &str) -> SdkConfig {
    let credentials = Credentials::new(access_key, "secret", None, None, "simulator");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        // A role's sessions need it.
        .time_source(SystemTimeSource::new())
        .region(Region::new(region.to_owned()))
        .endpoint_url(endpoint)
        .http_client(http_client())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build()
}

/// How long a connection may take to come about: the SDK's default.
const CONNECT_WITHIN: Duration = Duration::from_millis(3100);

/// An HTTP client that trusts no server certificate: for ec2-sim, which speaks plain HTTP.
fn http_client() -> SharedHttpClient {
    https_client(RootCertificates::default())
}

/// An HTTP client: HTTP/1.1 and 2, and TLS with these root certificates.
///
/// It is one connector, and parses the certificates once. The client that the SDK builds parses them again for every
/// service client that it is given to. The time to connect is then the same for all; how long a call may take is each
/// client's own.
pub fn https_client(root_certificates: RootCertificates) -> SharedHttpClient {
    let settings = HttpConnectorSettings::builder().connect_timeout(CONNECT_WITHIN).build();
    let tls = TlsContext::builder().with_trust_store(root_certificates.into_trust_store());
    let connector = Connector::builder()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(tls.build().expect("a trust store is all that it needs"))
        .connector_settings(settings)
        .build();
    let connector = SharedHttpConnector::new(connector);
    http_client_fn(move |_, _| connector.clone())
}

/// The settings of single services, but for those that are empty.
#[derive(Debug)]
struct NonEmpty(SdkConfig);

impl LoadServiceConfig for NonEmpty {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        self.0.service_config()?.load_config(key).filter(|value| !value.is_empty())
    }
}
