//! Events posted to a function and to a bus.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod wire;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ec2_sim::{Ec2Sim, Launch, Settings};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use wire::{ACCOUNT, REGION, authorization, http, http_to, start};

const LAUNCH: &str = "AWS API Call via CloudTrail";
const STATE: &str = "EC2 Instance State-change Notification";
const TAKEN: &str = r#"{"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]}"#;
const REFUSED: &str = r#"{"FailedEntryCount": 1, "Entries": [{"ErrorCode": "NotAuthorizedForSourceException",
                          "ErrorMessage": "Not authorized for the source."}]}"#;

/// A server that receives events.
struct Target {
    listener: TcpListener,
}

/// A received request.
struct Posted {
    head: String,
    body: Value,
}

impl Target {
    async fn bind() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    fn url(&self) -> String {
        format!("http://{}", self.listener.local_addr().unwrap())
    }

    /// The next request, and the connection that waits for its response.
    async fn accept(&self) -> (TcpStream, Posted) {
        let accepted = tokio::time::timeout(Duration::from_secs(5), self.listener.accept()).await;
        let (mut stream, _) = accepted.expect("nothing was posted").unwrap();
        let mut request = Vec::new();
        loop {
            assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0, "the request ends too soon");
            let text = String::from_utf8_lossy(&request);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            if let Ok(body) = serde_json::from_str(body) {
                return (stream, Posted { head: head.to_owned(), body });
            }
        }
    }

    /// Receives the next request and sends this response.
    async fn answer(&self, status: u16, answer: &str) -> Posted {
        let (mut stream, posted) = self.accept().await;
        let length = answer.len();
        let head = format!("HTTP/1.1 {status} -\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all((head + answer).as_bytes()).await.unwrap();
        posted
    }

    async fn take(&self) -> Posted {
        self.answer(200, TAKEN).await
    }
}

impl Posted {
    fn header(&self, name: &str) -> &str {
        let headers = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let mut found = headers.filter(|(header, _)| header.eq_ignore_ascii_case(name));
        found.next().unwrap_or_else(|| panic!("no {name} in {}", self.head)).1
    }

    /// The only entry of a PutEvents call.
    fn entry(&self) -> &Value {
        let entries = self.body["Entries"].as_array().unwrap();
        assert_eq!(entries.len(), 1);
        &entries[0]
    }

    /// The detail type of the event in the body or in its entry.
    fn kind(&self) -> &str {
        self.body.get("detail-type").unwrap_or_else(|| &self.entry()["DetailType"]).as_str().unwrap()
    }
}

fn to_function(target: &Target) -> Settings {
    Settings { deliver_to: Some(target.url() + "/invoke"), ..Settings::default() }
}

fn to_bus(target: &Target) -> Settings {
    Settings { deliver_to_bus: Some(target.url()), ..Settings::default() }
}

fn to_both(function: &Target, bus: &Target) -> Settings {
    Settings { deliver_to_bus: Some(bus.url()), ..to_function(function) }
}

#[tokio::test]
async fn events_are_delivered_in_order_and_retried_after_a_failure() {
    let target = Target::bind().await;
    let sim = start(to_function(&target)).await;
    sim.account_region(ACCOUNT, REGION).launch(Launch::default());
    let mut received = Vec::new();
    for answer in [r#"{"errorType": "Unhandled"}"#, r#"{"errorMessage": "no"}"#, "{}", "null"] {
        received.push(target.answer(200, answer).await.kind().to_owned());
    }
    assert_eq!(received, [LAUNCH, LAUNCH, LAUNCH, STATE]);
}

#[tokio::test]
async fn a_bus_gets_every_event_in_its_account_and_region() {
    let bus = Target::bind().await;
    let sim = start(to_bus(&bus)).await;
    for (account, region) in [(ACCOUNT, REGION), ("444455556666", "eu-west-1")] {
        let account_region = sim.account_region(account, region);
        let id = &account_region.launch(Launch::default())[0];
        account_region.tag(id, "Team", "payments");
    }
    let events = sim.take_events();
    assert_eq!(events.len(), 6);
    for event in events {
        let posted = bus.take().await;
        assert_is_put_events_of(&posted, &event);
    }
}

/// Checks all parts of a call: EventBridge API reference, "PutEvents".
fn assert_is_put_events_of(posted: &Posted, event: &Value) {
    assert_eq!(posted.head.lines().next(), Some("POST / HTTP/1.1"));
    assert_eq!(posted.header("X-Amz-Target"), "AWSEvents.PutEvents");
    assert_eq!(posted.header("Content-Type"), "application/x-amz-json-1.1");
    let date = posted.header("X-Amz-Date");
    let is_date = date.char_indices().all(|(index, c)| match index {
        8 => c == 'T',
        15 => c == 'Z',
        _ => c.is_ascii_digit(),
    });
    assert!(is_date && date.len() == 16, "{date}");
    let (account, region) = (event["account"].as_str().unwrap(), event["region"].as_str().unwrap());
    let scope = format!("{account}/{}/{region}/events/aws4_request", &date[..8]);
    let signature = "0".repeat(64);
    assert_eq!(
        posted.header("Authorization"),
        format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, Signature={signature}")
    );
    let mut entry = posted.entry().clone();
    let detail: Value = serde_json::from_str(entry["Detail"].as_str().unwrap()).unwrap();
    assert_eq!(detail, event["detail"]);
    entry.as_object_mut().unwrap().remove("Detail");
    let time = OffsetDateTime::parse(event["time"].as_str().unwrap(), &Rfc3339).unwrap();
    assert_eq!(
        entry,
        json!({
            "Source": event["source"], "DetailType": event["detail-type"], "Resources": event["resources"],
            "Time": time.unix_timestamp(), "EventBusName": "default",
        })
    );
}

