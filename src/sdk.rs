//! The AWS SDK's settings, shared by all clients.

use std::time::Duration;

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::provider::ProvideCredentials;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::client::http::{
    HttpConnectorSettings, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

/// Reads the SDK's settings as it always does, and makes one HTTP client for all accounts and Regions.
///
/// Credentials in the environment, where Lambda puts them, come first as always; the other sources, each with clients of
/// its own, are then not set up at all.
///
/// An endpoint variable that is empty counts as unset, where the SDK would panic: `sam local invoke` leaves every variable
/// empty that it cannot resolve.
pub async fn load() -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http_client());
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

/// How long a connection may take to come about: the SDK's default.
const CONNECT_WITHIN: Duration = Duration::from_millis(3100);

/// An HTTP client: HTTP/1.1 and 2, and TLS with the machine's root certificates.
///
/// The certificates are read here and once. The client that the SDK builds prepares them again for every service client
/// that it is given to. The time to connect is then the same for all; how long a call may take is each client's own.
pub fn http_client() -> SharedHttpClient {
    let settings = HttpConnectorSettings::builder().connect_timeout(CONNECT_WITHIN).build();
    let tls = Provider::Rustls(CryptoMode::Ring);
    let connector = Connector::builder().tls_provider(tls).connector_settings(settings).build();
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
