//! Many launches at once.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use ec2_sim::{Bucket, Buckets, Ec2Sim, Launch, RecordedCall, Settings};

use crate::support::lambda::Lambda;
use crate::support::queue::Queue;
use crate::support::*;
use crate::{ALONE, DESCRIBE, MODIFY, by_code};

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
