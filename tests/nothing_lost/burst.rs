//! Bursts of launches.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use ec2_sim::{Bucket, Buckets, Ec2Sim, Launch, RecordedCall, Settings};
use futures_util::future::join_all;
use serde_json::Value;

use crate::support::lambda::Lambda;
use crate::support::queue::Queue;
use crate::support::*;
use crate::{ALONE, DESCRIBE, MODIFY, by_code};

/// A simulator whose token buckets refill `speed` times as fast as those of EC2.
fn buckets(speed: f64) -> Settings {
    let faster = |bucket: Bucket| Bucket { refill: speed * bucket.refill, ..bucket };
    let Buckets { modify, describe, .. } = Buckets::default();
    let buckets = Buckets { modify: faster(modify), describe: faster(describe), ..Buckets::default() };
    Settings { buckets: Some(buckets), apply_delay: Duration::from_millis(200), ..Settings::default() }
}

/// Launches instances one by one. Returns a queue with the events that the template's rules match and that `is_sent`
/// selects.
async fn launch_burst(sim: &Ec2Sim, count: usize, is_sent: impl Fn(&Value) -> bool) -> (Vec<String>, Queue) {
    let account_region = sim.account_region(ACCOUNT, REGION);
    let launch = || account_region.launch(Launch { settled: false, ..Launch::default() }).remove(0);
    let ids: Vec<String> = (0..count).map(|_| launch()).collect();
    // Wait until the instances are running.
    tokio::time::sleep(Duration::from_millis(400)).await;
    // Longer than a batch takes, so that no record is redelivered meanwhile.
    let mut queue = Queue::new(Duration::from_secs(180), 5);
    let is_matched = |event: &Value| is_running(event) || event["detail"]["eventName"] == "RunInstances";
    sim.take_events()
        .iter()
        .filter(|event| is_matched(event) && is_sent(event))
        .for_each(|event| queue.send(event));
    (ids, queue)
}

