//! EC2 fails in several ways, functions are killed, and other users change instances.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ec2_sim::{Ec2Sim, Fault, FaultKind, InstanceView, Launch, Settings};
use imds_core::policy::Policy;
use imds_core::selector::InstanceSelector;
use imds_core::trigger::Trigger;
use serde_json::Value;

use crate::by_code;
use crate::support::lambda::Lambda;
use crate::support::queue::Queue;
use crate::support::*;

/// Injects faults of EC2 with their probabilities, 22 % together.
pub fn chaos(sim: &Ec2Sim) {
    for (kind, probability) in [
        (FaultKind::Throttle, 0.11),
        (FaultKind::ServerError, 0.06),
        (FaultKind::Hang(None), 0.02),
        (FaultKind::Reset, 0.02),
        (FaultKind::Malformed, 0.01),
    ] {
        sim.inject(Fault::new(kind).with_probability(probability));
    }
}

/// How often the template lets a record be received.
const RECEIVES: u32 = 12;

/// How often functions are killed during an invocation.
const KILLS: usize = 10;

/// One of the concurrent functions, and the outcomes that it reported.
struct Chaos<'a> {
    sim: &'a Ec2Sim,
    queue: &'a Mutex<Queue>,
    /// The URL of the queue's server.
    url: &'a str,
    lambda: Lambda,
    /// The number of kills of all functions so far, including planned ones.
    kills: &'a Cell<usize>,
    outcomes: BTreeMap<String, usize>,
}

impl Chaos<'_> {
    /// Invokes the function with a batch. Kills it during the invocation if there were fewer than [`KILLS`] kills.
    async fn take(&mut self, batch: &Value) {
        let invoked = self.lambda.invoke(batch.clone(), Duration::from_secs(60));
        let answer = match self.kills.get() < KILLS {
            true => {
                self.kills.set(self.kills.get() + 1);
                let pause = Duration::from_millis(fastrand::u64(50..1500));
                let Ok(answer) = tokio::time::timeout(pause, invoked).await else {
                    // Its records are redelivered after the visibility timeout.
                    self.lambda.kill();
                    self.lambda = start_chaotic(self.sim, self.url).await;
                    return;
                };
                // The function responded before the kill.
                self.kills.set(self.kills.get() - 1);
                answer
            }
            false => invoked.await,
        };
        let answer = answer.expect("no invocation times out").unwrap();
        self.check(batch, &answer).await;
        self.queue.lock().unwrap().answered(batch, &answer);
    }

    /// Compares the log of the invocation with its batch: one outcome per instance, and the totals.
    async fn check(&mut self, batch: &Value, answer: &Value) {
        let policy = Policy::parse(CHAOTIC).unwrap();
        let named: BTreeSet<String> = records(batch, &policy).flat_map(|(_, ids)| ids).collect();
        let log = self.lambda.last_log().await;
        let outcomes: Vec<(String, &str)> = log
            .iter()
            .filter_map(|line| Some((line["instanceId"].as_str()?.to_owned(), line["outcome"].as_str()?)))
            .collect();
        let reported: BTreeSet<String> = outcomes.iter().map(|(id, _)| id.clone()).collect();
        assert_eq!((reported.len(), &reported), (outcomes.len(), &named), "exactly one outcome per instance");
        let done = log.last().unwrap();
        let sum: u64 =
            done["counts"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
        assert_eq!(sum, outcomes.len() as u64, "{done}");

        let retryable = ["pending", "not-ready", "throttled", "failed"];
        let due: BTreeSet<&String> =
            outcomes.iter().filter(|(_, outcome)| retryable.contains(outcome)).map(|(id, _)| id).collect();
        for (message_id, ids) in records(batch, &policy) {
            let failures = answer["batchItemFailures"].as_array().unwrap();
            let is_failed = failures.iter().any(|failure| failure["itemIdentifier"] == *message_id);
            assert_eq!(is_failed, ids.iter().any(|id| due.contains(id)), "{message_id}: {ids:?}");
        }
        for (_, outcome) in outcomes {
            *self.outcomes.entry(outcome.to_owned()).or_default() += 1;
        }
    }
}

