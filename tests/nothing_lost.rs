//! Under load and failure: the built function as a process, a queue before it, and EC2 behind it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use ec2_sim::{Bucket, Buckets, Ec2Sim, Fault, FaultKind, InstanceView, Launch, RecordedCall, Settings};
use imds_core::policy::Policy;
use imds_core::selector::InstanceSelector;
use imds_core::trigger::Trigger;
use imds_enforcer::handler::Answer;
use serde_json::{Value, json};
use support::lambda::Lambda;
use support::queue::Queue;
use support::*;

const DESCRIBE: &str = "DescribeInstances";
const MODIFY: &str = "ModifyInstanceMetadataOptions";

/// Most of these tests measure time and memory, or compute, on a small machine: one at a time.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// EC2 with its buckets, ten times as fast to fill as AWS's.
fn fast_buckets() -> Settings {
    let buckets = Buckets {
        modify: Bucket { capacity: 100.0, refill: 50.0 },
        describe: Bucket { capacity: 100.0, refill: 200.0 },
        ..Buckets::default()
    };
    Settings { buckets: Some(buckets), apply_delay: Duration::from_millis(200), ..Settings::default() }
}

/// Launches instances one by one, and gives their events as the rules of the template let them through.
async fn launch_burst(sim: &Ec2Sim, count: usize) -> (Vec<String>, Queue) {
    let account_region = sim.account_region(ACCOUNT, REGION);
    let launch = || account_region.launch(Launch { settled: false, ..Launch::default() }).remove(0);
    let ids: Vec<String> = (0..count).map(|_| launch()).collect();
    // Until they run.
    tokio::time::sleep(Duration::from_millis(400)).await;
    let mut queue = Queue::new(Duration::from_secs(30), 5);
    let mut events = sim.take_events();
    events.retain(|event| {
        event["detail"]["state"] == "running" || event["detail"]["eventName"] == "RunInstances"
    });
    events.iter().for_each(|event| queue.send(event));
    assert_eq!(queue.sent(), 2 * count, "a launch and a state change for each");
    (ids, queue)
}

fn assert_all_required(sim: &Ec2Sim, ids: &[String]) {
    let account_region = sim.account_region(ACCOUNT, REGION);
    for id in ids {
        let instance = account_region.instance(id).unwrap();
        let seen = (&*instance.options["HttpTokens"], &*instance.options_state);
        assert_eq!(seen, ("required", "applied"), "{id}");
    }
}

