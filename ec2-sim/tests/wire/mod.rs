//! Requests written by hand, for tests of the simulator over HTTP.
#![allow(dead_code, clippy::unwrap_used, reason = "shared between test files; a test fails by panicking")]

use std::io::ErrorKind;
use std::time::Duration;

use ec2_sim::{Ec2Sim, Settings};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub const ACCOUNT: &str = "111122223333";
pub const REGION: &str = "us-east-1";
pub const MODIFY: &str = "ModifyInstanceMetadataOptions";

/// Sends a request. Returns the status and the body, or the error of the connection.
pub async fn http(
    sim: &Ec2Sim,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> Result<(u16, String), ErrorKind> {
    http_to(&sim.endpoint(), method, path, headers, body).await
}

/// Sends a request to an endpoint, which can be in another process.
pub async fn http_to(
    endpoint: &str,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> Result<(u16, String), ErrorKind> {
    let (head, body) = exchange(endpoint, &format!("{method} {path}"), headers, body).await?;
    Ok((head.split(' ').nth(1).unwrap().parse().unwrap(), body))
}

/// Sends a request. Returns the head of the response, and the body, if they come within 5 seconds.
async fn exchange(
    endpoint: &str,
    request: &str,
    headers: &str,
    body: &str,
) -> Result<(String, String), ErrorKind> {
    exchange_within(Duration::from_secs(5), endpoint, request, headers, body).await
}

async fn exchange_within(
    timeout: Duration,
    endpoint: &str,
    request: &str,
    headers: &str,
    body: &str,
) -> Result<(String, String), ErrorKind> {
    let address = endpoint.replace("http://", "");
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let length = body.len();
    let request = format!(
        "{request} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n\
         {headers}\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = tokio::time::timeout(timeout, stream.read_to_string(&mut answer));
    read.await.map_err(|_| ErrorKind::TimedOut)?.map_err(|error| error.kind())?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(ErrorKind::UnexpectedEof)?;
    Ok((head.to_owned(), body.to_owned()))
}

/// Makes a call. Returns the head and the body of the response.
pub async fn whole(sim: &Ec2Sim, body: &str) -> (String, String) {
    exchange(&sim.endpoint(), "POST /", &authorization(ACCOUNT, REGION), body).await.unwrap()
}

/// Makes a call in an account and a Region.
pub async fn call_at(
    sim: &Ec2Sim,
    account: &str,
    region: &str,
    body: &str,
) -> Result<(u16, String), ErrorKind> {
    http(sim, "POST", "/", &authorization(account, region), body).await
}

/// The header that names the account and the Region of a call.
pub fn authorization(account: &str, region: &str) -> String {
    format!(
        "Authorization: AWS4-HMAC-SHA256 Credential={account}/20260317/{region}/ec2/aws4_request, Signature=0\r\n"
    )
}

pub async fn call(sim: &Ec2Sim, body: &str) -> Result<(u16, String), ErrorKind> {
    call_at(sim, ACCOUNT, REGION, body).await
}

/// The status and error code of the response.
pub async fn code(sim: &Ec2Sim, body: &str) -> (u16, String) {
    let (status, body) = call(sim, body).await.unwrap();
    let code = body.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    (status, code.map_or(String::new(), |(code, _)| code.to_owned()))
}

pub async fn start(settings: Settings) -> Ec2Sim {
    Ec2Sim::start(settings).await.unwrap()
}

/// The ids of the instances in a response, in order.
pub fn ids(answer: &str) -> Vec<String> {
    let found = answer.split("<instanceId>").skip(1).filter_map(|rest| rest.split_once('<'));
    found.map(|(id, _)| id.to_owned()).collect()
}

/// The token of the next page in a response.
pub fn next_token(answer: &str) -> Option<String> {
    let (_, rest) = answer.split_once("<nextToken>")?;
    rest.split_once('<').map(|(token, _)| token.to_owned())
}

/// Calls CloudWatch in JSON. Returns the status and the body.
pub async fn cloudwatch(sim: &Ec2Sim, operation: &str, input: &Value) -> (u16, Value) {
    cloudwatch_at(sim, ACCOUNT, REGION, operation, input).await
}

/// Calls CloudWatch in JSON. Returns the head and the body of the response.
pub async fn cloudwatch_whole(sim: &Ec2Sim, operation: &str, input: &Value) -> (String, String) {
    let headers = authorization(ACCOUNT, REGION) + &target(operation);
    exchange(&sim.endpoint(), "POST /", &headers, &input.to_string()).await.unwrap()
}

/// Calls AWS Organizations in an account, or with the access key of a session. Returns the status and the body.
pub async fn organizations(sim: &Ec2Sim, key: &str, operation: &str, input: &Value) -> (u16, Value) {
    let target = format!("X-Amz-Target: AWSOrganizationsV20161128.{operation}\r\n");
    let headers = authorization(key, REGION) + &target;
    let (status, body) = http(sim, "POST", "/", &headers, &input.to_string()).await.unwrap();
    (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
}

/// Sends a control, which can set up a large fleet on a busy machine. Returns the status and the body.
pub async fn control(sim: &Ec2Sim, control: &str, body: &Value) -> (u16, Value) {
    let (endpoint, request, body) = (sim.endpoint(), format!("POST /_sim/{control}"), body.to_string());
    let sent = exchange_within(Duration::from_secs(60), &endpoint, &request, "", &body).await;
    let (head, answer) = sent.unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(&answer).unwrap())
}

/// The texts of an element in a response, in order.
pub fn texts<'a>(answer: &'a str, element: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    answer.split(&*open).skip(1).filter_map(|rest| rest.split_once(&*close)).map(|(text, _)| text).collect()
}

/// The header that names an operation of CloudWatch.
pub fn target(operation: &str) -> String {
    format!("X-Amz-Target: GraniteServiceVersion20100801.{operation}\r\n")
}

/// Calls CloudWatch in JSON in an account and a Region.
pub async fn cloudwatch_at(
    sim: &Ec2Sim,
    account: &str,
    region: &str,
    operation: &str,
    input: &Value,
) -> (u16, Value) {
    let headers = authorization(account, region) + &target(operation);
    let (status, body) = http(sim, "POST", "/", &headers, &input.to_string()).await.unwrap();
    (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
}