fn is_running(event: &Value) -> bool {
    event["detail"]["state"] == "running"
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
    let sim = Ec2Sim::start(buckets(10.0)).await.unwrap();
    let (ids, queue) = launch_burst(&sim, 500, |_| true).await;
    assert_eq!(queue.sent(), 1000, "a launch and a state change per instance");
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

/// The function's processes as the template runs them, on the token bucket of one account and Region.
///
/// The bucket's refill and the rates are `speed` times those of AWS. Capacity and bursts are the same: the constants of
/// the rate limit are relative to the rate, so that the same calls are made in a fraction of the time.
struct Shared {
    speed: f64,
    /// Processes that sweep while two other processes handle the burst.
    sweepers: usize,
}

/// How long a burst of 500 launches took, and what the processes asked of EC2 meanwhile.
struct Pace {
    seconds: f64,
    /// The peak memory of each process that handled the burst, in MB.
    memory: Vec<f64>,
    changes: usize,
    throttled: usize,
}

impl Shared {
    async fn start(&self, sim: &Ec2Sim, processes: usize, burst: &str, rate: f64) -> Vec<Lambda> {
        let rate = (rate * self.speed).to_string();
        // The pauses of a verification do not scale: only at AWS's own speed is there one.
        let verify = if self.speed == 1.0 { "10" } else { "0" };
        let variables =
            [("IMDS_MODIFY_BURST", burst), ("IMDS_MODIFY_RATE", &rate), ("IMDS_VERIFY_SECONDS", verify)];
        join_all((0..processes).map(|_| Lambda::start(sim, &variables))).await
    }

    /// Handles a burst of 500 launches. Panics if an instance is lost.
    async fn run(&self) -> Pace {
        let mut settings = buckets(self.speed);
        settings.apply_delay = if self.speed == 1.0 { Duration::from_millis(500) } else { Duration::ZERO };
        let sim = Ec2Sim::start(settings).await.unwrap();
        // The first page of each sweep.
        sim.account_region(ACCOUNT, REGION).launch(imdsv1(1000));
        sim.take_events();
        // An observation is recent for 5 seconds at any speed. Where that is longer than a batch takes, processes do not
        // find what another has changed, so that each instance has one event.
        let is_real = self.speed == 1.0;
        let (ids, queue) = launch_burst(&sim, 500, |event| is_real || is_running(event)).await;
        let (sent, batch_size) = (queue.sent(), if is_real { 100 } else { 50 });
        let (enforcers, sweepers) =
            (self.start(&sim, 2, "40", 4.0).await, self.start(&sim, self.sweepers, "10", 1.0).await);
        let (queue, started) = (Mutex::new(queue), Instant::now());
        let enforce = async |mut lambda: Lambda| {
            drain(&queue, &mut lambda, batch_size, Duration::from_secs(180)).await;
            lambda.peak_memory()
        };
        let sweep = async |mut lambda: Lambda| lambda.invoke(sweep_event(), Duration::from_secs(900)).await;
        let memory = tokio::select! {
            memory = join_all(enforcers.into_iter().map(enforce)) => memory,
            ended = join_all(sweepers.into_iter().map(sweep)), if self.sweepers > 0 => {
                panic!("a sweep ended: {ended:?}")
            }
        };
        let seconds = started.elapsed().as_secs_f64();
        assert_all_required(&sim, &ids);
        let queue = queue.into_inner().unwrap();
        assert_eq!((queue.done, queue.done_again, queue.dead.len()), (sent, 0, 0));
        let calls = sim.calls();
        let changes = calls.iter().filter(|call| call.action == MODIFY);
        let throttled = changes.clone().filter(|call| call.status == Some(503)).count();
        let pace = Pace { seconds, memory, changes: changes.count(), throttled };
        pace.print(self, &calls);
        pace
    }

    /// How long EC2's token bucket needs for the burst alone, in seconds.
    fn needed(&self) -> f64 {
        (500.0 - 100.0) / (5.0 * self.speed)
    }
}

impl Pace {
    fn throttled_share(&self) -> f64 {
        self.throttled as f64 / self.changes as f64
    }

    fn print(&self, shared: &Shared, calls: &[RecordedCall]) {
        let Self { seconds, memory, .. } = self;
        println!(
            "500 launches, 2 processes, {} sweep: {seconds:.1} s, {:.2} x what EC2 needs, {:.1} % throttled, {memory:.1?} MB, {:?}",
            shared.sweepers,
            seconds / shared.needed(),
            100.0 * self.throttled_share(),
            by_code(calls)
        );
    }

    fn assert_fair(&self, shared: &Shared, factor: f64) {
        // A pause of the machine counts `speed` times, so that only AWS's own speed has the bound that holds there.
        let throttled = if shared.speed == 1.0 { 0.1 } else { 0.2 };
        assert!(self.throttled_share() <= throttled, "{} of {} throttled", self.throttled, self.changes);
        assert!(self.seconds <= factor * shared.needed(), "{:.1} s", self.seconds);
        assert!(self.memory.iter().all(|memory| *memory < 40.0), "{:?} MB", self.memory);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_find_their_shares_of_the_bucket() {
    let _alone = ALONE.lock().await;
    let shared = Shared { speed: 10.0, sweepers: 0 };
    shared.run().await.assert_fair(&shared, 1.15);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_does_not_wait_behind_two_sweeps() {
    let _alone = ALONE.lock().await;
    let shared = Shared { speed: 10.0, sweepers: 2 };
    shared.run().await.assert_fair(&shared, 1.5);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes 90 s: two processes at AWS's own speed"]
async fn two_processes_at_full_length() {
    let shared = Shared { speed: 1.0, sweepers: 0 };
    shared.run().await.assert_fair(&shared, 1.15);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes 2 min: two processes and two sweeps at AWS's own speed"]
async fn a_burst_beside_sweeps_at_full_length() {
    let shared = Shared { speed: 1.0, sweepers: 2 };
    shared.run().await.assert_fair(&shared, 1.5);
}
