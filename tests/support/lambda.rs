//! The built function as a process, with an emulation of the Lambda Runtime API.
//!
//! bench/runtime_api.py is another one, for measurements in Python, where each time is taken in the process that
//! measures. This one runs in the test's own process, beside the simulator and the queue.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use ec2_sim::Ec2Sim;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::{ACCOUNT, REGION, now};

/// A payload that is queued until the process polls for it.
struct Invocation {
    id: String,
    payload: Value,
    deadline: u64,
}

/// The state of the Runtime API.
struct Api {
    next: AsyncMutex<mpsc::UnboundedReceiver<Invocation>>,
    waiting: Mutex<HashMap<String, oneshot::Sender<Result<Value, Value>>>>,
}

/// The running function.
pub struct Lambda {
    process: Child,
    api: Arc<Api>,
    invocations: mpsc::UnboundedSender<Invocation>,
    server: JoinHandle<()>,
    count: u64,
    log: Arc<Mutex<Vec<Value>>>,
}

impl Lambda {
    /// Starts the function with this EC2 endpoint and these environment variables.
    pub async fn start(sim: &Ec2Sim, variables: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (invocations, next) = mpsc::unbounded_channel();
        let api = Arc::new(Api { next: AsyncMutex::new(next), waiting: Mutex::default() });
        let server = tokio::spawn(serve(listener, Arc::clone(&api)));
        let mut process = Command::new(env!("CARGO_BIN_EXE_imds-enforcer"))
            .env_clear()
            .envs([
                ("AWS_LAMBDA_RUNTIME_API", address.as_str()),
                ("AWS_LAMBDA_FUNCTION_NAME", "imds-enforcer"),
                ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
                ("AWS_REGION", REGION),
                ("AWS_ACCESS_KEY_ID", ACCOUNT),
                ("AWS_SECRET_ACCESS_KEY", "secret"),
                ("AWS_ENDPOINT_URL_EC2", &sim.endpoint()),
                ("AWS_ENDPOINT_URL_STS", &sim.endpoint()),
                // Closed, unless a test has a queue there: no test calls AWS.
                ("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:9"),
                ("AWS_ENDPOINT_URL_EVENTBRIDGE", "http://127.0.0.1:9"),
            ])
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::default();
        let (stdout, lines) = (process.stdout.take().unwrap(), Arc::clone(&log));
        std::thread::spawn(move || read_log(stdout, &lines));
        Self { process, api, invocations, server, count: 0, log }
    }

    /// The log of the last invocation, once it is complete.
    pub async fn last_log(&self) -> Vec<Value> {
        let id = invocation_id(self.count);
        for _ in 0..200 {
            let is_of_it = |line: &&Value| line["requestId"] == *id;
            let lines: Vec<Value> = self.log.lock().unwrap().iter().filter(is_of_it).cloned().collect();
            if lines.last().is_some_and(|line| line["message"] == "batch done") {
                return lines;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the log of {id} was not complete within 2 s");
    }

    /// The whole log so far.
    pub fn log(&self) -> Vec<Value> {
        self.log.lock().unwrap().clone()
    }

    /// Invokes the function. `None` if it does not respond within `allowed`, after which Lambda would stop it.
    pub async fn invoke(&mut self, payload: Value, allowed: Duration) -> Option<Result<Value, Value>> {
        self.count += 1;
        let id = invocation_id(self.count);
        let (sender, answer) = oneshot::channel();
        self.api.waiting.lock().unwrap().insert(id.clone(), sender);
        let deadline = u64::try_from((now() + allowed).unix_timestamp_nanos() / 1_000_000).unwrap();
        let sent = self.invocations.send(Invocation { id, payload, deadline });
        assert!(sent.is_ok(), "the Runtime API is running");
        tokio::time::timeout(allowed, answer).await.ok()?.ok()
    }

    /// Kills the process with SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// The number of open files of the process, connections included.
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(self.files()).unwrap().count()
    }

    /// The folder that lists the open files of the process.
    pub fn files(&self) -> String {
        format!("/proc/{}/fd", self.process.id())
    }

    /// The peak resident memory of the process, in MB.
    pub fn peak_memory(&self) -> f64 {
        let id = self.process.id();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1024.0 / 1e6
    }
}

fn invocation_id(number: u64) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

fn read_log(stdout: ChildStdout, log: &Mutex<Vec<Value>>) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        // A killed process can leave an incomplete line.
        let line = serde_json::from_str(&line).unwrap_or_default();
        log.lock().unwrap().push(line);
    }
}

impl Drop for Lambda {
    fn drop(&mut self) {
        self.kill();
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, api: Arc<Api>) {
    while let Ok((stream, _)) = listener.accept().await {
        let api = Arc::clone(&api);
        let service = service_fn(move |request| answer(request, Arc::clone(&api)));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(request: Request<Incoming>, api: Arc<Api>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let path = request.uri().path().trim_start_matches("/2018-06-01/runtime/invocation/").to_owned();
    if request.method() == Method::GET && path == "next" {
        let Some(invocation) = api.next.lock().await.recv().await else {
            // The test has ended.
            return Ok(Response::builder().status(500).body(Full::default()).unwrap());
        };
        let response = Response::builder()
            .header("Content-Type", "application/json")
            .header("Lambda-Runtime-Aws-Request-Id", invocation.id)
            .header("Lambda-Runtime-Deadline-Ms", invocation.deadline)
            .header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:111122223333:function:f")
            .body(Full::new(Bytes::from(invocation.payload.to_string())));
        return Ok(response.unwrap());
    }
    let body = request.into_body().collect().await?.to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let (id, kind) = path.split_once('/').unwrap_or_default();
    let waiting = api.waiting.lock().unwrap().remove(id);
    if let Some(waiting) = waiting {
        // The test may have stopped waiting for it.
        let _ = waiting.send(if kind == "response" { Ok(body) } else { Err(body) });
    }
    Ok(Response::builder().status(202).body(Full::default()).unwrap())
}
