//! A server for calls of AWS in JSON.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;

/// Starts the server. `answer` gets the call's name and its body, and returns the status and the body of the response. `None`
/// closes the connection. Returns the server's URL.
pub async fn serve<F: Future<Output = Option<(u16, Value)>> + Send + 'static>(
    answer: impl Fn(String, Value) -> F + Send + Sync + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = Arc::clone(&answer);
            let service = service_fn(move |request| respond(request, Arc::clone(&answer)));
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    url
}

async fn respond<F: Future<Output = Option<(u16, Value)>>>(
    request: Request<Incoming>,
    answer: Arc<impl Fn(String, Value) -> F>,
) -> Result<Response<Full<Bytes>>, String> {
    let target = request.headers()["x-amz-target"].to_str().unwrap().to_owned();
    let body = request.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
    let answered = answer(target, serde_json::from_slice(&body).unwrap()).await;
    let (status, body) = answered.ok_or("the server closes the connection")?;
    let response = Response::builder().status(status).header("Content-Type", "application/x-amz-json-1.1");
    Ok(response.body(Full::new(Bytes::from(body.to_string()))).unwrap())
}
