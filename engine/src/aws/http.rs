//! The HTTP client of all AWS clients.
//!
//! The SDK's own client takes root certificates as PEM only and parses them again at every start, which takes longer than
//! all else that the function does before its first event. This one takes them parsed, and may get them later.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use aws_smithy_runtime_api::client::connection::{CaptureSmithyConnection, ConnectionMetadata};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{
    CaptureConnection, HttpConnector as Tcp, HttpInfo, capture_connection,
};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::SetOnce;
use tokio::time::timeout;
use tower_service::Service;

use super::error::causes;
use super::root_certificates::RootCertificates;

/// How long a connection may take to be established, TLS included: the SDK's default.
const CONNECT_WITHIN: Duration = Duration::from_millis(3100);

/// An HTTP client that trusts no server certificate: for ec2-sim, which speaks plain HTTP.
pub fn http_client() -> SharedHttpClient {
    let (client, trust) = waiting_client();
    trust.set(RootCertStore::empty());
    client
}

/// An HTTP client that trusts these root certificates. It speaks HTTP/1.1, as AWS's endpoints do.
///
/// All clients share one pool of connections. How long a call may take is a setting of each client.
pub fn https_client(root_certificates: RootCertificates) -> SharedHttpClient {
    let (client, trust) = waiting_client();
    trust.set_roots(root_certificates);
    client
}

/// The same client before the root certificates are known. Its calls wait for [`Trust::set_roots`], until they time out.
pub fn waiting_client() -> (SharedHttpClient, Trust) {
    let set = Arc::new(SetOnce::new());
    let connector = SharedHttpConnector::new(Connector(Arc::clone(&set)));
    (http_client_fn(move |_, _| connector.clone()), Trust(set))
}

/// Gives a client the root certificates that it waits for.
#[derive(Debug)]
#[must_use = "without it, every call times out"]
pub struct Trust(Arc<SetOnce<HyperClient>>);

impl Trust {
    /// Lets the client trust these root certificates.
    pub fn set_roots(self, root_certificates: RootCertificates) {
        self.set(root_certificates.into_store());
    }

    fn set(self, roots: RootCertStore) {
        // Only this value sets it, once.
        let _ = self.0.set(hyper_client(roots));
    }
}

type HyperClient = Client<ConnectTimeout, SdkBody>;

fn hyper_client(roots: RootCertStore) -> HyperClient {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring supports the default versions of TLS")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut tcp = Tcp::new();
    // The TLS connector decides on the scheme.
    tcp.enforce_http(false);
    // A request is written in more than one piece: each would wait for the acknowledgment of the one before.
    tcp.set_nodelay(true);
    let https =
        HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp);
    let mut builder = Client::builder(TokioExecutor::new());
    // Without it, idle connections are never closed.
    builder.pool_timer(TokioTimer::new());
    builder.build(ConnectTimeout(https))
}

/// Hyper's client as a connector of the SDK.
#[derive(Debug)]
struct Connector(Arc<SetOnce<HyperClient>>);

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut request = match request.try_into_http1x() {
            Ok(request) => request,
            Err(error) => return HttpConnectorFuture::ready(Err(ConnectorError::user(error.into()))),
        };
        // After a timeout or a fault, the SDK asks for the connection, so that no other call uses it.
        let captured = capture_connection(&mut request);
        if let Some(capture) = request.extensions().get::<CaptureSmithyConnection>() {
            capture.set_connection_retriever(move || metadata(&captured));
        }
        let client = Arc::clone(&self.0);
        HttpConnectorFuture::new(async move {
            let answer = client.wait().await.request(request).await.map_err(connector_error)?;
            HttpResponse::try_from(answer.map(SdkBody::from_body_1_x))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// The connection that a call uses, if it has one by now.
fn metadata(captured: &CaptureConnection) -> Option<ConnectionMetadata> {
    let to_poison = captured.clone();
    let connected = captured.connection_metadata();
    let mut extensions = http::Extensions::new();
    connected.as_ref()?.get_extras(&mut extensions);
    let info = extensions.get::<HttpInfo>();
    let mut metadata = ConnectionMetadata::builder().proxied(false).poison_fn(move || {
        if let Some(connected) = to_poison.connection_metadata().as_ref() {
            connected.poison();
        }
    });
    metadata.set_local_addr(info.map(HttpInfo::local_addr)).set_remote_addr(info.map(HttpInfo::remote_addr));
    Some(metadata.build())
}

/// What the SDK makes of an error: it retries timeouts and lost connections, and not what is wrong with the request.
fn connector_error(error: hyper_util::client::legacy::Error) -> ConnectorError {
    let hyper = causes(&error).find_map(|cause| cause.downcast_ref::<hyper::Error>());
    if causes(&error).any(<dyn Error>::is::<ConnectTimedOut>) || hyper.is_some_and(hyper::Error::is_timeout) {
        ConnectorError::timeout(error.into())
    } else if hyper.is_some_and(hyper::Error::is_user) {
        ConnectorError::user(error.into())
    } else {
        ConnectorError::io(error.into())
    }
}

/// A TLS connector whose connections are established within [`CONNECT_WITHIN`] or not at all.
#[derive(Debug, Clone)]
struct ConnectTimeout(HttpsConnector<Tcp>);

/// A connection was not established within [`CONNECT_WITHIN`].
#[derive(Debug)]
struct ConnectTimedOut;

impl fmt::Display for ConnectTimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no connection was established within {CONNECT_WITHIN:?}")
    }
}

impl Error for ConnectTimedOut {}

type BoxError = Box<dyn Error + Send + Sync>;

impl Service<http::Uri> for ConnectTimeout {
    type Response = <HttpsConnector<Tcp> as Service<http::Uri>>::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, uri: http::Uri) -> Self::Future {
        let connection = self.0.call(uri);
        Box::pin(async move { timeout(CONNECT_WITHIN, connection).await.map_err(|_| ConnectTimedOut)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use tokio::net::TcpListener;

    /// What a call to `url` fails with.
    async fn error_of(url: &str) -> ConnectorError {
        let set = SetOnce::new_with(Some(hyper_client(RootCertStore::empty())));
        let connector = SharedHttpConnector::new(Connector(Arc::new(set)));
        connector.call(HttpRequest::get(url).unwrap()).await.unwrap_err()
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_answer_the_handshake_is_a_timeout() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let start = tokio::time::Instant::now();
        let error = error_of(&format!("https://{}/", silent.local_addr().unwrap())).await;
        assert!(error.is_timeout(), "{error:?}");
        assert_eq!(start.elapsed().as_millis(), CONNECT_WITHIN.as_millis());
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_waits_until_the_root_certificates_are_known() {
        let (_, trust) = waiting_client();
        let connector = SharedHttpConnector::new(Connector(Arc::clone(&trust.0)));
        let mut call = pin!(connector.call(HttpRequest::get("http://127.0.0.1:1/").unwrap()));
        assert!(timeout(Duration::from_secs(3600), &mut call).await.is_err(), "it does not end before");
        trust.set(RootCertStore::empty());
        assert!(call.await.unwrap_err().is_io(), "nothing listens there");
    }

    #[tokio::test]
    async fn a_lost_or_refused_connection_is_an_io_error() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let url = format!("http://{address}/");
        // It is accepted, and closed at once.
        let (error, _) = tokio::join!(error_of(&url), async { server.accept().await.map(drop) });
        assert!(error.is_io(), "{error:?}");
        drop(server);
        let error = error_of(&url).await;
        assert!(error.is_io(), "{error:?}");
    }
}