fn by_code(calls: &[RecordedCall]) -> BTreeMap<(String, String), usize> {
    let mut counts = BTreeMap::new();
    for call in calls {
        let code = call.code.clone().or(call.status.map(|s| s.to_string())).unwrap_or("no answer".to_owned());
        *counts.entry((call.action.clone(), code)).or_default() += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_500_launches_keeps_the_pace_and_loses_nothing() {
    let _alone = ALONE.lock().await;
    const RATE: f64 = 40.0;
    let sim = Ec2Sim::start(fast_buckets()).await.unwrap();
    let (ids, queue) = launch_burst(&sim, 500).await;
    let mut lambda = Lambda::start(&sim, &[("IMDS_MODIFY_RATE", "40")]).await;

    let (queue, started) = (Mutex::new(queue), Instant::now());
    drain(&queue, &mut lambda, 100, Duration::from_secs(180)).await;
    let took = started.elapsed().as_secs_f64();

    let (memory, calls) = (lambda.peak_memory(), sim.calls());
    let allowed = (500.0 - 80.0) / RATE;
    println!(
        "500 launches: {took:.1} s of {allowed:.1} s that the rate allows, {memory:.1} MB, {:?}",
        by_code(&calls)
    );
    assert_all_required(&sim, &ids);
    let queue = queue.into_inner().unwrap();
    assert_eq!((queue.done, queue.done_again, queue.dead.len()), (1000, 0, 0));
    let changed: BTreeSet<&String> = calls
        .iter()
        .filter(|c| c.action == MODIFY && c.status == Some(200))
        .flat_map(|c| &c.instance_ids)
        .collect();
    let modifies = calls.iter().filter(|call| call.action == MODIFY).count();
    assert_eq!((changed.len(), modifies), (500, 500), "each once, none throttled");
    // 10 batches of at most 100 ids: a describe each to observe, and a few looks each to verify.
    let describes = calls.iter().filter(|call| call.action == DESCRIBE).count();
    assert!(describes <= 10 + 10 * 3, "{describes} describes");
    assert!(took <= 1.25 * allowed, "{took:.1} s");
    assert!(memory < 40.0, "{memory:.1} MB");
}

/// How several processes that share one bucket took a burst.
struct Shared {
    seconds: f64,
    memory: Vec<f64>,
    calls: Vec<RecordedCall>,
}

/// Gives a burst of 500 launches to so many processes with this rate, in batches of at most this size. None may be lost.
async fn share(processes: usize, rate: &str, batch_size: usize) -> Shared {
    let sim = Ec2Sim::start(fast_buckets()).await.unwrap();
    let (ids, queue) = launch_burst(&sim, 500).await;
    let (queue, started) = (Mutex::new(queue), Instant::now());
    let work = async |_| {
        let mut lambda = Lambda::start(&sim, &[("IMDS_MODIFY_RATE", rate)]).await;
        drain(&queue, &mut lambda, batch_size, Duration::from_secs(180)).await;
        lambda.peak_memory()
    };
    let memory = futures_util::future::join_all((0..processes).map(work)).await;
    let seconds = started.elapsed().as_secs_f64();
    assert_all_required(&sim, &ids);
    let queue = queue.into_inner().unwrap();
    assert_eq!((queue.done, queue.done_again, queue.dead.len()), (1000, 0, 0));
    Shared { seconds, memory, calls: sim.calls() }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_processes_share_one_bucket() {
    let _alone = ALONE.lock().await;
    // The messages are spread over the batches that wait.
    let Shared { seconds, memory, calls } = share(3, "13", 34).await;
    // Together they keep a pace of 39, below the 50 of EC2's bucket; their bursts are above what it holds.
    let allowed = (500.0 - 80.0) / 39.0;
    println!(
        "three processes: {seconds:.1} s of {allowed:.1} s that the rates allow, {memory:.1?} MB, {:?}",
        by_code(&calls)
    );
    assert!(seconds <= 1.25 * allowed, "{seconds:.1} s");
    assert!(memory.iter().all(|memory| *memory < 40.0), "{memory:?} MB");
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_together_are_too_fast_give_way() {
    let _alone = ALONE.lock().await;
    // As the template has it: two at once, each with four fifths of what EC2 gives.
    let Shared { seconds, calls, .. } = share(2, "40", 100).await;
    let modifies = calls.iter().filter(|call| call.action == MODIFY);
    let throttled = modifies.clone().filter(|call| call.status == Some(503)).count();
    let allowed = (500.0 - 100.0) / 50.0;
    println!(
        "two processes, too fast: {seconds:.1} s of {allowed:.1} s that EC2 allows, {throttled} calls throttled, {:?}",
        by_code(&calls)
    );
    assert!(throttled * 2 < modifies.count(), "most calls are not in vain: {throttled} throttled");
    assert!(seconds <= 2.0 * allowed, "{seconds:.1} s");
}

/// What EC2 does wrong, and how often.
fn chaos(sim: &Ec2Sim) {
    for (kind, probability) in [
        (FaultKind::Throttle, 0.10),
        (FaultKind::ServerError, 0.05),
        (FaultKind::Hang(None), 0.02),
        (FaultKind::Reset, 0.02),
        (FaultKind::Malformed, 0.01),
    ] {
        sim.inject(Fault::new(kind).with_probability(probability));
    }
}

/// How often functions are killed on the way.
const KILLS: usize = 10;

/// One of the functions that work side by side, and what it answered.
struct Chaos<'a> {
    sim: &'a Ec2Sim,
    queue: &'a Mutex<Queue>,
    lambda: Lambda,
    /// How often one of them was killed, or is about to be.
    kills: &'a Cell<usize>,
    outcomes: BTreeMap<String, usize>,
}

impl Chaos<'_> {
    /// Gives the function a batch, and kills it on the way if there were not enough of these yet.
    async fn take(&mut self, batch: &Value) {
        let invoked = self.lambda.invoke(batch.clone(), Duration::from_secs(60));
        let answer = match self.kills.get() < KILLS {
            true => {
                self.kills.set(self.kills.get() + 1);
                let pause = Duration::from_millis(fastrand::u64(50..1500));
                let Ok(answer) = tokio::time::timeout(pause, invoked).await else {
                    // Its records come again by themselves.
                    self.lambda.kill();
                    self.lambda = start_chaotic(self.sim).await;
                    return;
                };
                // It was done before.
                self.kills.set(self.kills.get() - 1);
                answer
            }
            false => invoked.await,
        };
        let answer = answer.expect("none is cut off").unwrap();
        self.check(batch, &answer).await;
        self.queue.lock().unwrap().answered(batch, &answer);
    }

    /// Holds the log of the invocation against its batch: one outcome an instance, and their sum.
    async fn check(&mut self, batch: &Value, answer: &Value) {
        let policy = Policy::parse(CHAOTIC).unwrap();
        let named: BTreeSet<String> = records(batch, &policy).flat_map(|(_, ids)| ids).collect();
        let log = self.lambda.last_log().await;
        let outcomes: Vec<(String, &str)> = log
            .iter()
            .filter_map(|line| Some((line["instanceId"].as_str()?.to_owned(), line["outcome"].as_str()?)))
            .collect();
        let reported: BTreeSet<String> = outcomes.iter().map(|(id, _)| id.clone()).collect();
        assert_eq!(
            (reported.len(), &reported),
            (outcomes.len(), &named),
            "one outcome an instance, and no other"
        );
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

/// The message ids of a batch, and the instances that each names.
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
    // Not alone: it mostly waits for what hangs.
    let settings = Settings { apply_delay: Duration::from_millis(200), seed: 4, ..Settings::default() };
    let sim = Ec2Sim::start(settings).await.unwrap();
    let account_region = sim.account_region(ACCOUNT, REGION);
    let ids: Vec<String> =
        (0..100).flat_map(|_| account_region.launch(Launch { count: 20, ..Launch::default() })).collect();
    let mut queue = Queue::new(Duration::from_secs(5), 30);
    let mut events = sim.take_events();
    fastrand::seed(11);
    fastrand::shuffle(&mut events);
    events.iter().for_each(|event| queue.send(event));
    let queue = Mutex::new(queue);
    chaos(&sim);

    let started = Instant::now();
    let kills = Cell::new(0);
    let disturbed = RefCell::new(ids.chunks(7).map(|chunk| chunk[0].clone()));
    let work = async |_| {
        let lambda = start_chaotic(&sim).await;
        let mut chaos = Chaos { sim: &sim, queue: &queue, lambda, kills: &kills, outcomes: BTreeMap::new() };
        while let Some(batch) = next_batch(&queue, 150).await {
            disturb(&account_region, disturbed.borrow_mut().by_ref().take(20));
            let told = sim.take_events().into_iter().filter(is_sent_by_rules);
            told.for_each(|event| queue.lock().unwrap().send(&event));
            chaos.take(&batch).await;
        }
        chaos.outcomes
    };
    let outcomes = futures_util::future::join_all((0..3).map(work)).await;
    // What was applied last.
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
    assert_eq!((queue.done, queue.dead.len()), (sent, 0), "every record is done; 30 deliveries were enough");
    let wrong: Vec<_> =
        account_region.instances().into_iter().filter(|instance| !is_as_required(instance)).collect();
    assert!(wrong.is_empty(), "as the policy requires: {wrong:?}");
    let raised =
        account_region.instances().iter().filter(|i| i.options["HttpPutResponseHopLimit"] == "2").count();
    assert!(raised > 50, "the tags that were put meanwhile count: {raised}");
}

const CHAOTIC: &str = r#"{"baseline": {"HttpTokens": "required"}, "rules": [
    {"name": "pods", "when": {"tags": {"Pods": "*"}}, "require": {"HttpPutResponseHopLimit": 2}}]}"#;

async fn start_chaotic(sim: &Ec2Sim) -> Lambda {
    let variables = [("IMDS_MODIFY_RATE", "1000"), ("IMDS_VERIFY_SECONDS", "3"), ("IMDS_POLICY", CHAOTIC)];
    Lambda::start(sim, &variables).await
}

/// What other people do meanwhile.
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

/// Whether an instance that still exists is as [`CHAOTIC`] requires, and in force.
fn is_as_required(instance: &InstanceView) -> bool {
    let is_ending = matches!(&*instance.state, "shutting-down" | "terminated");
    let hops = if instance.tags.contains_key("Pods") { "2" } else { "1" };
    is_ending
        || (instance.options["HttpTokens"] == "required"
            && instance.options["HttpPutResponseHopLimit"] == hops
            && (instance.options_state == "applied" || instance.state == "stopped"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_of_10_000_goes_on_at_its_retries_and_changes_each_once() {
    let _alone = ALONE.lock().await;
    let sim = Ec2Sim::start(Settings { apply_delay: Duration::ZERO, ..Settings::default() }).await.unwrap();
    let account_region = sim.account_region(ACCOUNT, REGION);
    account_region.launch(Launch { count: 10_000, ..Launch::default() });
    sim.take_events();
    let mut lambda = Lambda::start(&sim, &[("IMDS_MODIFY_RATE", "1000")]).await;
    let mut queue = Queue::new(Duration::ZERO, 100);
    queue.send(&json!({
        "version": "0", "source": "imds-enforcer", "detail-type": "Sweep", "account": ACCOUNT, "region": REGION,
        "time": "2026-03-17T00:59:42Z", "detail": {},
    }));
    let (started, mut tries, mut first) = (Instant::now(), 0, None);
    while let Some(batch) = queue.receive(1) {
        let answer = lambda.invoke(batch.clone(), Duration::from_secs(5)).await.expect("in time").unwrap();
        queue.answered(&batch, &answer);
        first.get_or_insert(lambda.peak_memory());
        tries += 1;
    }
    let (first, last) = (first.unwrap(), lambda.peak_memory());
    println!(
        "a sweep of 10000: {tries} tries of 5 s, {:.0?}, {first:.1} MB at first, {last:.1} MB at last",
        started.elapsed()
    );
    assert!(tries > 1, "the deadline was met on the way");
    assert_eq!((queue.done, queue.done_again, queue.dead.len()), (1, 0, 0));
    let left =
        account_region.instances().into_iter().filter(|i| i.options["HttpTokens"] != "required").count();
    assert_eq!(left, 0);
    let mut changed: Vec<String> =
        sim.calls().into_iter().filter(|c| c.action == MODIFY).flat_map(|c| c.instance_ids).collect();
    changed.sort();
    let calls = changed.len();
    changed.dedup();
    assert_eq!((changed.len(), calls), (10_000, 10_000), "none is changed twice");
    assert!(last - first < 10.0, "flat: {first:.1} MB, then {last:.1} MB");
}

/// An event with something wrong in it.
fn mutated(events: &[Value]) -> String {
    let mut text = fastrand::choice(events).unwrap().to_string();
    match fastrand::u8(0..6) {
        0 => text.truncate(text.char_indices().nth(fastrand::usize(0..text.len())).map_or(0, |(at, _)| at)),
        1 => text = text.replacen("i-", "i", fastrand::usize(0..3)),
        2 => {
            text = text.replace("us-east-1", fastrand::choice(["", "*", "us-east-1/", "../../x-1"]).unwrap())
        }
        3 => text = text.replace("111122223333", fastrand::choice(["1", "null", "９99999999999"]).unwrap()),
        4 => {
            let mut bytes = text.into_bytes();
            for _ in 0..fastrand::usize(1..9) {
                let at = fastrand::usize(0..bytes.len());
                bytes[at] = fastrand::u8(32..127);
            }
            text = String::from_utf8_lossy(&bytes).into_owned();
        }
        _ => {
            // A part of it is replaced by something of another kind.
            let mut event: Value = serde_json::from_str(&text).unwrap();
            let key = fastrand::choice(["source", "detail", "resources", "time", "account", "detail-type"])
                .unwrap();
            event[key] =
                fastrand::choice([json!(null), json!(7), json!([]), json!({}), json!("x"), json!([[{}]])])
                    .unwrap();
            text = event.to_string();
        }
    }
    text
}

/// Whether a sentence that begins so says why something came to no end.
fn is_said(answer: &Answer, beginning: &str) -> bool {
    answer.report.unresolved.iter().any(|why| why.starts_with(beginning))
}

#[tokio::test]
async fn of_10_000_poisoned_records_none_panics_and_none_is_lost() {
    let _alone = ALONE.lock().await;
    fastrand::seed(5);
    let scene = Scene::new(&[]).await;
    let account_region = scene.sim.account_region(ACCOUNT, REGION);
    let ids = account_region.launch(Launch { count: 20, ..with_options(&[("HttpTokens", "required")]) });
    account_region.tag(&ids[0], "imds:HttpTokens", "required");
    account_region.modify(&ids[1], &[("HttpTokens", "required")]);
    let mut events = scene.sim.take_events();
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/events")).unwrap();
    events.extend(
        files.map(|file| serde_json::from_slice(&std::fs::read(file.unwrap().path()).unwrap()).unwrap()),
    );
    let (mut records, mut failed) = (0, 0);
    while records < 10_000 {
        let bodies: Vec<String> = (0..100).map(|_| mutated(&events)).collect();
        // Too little time to look again for instances that are not there.
        let answer = scene.answer_within(batch(&bodies, 2), Duration::from_secs(1)).await;
        let failures = failures(&answer);
        let outcomes: BTreeMap<(&str, &str, &str), bool> = answer
            .report
            .outcomes
            .iter()
            .map(|r| {
                ((r.account.as_str(), r.region.as_str(), r.instance_id.as_str()), r.outcome.is_retryable())
            })
            .collect();
        for (number, body) in bodies.iter().enumerate() {
            let is_failed = failures.contains(&format!("m{number}"));
            let expected = match serde_json::from_str(body)
                .map(|event: Value| Trigger::from_event(&event, &Policy::default()))
            {
                Err(_) => true,
                Ok(Err(_)) => false,
                Ok(Ok(Trigger { instances: InstanceSelector::Ids(ids), account_region, .. })) => {
                    ids.iter().any(|id| {
                        outcomes
                            [&(account_region.account.as_str(), account_region.region.as_str(), id.as_str())]
                    })
                }
                Ok(Ok(Trigger { instances: InstanceSelector::All, .. })) => is_said(&answer, "the sweep"),
                // What is not found is given up a quarter of an hour after its event.
                Ok(Ok(Trigger { instances, time, .. })) => {
                    is_said(&answer, &instances.to_string()) && now() - time < time::Duration::minutes(15)
                }
            };
            assert_eq!(is_failed, expected, "{body}");
        }
        records += bodies.len();
        failed += failures.len();
    }
    println!("poison: {records} records, {failed} to be delivered again");
}

#[tokio::test]
async fn poisoned_envelopes_fail_as_a_whole_or_account_for_every_record() {
    let _alone = ALONE.lock().await;
    fastrand::seed(6);
    let scene = Scene::new(&[]).await;
    let ids = scene.launch(with_options(&[("HttpTokens", "required")]));
    let events: Vec<Value> = (0..5).map(|_| running_event(&ids[0], now())).collect();
    let bodies: Vec<String> = events.iter().map(Value::to_string).collect();
    let (mut whole, mut batches, mut others) = (0, 0, 0);
    for number in 0..5_000 {
        let payload = match number % 3 {
            0 => mutated(&[batch(&bodies, 1)]),
            1 => mutated(&events),
            _ => (0..fastrand::usize(1..200)).map(|_| fastrand::char(..)).collect(),
        };
        // Lambda's runtime refuses what is not JSON before the handler sees it.
        let Ok(payload) = serde_json::from_str::<Value>(&payload) else { continue };
        let answer = scene.answer_within(payload.clone(), Duration::from_secs(1)).await;
        if payload.pointer("/Records/0/eventSource").and_then(Value::as_str) != Some("aws:sqs") {
            others += 1;
            continue;
        }
        if answer.response.is_err() {
            whole += 1;
            continue;
        }
        batches += 1;
        let failures = failures(&answer);
        for record in payload["Records"].as_array().unwrap() {
            let is_failed = failures.iter().any(|id| record["messageId"] == **id);
            let is_json = serde_json::from_str::<Value>(record["body"].as_str().unwrap_or_default()).is_ok();
            assert!(is_failed || is_json, "{record}");
        }
    }
    println!("poisoned envelopes: {whole} failed as a whole, {batches} batches, {others} single events");
    assert!(whole > 0 && batches > 500 && others > 500, "each kind is met");
}
