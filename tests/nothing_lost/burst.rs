//! Bursts of launches.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use ec2_sim::{Bucket, Buckets, Ec2Sim, Launch, RecordedCall, Settings};

use crate::support::lambda::Lambda;
use crate::support::queue::Queue;
use crate::support::*;
use crate::{ALONE, DESCRIBE, MODIFY, by_code};

/// A simulator whose token buckets refill ten times as fast as those of EC2.
fn fast_buckets() -> Settings {
    let buckets = Buckets {
        modify: Bucket { capacity: 100.0, refill: 50.0 },
        describe: Bucket { capacity: 100.0, refill: 200.0 },
        ..Buckets::default()
    };
    Settings { buckets: Some(buckets), apply_delay: Duration::from_millis(200), ..Settings::default() }
}

/// Launches instances one by one. Returns a queue with the events that the template's rules match.
async fn launch_burst(sim: &Ec2Sim, count: usize) -> (Vec<String>, Queue) {
    let account_region = sim.account_region(ACCOUNT, REGION);
    let launch = || account_region.launch(Launch { settled: false, ..Launch::default() }).remove(0);
    let ids: Vec<String> = (0..count).map(|_| launch()).collect();
    // Wait until the instances are running.
    tokio::time::sleep(Duration::from_millis(400)).await;
    let mut queue = Queue::new(Duration::from_secs(30), 5);
    let mut events = sim.take_events();
    events.retain(|event| {
        event["detail"]["state"] == "running" || event["detail"]["eventName"] == "RunInstances"
    });
    events.iter().for_each(|event| queue.send(event));
    assert_eq!(queue.sent(), 2 * count, "a launch and a state change per instance");
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

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_500_launches_keeps_the_rate_and_loses_nothing() {
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
    assert_eq!(
        (changed.len(), modifies),
        (500, 500),
        "each instance is changed once, and no call is throttled"
    );
    // 10 batches of at most 100 ids, each with one describe to observe and a few to verify.
    let describes = calls.iter().filter(|call| call.action == DESCRIBE).count();
    assert!(describes <= 10 + 10 * 3, "{describes} describes");
    assert!(took <= 1.25 * allowed, "{took:.1} s");
    assert!(memory < 40.0, "{memory:.1} MB");
}

/// The results of a burst for processes that share one token bucket.
struct Shared {
    seconds: f64,
    memory: Vec<f64>,
    calls: Vec<RecordedCall>,
}

/// Distributes a burst of 500 launches to processes with this rate, in batches of at most this size. Panics if an
/// instance is lost.
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
    // The batch size of 34 spreads the messages over all processes.
    let Shared { seconds, memory, calls } = share(3, "13", 34).await;
    // Their total rate of 39 is below the refill rate of 50, but their bursts exceed the capacity of the bucket.
    let allowed = (500.0 - 80.0) / 39.0;
    println!(
        "three processes: {seconds:.1} s of {allowed:.1} s that the rates allow, {memory:.1?} MB, {:?}",
        by_code(&calls)
    );
    assert!(seconds <= 1.25 * allowed, "{seconds:.1} s");
    assert!(memory.iter().all(|memory| *memory < 40.0), "{memory:?} MB");
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_exceed_the_rate_together_back_off() {
    let _alone = ALONE.lock().await;
    // As in the template: a concurrency of two, each with four fifths of EC2's rate.
    let Shared { seconds, calls, .. } = share(2, "40", 100).await;
    let modifies = calls.iter().filter(|call| call.action == MODIFY);
    let throttled = modifies.clone().filter(|call| call.status == Some(503)).count();
    let allowed = (500.0 - 100.0) / 50.0;
    println!(
        "two processes, too fast: {seconds:.1} s of {allowed:.1} s that EC2 allows, {throttled} calls throttled, {:?}",
        by_code(&calls)
    );
    assert!(throttled * 2 < modifies.count(), "fewer than half of the calls are throttled: {throttled}");
    assert!(seconds <= 2.0 * allowed, "{seconds:.1} s");
}
