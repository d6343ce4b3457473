//! Delivery of events to the targets in the settings. Each target has its own queue and receives the events in order.

mod bus;
mod function;

use std::error::Error;
use std::io;
use std::iter::successors;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinSet;

use crate::clock::Now;
use crate::settings::Settings;

/// The maximum of attempts per event. EventBridge retries for 24 hours.
const TRIES: u32 = 5;

/// The backoff after the first failure. It doubles with every further failure.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

type HttpClient = Client<HttpConnector, Full<Bytes>>;

/// A destination of events.
#[derive(Debug)]
enum Target {
    /// The invoke URL of a Lambda runtime emulator.
    Function(Uri),
    /// An EventBridge endpoint.
    Bus(Uri),
}

/// Starts a task for each target in the settings. Returns the queues from which the tasks read.
pub fn start(settings: &Settings, tasks: &mut JoinSet<()>) -> io::Result<Vec<UnboundedSender<Value>>> {
    let function = settings.deliver_to.as_deref().map(Target::function).transpose()?;
    let bus = settings.deliver_to_bus.as_deref().map(Target::bus).transpose()?;
    let queues = function.into_iter().chain(bus).map(|target| {
        let (queue, events) = mpsc::unbounded_channel();
        tasks.spawn(deliver(target, events));
        queue
    });
    Ok(queues.collect())
}

/// Posts events until the queue is closed.
async fn deliver(target: Target, mut events: UnboundedReceiver<Value>) {
    let client = Client::builder(TokioExecutor::new()).build_http();
    while let Some(event) = events.recv().await {
        let mut pause = FIRST_PAUSE;
        for left in (0..TRIES).rev() {
            match target.post(&client, &event).await {
                Ok(()) => break,
                Err(why) if left == 0 => {
                    eprintln!("ec2-sim: {}: an event was not delivered: {why}: {event}", target.flag());
                }
                Err(_) => tokio::time::sleep(pause).await,
            }
            pause *= 2;
        }
    }
}

impl Target {
    fn function(url: &str) -> io::Result<Self> {
        Ok(Self::Function(parse(function::FLAG, function::FORM, url)?))
    }

    fn bus(url: &str) -> io::Result<Self> {
        let parsed = parse(bus::FLAG, bus::FORM, url)?;
        // The only path in AWS JSON is the root.
        let is_endpoint = parsed.port().is_some() && parsed.path() == "/" && parsed.query().is_none();
        if is_endpoint { Ok(Self::Bus(parsed)) } else { Err(invalid(bus::FLAG, bus::FORM, url)) }
    }

    fn flag(&self) -> &'static str {
        match self {
            Self::Function(_) => function::FLAG,
            Self::Bus(_) => bus::FLAG,
        }
    }

    /// Posts the event once. The error says why it was not accepted.
    async fn post(&self, client: &HttpClient, event: &Value) -> Result<(), String> {
        let (url, request, longest) = match self {
            Self::Function(url) => (url, function::request(url, event), function::LONGEST),
            Self::Bus(url) => (url, bus::request(url, event, Now::read().time)?, bus::LONGEST),
        };
        let exchange = tokio::time::timeout(longest, exchange(client, request));
        let (status, body) = exchange
            .await
            .map_err(|_| format!("{url}: no response within {} s", longest.as_secs()))?
            .map_err(|error| format!("{url}: {}", chain(&*error)))?;
        let failure = match self {
            Self::Function(_) => function::failure(status, &body),
            Self::Bus(_) => bus::failure(status, &body),
        };
        failure.map_or(Ok(()), |why| Err(format!("{url}: {why}")))
    }
}

/// The maximum size of a response, in bytes.
const LONGEST_ANSWER: usize = 1 << 20;

/// Sends a request and reads the whole response.
async fn exchange(
    client: &HttpClient,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), Box<dyn Error + Send + Sync>> {
    let response = client.request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), LONGEST_ANSWER);
    Ok((status, body.collect().await?.to_bytes()))
}

/// An error and its sources.
fn chain(error: &(dyn Error + 'static)) -> String {
    let sources = successors(error.source(), |error| Error::source(*error));
    sources.fold(error.to_string(), |text, source| format!("{text}: {source}"))
}

/// Parses the `http` URL of a flag.
fn parse(flag: &str, form: &str, url: &str) -> io::Result<Uri> {
    let parsed = url.parse::<Uri>().ok();
    let http = parsed.filter(|url| url.scheme_str() == Some("http") && url.host().is_some());
    http.ok_or_else(|| invalid(flag, form, url))
}

fn invalid(flag: &str, form: &str, url: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{flag}: expected {form}, got {url:?}"))
}
