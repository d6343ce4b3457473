//! The function's handler with the AWS SDK and its own ec2-sim.

// No test file uses all of this.
#![allow(dead_code, clippy::unwrap_used, reason = "shared between test files")]

pub mod event_bus;
pub mod http;
pub mod lambda;
pub mod queue;
pub mod sqs;
pub mod tls;

use ec2_sim::{AccountRegion, Ec2Sim, InstanceView, Launch, RecordedCall, Settings};
use imds_core::outcome::InstanceOutcome;
use imds_enforcer::config::Config;
use imds_enforcer::handler::{Answer, answer};
use imds_engine::aws::clients::{MemberRole, RegionClients};
use imds_engine::aws::settings::for_simulator;
use imds_engine::deadline::Deadline;
use imds_engine::reconcile::Enforcer;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::sync::Mutex;
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use lambda::Lambda;
use queue::Queue;

pub const ACCOUNT: &str = "111122223333";
pub const REGION: &str = "us-east-1";

/// A simulator and a function that uses it.
pub struct Scene {
    pub sim: Ec2Sim,
    pub enforcer: Enforcer,
    pub account_region: AccountRegion,
}

impl Scene {
    /// A simulator that applies changes immediately, and a function with these environment variables.
    pub async fn new(variables: &[(&str, &str)]) -> Self {
        Self::with(Settings { apply_delay: Duration::ZERO, ..Settings::default() }, variables).await
    }

    pub async fn with(settings: Settings, variables: &[(&str, &str)]) -> Self {
        let sim = Ec2Sim::start(settings).await.unwrap();
        let enforcer = enforcer(&sim, variables);
        let account_region = sim.account_region(ACCOUNT, REGION);
        Self { sim, enforcer, account_region }
    }

    /// Launches instances and discards the events.
    pub fn launch(&self, launch: Launch) -> Vec<String> {
        let ids = self.account_region.launch(launch);
        self.sim.take_events();
        ids
    }

    pub fn instance(&self, id: &str) -> InstanceView {
        self.account_region.instance(id).unwrap_or_else(|| panic!("{id} exists"))
    }

    /// Invokes the function with a timeout of one minute.
    pub async fn answer(&self, payload: Value) -> Answer {
        self.answer_within(payload, Duration::from_secs(60)).await
    }

    /// Invokes the function with this timeout. The answer's report has the outcomes, also for a batch.
    pub async fn answer_within(&self, payload: Value, allowed: Duration) -> Answer {
        let outcomes = RefCell::new(Vec::new());
        let on_report = |outcome: &InstanceOutcome| outcomes.borrow_mut().push(outcome.clone());
        let deadline = Deadline::new(now(), allowed);
        let mut answer = answer(&self.enforcer, payload, deadline, &on_report).await;
        answer.report.outcomes = outcomes.into_inner();
        answer
    }

    /// The calls of this action so far.
    pub fn calls(&self, action: &str) -> Vec<RecordedCall> {
        self.sim.calls().into_iter().filter(|call| call.action == action).collect()
    }
}

/// A function with these environment variables.
pub fn enforcer(sim: &Ec2Sim, variables: &[(&str, &str)]) -> Enforcer {
    let lookup =
        |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    let config = Config::from_lookup(lookup).unwrap();
    let role = config.member_role.clone();
    let role = role.map(|name| MemberRole { name, session: "enforces-metadata-options.tests".to_owned() });
    let clients =
        RegionClients::new(for_simulator(&sim.endpoint(), ACCOUNT, REGION), config.modify_limit, role);
    clients.invoked_as(&format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:tests"));
    config.into_enforcer(clients)
}

/// Waits for visible messages and returns up to `most` as an SQS event; `None` if the queue is empty.
pub async fn next_batch(queue: &Mutex<Queue>, most: usize) -> Option<Value> {
    loop {
        {
            let mut queue = queue.lock().unwrap();
            if let Some(batch) = queue.receive(most) {
                return Some(batch);
            }
            if queue.is_empty() {
                return None;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Invokes the function with batches of messages until the queue is empty.
pub async fn drain(queue: &Mutex<Queue>, lambda: &mut Lambda, batch_size: usize, allowed: Duration) {
    while let Some(batch) = next_batch(queue, batch_size).await {
        match lambda.invoke(batch.clone(), allowed).await {
            Some(Ok(answer)) => queue.lock().unwrap().answered(&batch, &answer),
            Some(Err(error)) => panic!("the function failed: {error}"),
            None => panic!("the function timed out after {allowed:?}"),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "tests are the edge")]
pub fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

/// Instances that allow IMDSv1: tokens optional, endpoint enabled, hop limit 1.
pub fn imdsv1(count: usize) -> Launch {
    Launch { count, ..Launch::default() }
}

/// Instances with these options; the other options are those of [`imdsv1`].
pub fn with_options(options: &[(&str, &str)]) -> Launch {
    let options = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Launch { options, ..Launch::default() }
}

/// CloudTrail's event of a launch of `ids`, with the fields that the function reads.
pub fn launch_event(ids: &[String]) -> Value {
    let items: Vec<Value> = ids.iter().map(|id| json!({"instanceId": id})).collect();
    api_call(json!({
        "eventName": "RunInstances", "eventTime": text(now()),
        "responseElements": {"instancesSet": {"items": items}},
    }))
}

/// A CloudTrail event.
pub fn api_call(detail: Value) -> Value {
    event("AWS API Call via CloudTrail", now(), detail)
}

/// The event of `id` entering the state `running` at `time`.
pub fn running_event(id: &str, time: OffsetDateTime) -> Value {
    event("EC2 Instance State-change Notification", time, json!({"instance-id": id, "state": "running"}))
}

/// The event of a sweep of the account and Region.
pub fn sweep_event() -> Value {
    json!({
        "version": "0", "source": "imds-enforcer", "detail-type": "Sweep", "account": ACCOUNT, "region": REGION,
        "time": text(now()), "detail": {},
    })
}

fn event(detail_type: &str, time: OffsetDateTime, detail: Value) -> Value {
    json!({
        "version": "0", "source": "aws.ec2", "detail-type": detail_type, "account": ACCOUNT, "region": REGION,
        "time": text(time), "detail": detail,
    })
}

fn text(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).unwrap()
}

/// An SQS batch of these bodies; the message ids are `m0`, `m1` and so on.
pub fn batch(bodies: &[String], receives: u32) -> Value {
    let record = |(number, body): (usize, &String)| {
        json!({
            "messageId": format!("m{number}"), "body": body, "eventSource": "aws:sqs", "awsRegion": REGION,
            "attributes": {"ApproximateReceiveCount": receives.to_string()},
        })
    };
    json!({"Records": bodies.iter().enumerate().map(record).collect::<Vec<_>>()})
}

/// The message ids that the function reports for redelivery.
pub fn failures(answer: &Answer) -> Vec<String> {
    let response = answer.response.as_ref().expect("a batch has a response");
    let failures = response["batchItemFailures"].as_array().expect("a list of failures");
    failures.iter().map(|failure| failure["itemIdentifier"].as_str().unwrap().to_owned()).collect()
}
