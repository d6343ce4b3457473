//! The HTTP server, with the APIs of AWS and the simulator's controls under `/_sim/`.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::call::call;
use crate::codec::{self, Codec};
use crate::control;
use crate::request::Message;
use crate::response::ReplyKind;
use crate::world::World;

/// The state, shared between connections.
pub type Shared = Arc<Mutex<World>>;

/// The maximum size of a request body, in bytes.
const LONGEST_BODY: usize = 1 << 20;

pub fn lock(world: &Shared) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves connections until the future is dropped.
pub async fn serve(listener: TcpListener, world: Shared) {
    let mut connections = JoinSet::new();
    loop {
        // Errors of accept are transient: the client disconnected, or no file descriptor was free.
        match listener.accept().await {
            Ok((stream, _)) => drop(connections.spawn(connection(stream, Arc::clone(&world)))),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, world: Shared) {
    let Ok((stream, reset)) = resettable(stream) else { return };
    let service = service_fn(|request| answer(request, Arc::clone(&world)));
    let served =
        http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
    if served.is_err_and(|error| error.is_user()) {
        // With a linger time of zero, closing the last handle resets the connection.
        let _ = socket2::SockRef::from(&reset).set_linger(Some(Duration::ZERO));
    }
}

/// The stream, and a second handle that keeps the connection open until the handle is dropped.
fn resettable(stream: TcpStream) -> io::Result<(TcpStream, std::net::TcpStream)> {
    stream.set_nodelay(true)?;
    let stream = stream.into_std()?;
    let handle = stream.try_clone()?;
    Ok((TcpStream::from_std(stream)?, handle))
}

/// Tells the server to reset the connection.
#[derive(Debug, thiserror::Error)]
#[error("the connection is to be reset")]
struct Reset;

/// The body of a response. hyper sends one without a known length as HTTP/1.0 does: the connection ends it.
struct Body {
    content: Option<Bytes>,
    has_length: bool,
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.content.take().map(|content| Ok(Frame::data(content))))
    }

    fn is_end_stream(&self) -> bool {
        self.has_length && self.content.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Some(content) if self.has_length => SizeHint::with_exact(content.len() as u64),
            _ => SizeHint::default(),
        }
    }
}

async fn answer(request: Request<Incoming>, world: Shared) -> Result<Response<Body>, Reset> {
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, LONGEST_BODY).collect().await else {
        return Ok(response(StatusCode::PAYLOAD_TOO_LARGE, "text/plain", Vec::new()));
    };
    let Some(body) = codec::inflate(&parts.headers, body.to_bytes(), LONGEST_BODY) else {
        return Ok(response(StatusCode::PAYLOAD_TOO_LARGE, "text/plain", Vec::new()));
    };
    if parts.uri.path().starts_with("/_sim/") {
        let (status, json) = control::answer(&mut lock(&world), &parts.method, parts.uri.path(), &body);
        return Ok(response(status, "application/json", json));
    }
    let authorization = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let reply = call(&mut lock(&world), authorization, message(&parts, &body));
    tokio::time::sleep(reply.after).await;
    match reply.kind {
        ReplyKind::Response(reply) => Ok(written(reply)),
        ReplyKind::Reset => Err(Reset),
        ReplyKind::Hang(duration) => {
            tokio::time::sleep(duration.unwrap_or(Duration::from_secs(3600))).await;
            Err(Reset)
        }
    }
}

/// The message of a request. The parameters of a Query API are in the body, or in the query of a GET request.
fn message<'r>(parts: &'r Parts, body: &'r [u8]) -> Message<'r> {
    match Codec::of(parts.uri.path(), &parts.headers) {
        Some((codec, operation)) => Message::Operation(codec, operation, body),
        None if parts.method == Method::GET => {
            Message::Query(parts.uri.query().unwrap_or_default().as_bytes())
        }
        None => Message::Query(body),
    }
}

fn written(reply: crate::response::Response) -> Response<Body> {
    let mut response =
        Response::new(Body { content: Some(reply.body.into()), has_length: !reply.is_cut_off });
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in reply.headers {
        // A value that HTTP does not allow comes from the code of a fault.
        let value = HeaderValue::from_str(&value).unwrap_or(HeaderValue::from_static("invalid"));
        response.headers_mut().insert(name, value);
    }
    if reply.is_cut_off {
        // A response of HTTP/1.1 without a length would be chunked, and then the client would notice the cut.
        *response.version_mut() = Version::HTTP_10;
    }
    response
}

fn response(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body { content: Some(Bytes::from(body)), has_length: true });
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Runs due timers until the future is dropped.
pub async fn keep_time(world: Shared) {
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    loop {
        ticks.tick().await;
        lock(&world).advance(crate::clock::Now::read());
    }
}