/// The message ids of a batch, with the instances that each message names.
fn records(batch: &Value, policy: &Policy) -> impl Iterator<Item = (String, Vec<String>)> {
    batch["Records"].as_array().unwrap().iter().map(|record| {
        let event = serde_json::from_str(record["body"].as_str().unwrap()).unwrap();
        let ids = match Trigger::from_event(&event, policy).map(|trigger| trigger.instances) {
            Ok(InstanceSelector::Ids(ids)) => ids.iter().map(ToString::to_string).collect(),
            _ => Vec::new(),
        };
        (record["messageId"].as_str().unwrap().to_owned(), ids)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn chaos_loses_nothing() {
    // Does not lock ALONE, because this test mostly waits for calls that hang.
    let settings = Settings { apply_delay: Duration::from_millis(200), seed: 4, ..Settings::default() };
    let sim = Ec2Sim::start(settings).await.unwrap();
    let account_region = sim.account_region(ACCOUNT, REGION);
    let ids: Vec<String> =
        (0..100).flat_map(|_| account_region.launch(Launch { count: 20, ..Launch::default() })).collect();
    // The template's number of receives, and its visibility timeout scaled from 18 minutes: it delays what a kill leaves.
    let mut queue = Queue::new(Duration::from_secs(5), RECEIVES);
    let mut events = sim.take_events();
    fastrand::seed(11);
    fastrand::shuffle(&mut events);
    events.iter().for_each(|event| queue.send(event));
    let queue = Arc::new(Mutex::new(queue));
    let url = sqs::serve(Arc::clone(&queue)).await;
    chaos(&sim);

    let started = Instant::now();
    let kills = Cell::new(0);
    let disturbed = RefCell::new(ids.chunks(7).map(|chunk| chunk[0].clone()));
    let work = async |_| {
        let lambda = start_chaotic(&sim, &url).await;
        let (sim, queue, url, kills) = (&sim, &*queue, &*url, &kills);
        let mut chaos = Chaos { sim, queue, url, lambda, kills, outcomes: BTreeMap::new() };
        while let Some(batch) = next_batch(queue, 150).await {
            disturb(&account_region, disturbed.borrow_mut().by_ref().take(20));
            let told = sim.take_events().into_iter().filter(is_sent_by_rules);
            told.for_each(|event| queue.lock().unwrap().send(&event));
            chaos.take(&batch).await;
        }
        chaos.outcomes
    };
    let outcomes = futures_util::future::join_all((0..3).map(work)).await;
    // The last changes become applied.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (took, queue) = (started.elapsed(), queue.lock().unwrap());
    let sent = queue.sent();
    println!(
        "chaos: {sent} records, {} done, {} done again, {} dead, {} kills, {took:.0?}; {outcomes:?}; {:?}",
        queue.done,
        queue.done_again,
        queue.dead.len(),
        kills.get(),
        by_code(&sim.calls())
    );
    assert_eq!(kills.get(), KILLS);
    assert_eq!(
        (queue.done, queue.dead.len()),
        (sent, 0),
        "every record is done within the template's receives"
    );
    let wrong: Vec<_> =
        account_region.instances().into_iter().filter(|instance| !is_as_required(instance)).collect();
    assert!(wrong.is_empty(), "every instance meets the policy: {wrong:?}");
    let raised =
        account_region.instances().iter().filter(|i| i.options["HttpPutResponseHopLimit"] == "2").count();
    assert!(raised > 50, "tags that were added during the test take effect: {raised}");
}

const CHAOTIC: &str = r#"{"baseline": {"HttpTokens": "required"}, "rules": [
    {"name": "pods", "when": {"tags": {"Pods": "*"}}, "require": {"HttpPutResponseHopLimit": 2}}]}"#;

async fn start_chaotic(sim: &Ec2Sim, queue_url: &str) -> Lambda {
    let queue = ("AWS_ENDPOINT_URL_SQS", queue_url);
    let pace = [("IMDS_MODIFY_RATE", "1000"), ("IMDS_VERIFY_SECONDS", "3")];
    Lambda::start(sim, &[&pace[..], &[("IMDS_POLICY", CHAOTIC), queue]].concat()).await
}

/// Changes that other users make during the test.
fn disturb(account_region: &ec2_sim::AccountRegion, ids: impl Iterator<Item = String>) {
    for (number, id) in ids.enumerate() {
        match number % 4 {
            0 => account_region.terminate(&id),
            1 => account_region.stop(&id),
            2 => account_region.tag(&id, "Pods", "yes"),
            _ => account_region.tag(&id, "imds:HttpTokens", "optional"),
        }
    }
}

fn is_sent_by_rules(event: &Value) -> bool {
    matches!(event["detail"]["state"].as_str(), Some("running" | "stopped")) || event["source"] == "aws.tag"
}

/// Whether the instance meets [`CHAOTIC`] with its options applied, or is terminated.
fn is_as_required(instance: &InstanceView) -> bool {
    let is_ending = matches!(&*instance.state, "shutting-down" | "terminated");
    let hops = if instance.tags.contains_key("Pods") { "2" } else { "1" };
    is_ending
        || (instance.options["HttpTokens"] == "required"
            && instance.options["HttpPutResponseHopLimit"] == hops
            && (instance.options_state == "applied" || instance.state == "stopped"))
}