#[tokio::test]
async fn a_bus_delivery_is_retried_after_each_kind_of_failure() {
    let bus = Target::bind().await;
    let sim = start(to_bus(&bus)).await;
    sim.account_region(ACCOUNT, REGION).launch(Launch::default());
    let mut received = Vec::new();
    for (status, answer) in [(200, REFUSED), (500, TAKEN), (200, "{}"), (200, TAKEN), (200, TAKEN)] {
        received.push(bus.answer(status, answer).await.kind().to_owned());
    }
    assert_eq!(received, [LAUNCH, LAUNCH, LAUNCH, LAUNCH, STATE]);
}

#[tokio::test]
async fn a_target_that_does_not_respond_delays_no_other() {
    for bus_hangs in [true, false] {
        let (function, bus) = (Target::bind().await, Target::bind().await);
        let sim = start(to_both(&function, &bus)).await;
        sim.account_region(ACCOUNT, REGION).launch(Launch::default());
        let (hanging, other) = if bus_hangs { (&bus, &function) } else { (&function, &bus) };
        let (_connection, posted) = hanging.accept().await;
        assert_eq!(posted.kind(), LAUNCH, "{bus_hangs}");
        assert_eq!(other.take().await.kind(), LAUNCH, "{bus_hangs}");
        assert_eq!(other.take().await.kind(), STATE, "{bus_hangs}");
    }
}

#[tokio::test]
async fn deliveries_go_on_after_a_reset() {
    let (function, bus) = (Target::bind().await, Target::bind().await);
    let sim = start(to_both(&function, &bus)).await;
    let mut ids = sim.account_region(ACCOUNT, REGION).launch(Launch::default());
    http(&sim, "POST", "/_sim/reset", "", "").await.unwrap();
    assert!(sim.take_events().is_empty());
    ids.extend(sim.account_region(ACCOUNT, "eu-west-1").launch(Launch::default()));
    for target in [&function, &bus] {
        // Events that were queued before the reset are delivered as well.
        for (id, kind) in [(&ids[0], LAUNCH), (&ids[0], STATE), (&ids[1], LAUNCH), (&ids[1], STATE)] {
            let posted = target.take().await;
            assert_eq!(posted.kind(), kind);
            assert!(posted.body.to_string().contains(id.as_str()), "{id} {kind}");
        }
    }
}

#[tokio::test]
async fn invalid_delivery_urls_are_refused_at_the_start() {
    let never = ["nonsense", "https://127.0.0.1/", "/path", "127.0.0.1:9000", "http://", ""];
    let no_bus = ["http://127.0.0.1", "http://127.0.0.1:9000/path", "http://127.0.0.1:9000/?a=b"];
    let row = |url: &str, is_bus: bool| {
        let mut settings = Settings::default();
        let flag = if is_bus { &mut settings.deliver_to_bus } else { &mut settings.deliver_to };
        *flag = Some(url.to_owned());
        (settings, if is_bus { "--deliver-to-bus: expected http://HOST:PORT, " } else { "--deliver-to: " })
    };
    let rows = never.iter().flat_map(|url| [(url, false), (url, true)]);
    for (url, is_bus) in rows.chain(no_bus.iter().map(|url| (url, true))) {
        let (settings, names) = row(url, is_bus);
        let error = Ec2Sim::start(settings).await.expect_err(url).to_string();
        assert!(error.starts_with(names) && error.ends_with(&format!("got {url:?}")), "{error}");
    }
    for url in ["http://127.0.0.1:9000", "http://localhost:9000/", "http://[::1]:9000"] {
        assert!(Ec2Sim::start(row(url, true).0).await.is_ok(), "{url}");
    }
}

/// The program, killed when it is dropped.
struct Program(Child);

impl Program {
    fn start(flags: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ec2-sim"));
        Self(command.args(flags).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The next line of a program.
async fn line(output: impl std::io::Read + Send + 'static) -> String {
    let read = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).unwrap();
        line
    });
    tokio::time::timeout(Duration::from_secs(5), read).await.expect("no line").unwrap()
}

#[tokio::test]
async fn an_event_that_the_bus_keeps_refusing_is_dropped_with_advice() {
    let bus = Target::bind().await;
    let mut program = Program::start(&["--deliver-to-bus", &bus.url()]);
    let ready = line(program.0.stdout.take().unwrap()).await;
    let endpoint = ready.trim().rsplit(' ').next().unwrap();
    let run = "Action=RunInstances&MinCount=1&MaxCount=1";
    http_to(endpoint, "POST", "/", &authorization(ACCOUNT, REGION), run).await.unwrap();
    for _ in 0..5 {
        assert_eq!(bus.answer(200, REFUSED).await.kind(), LAUNCH);
    }
    let told = line(program.0.stderr.take().unwrap()).await;
    let expected = format!(
        "ec2-sim: --deliver-to-bus: an event was not delivered: {}/: NotAuthorizedForSourceException: Not authorized \
         for the source. (the bus refuses sources that begin with aws.; configure the emulator to accept them): {{",
        bus.url()
    );
    assert!(told.starts_with(&expected), "{told}");
    assert_eq!(bus.take().await.kind(), STATE, "the next event follows");
}

#[tokio::test]
async fn the_program_names_the_flag_that_it_refuses() {
    for flag in ["--deliver-to", "--deliver-to-bus"] {
        let mut program = Program::start(&[flag, "127.0.0.1:9000"]);
        let told = line(program.0.stderr.take().unwrap()).await;
        assert!(told.starts_with(&format!("ec2-sim: {flag}: expected http://HOST:PORT")), "{told}");
        assert_eq!(program.0.wait().unwrap().code(), Some(2), "{told}");
    }
}
