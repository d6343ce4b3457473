use std::cell::Cell;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream;
use tokio::time::sleep;

use super::*;

/// As in the template, and the same at ten times the speed.
const ENFORCER: RateLimit = RateLimit { ceiling: 4.0, burst: 40 };
const SWEEPER: RateLimit = RateLimit { ceiling: 1.0, burst: 10 };
const DEFAULT: RateLimit = RateLimit { ceiling: 4.0, burst: 80 };

fn after(start: Instant, seconds: f64) -> Instant {
    start + Duration::from_secs_f64(seconds)
}

/// Takes all tokens until then, each as soon as possible.
async fn take_until(limiter: &RateLimiter, until: Instant) -> usize {
    let mut taken = 0;
    while limiter.acquire(until).await.is_some() {
        taken += 1;
    }
    taken
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_immediate_and_the_rest_keeps_the_rate() {
    let start = Instant::now();
    let limiter = RateLimiter::new(ENFORCER);
    assert_eq!((limiter.within(Duration::ZERO), limiter.within(Duration::from_secs(10))), (40, 60));
    assert_eq!((take_until(&limiter, start).await, Instant::now()), (40, start), "the burst");
    assert_eq!(take_until(&limiter, after(start, 10.1)).await, 20, "2 a second, half the ceiling");
    assert_eq!(limiter.acquire(after(start, 10.4)).await, None, "the next one is at 10.5 s");
    assert!(limiter.acquire(after(start, 10.6)).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn the_rate_rises_to_the_ceiling_while_calls_are_accepted() {
    for (limit, seconds, expected) in [
        (ENFORCER, 0.0, 40),
        // From 2 to 4 in 10 s.
        (ENFORCER, 5.0, 40 + 12),
        (ENFORCER, 10.0, 40 + 30),
        (ENFORCER, 20.0, 40 + 30 + 40),
        // From 0.5 to 1 in 40 s.
        (SWEEPER, 40.0, 10 + 30),
        (SWEEPER, 80.0, 10 + 30 + 40),
    ] {
        let start = Instant::now();
        let limiter = RateLimiter::new(limit);
        let mut taken = 0_i32;
        while limiter.acquire(after(start, seconds)).await.is_some() {
            limiter.accepted();
            taken += 1;
        }
        assert!((taken - expected).abs() <= 1, "{limit:?}, {seconds} s: {taken}, expected {expected}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttle_ends_the_burst_and_counts_once_for_all_calls_in_flight() {
    let limiter = RateLimiter::new(DEFAULT);
    let mut in_flight = Vec::new();
    for _ in 0..20 {
        in_flight.extend(limiter.acquire(Instant::now()).await);
    }
    sleep(Duration::from_millis(100)).await;
    in_flight.into_iter().for_each(|taken| limiter.throttled(taken));
    let ten_seconds = Duration::from_secs(10);
    assert_eq!(limiter.within(ten_seconds), 10, "no burst, and half of 2 a second");
    let later = limiter.acquire(Instant::now() + ten_seconds).await.unwrap();
    limiter.throttled(later);
    assert_eq!(limiter.within(ten_seconds), 5, "again half for a call that was sent later");
    sleep(ten_seconds).await;
    limiter.accepted();
    assert_eq!(
        limiter.within(ten_seconds),
        5 + 25,
        "0.5 a second, and 0.2 more for each second since the throttle"
    );
    for _ in 0..40 {
        limiter.throttled(limiter.acquire(Instant::now() + Duration::from_secs(60)).await.unwrap());
    }
    assert_eq!(limiter.level().rate, 0.1, "a fortieth of the ceiling remains");
}

#[tokio::test(start_paused = true)]
async fn calls_that_wait_take_account_of_a_throttle() {
    let start = Instant::now();
    let limiter = RateLimiter::new(RateLimit { ceiling: 4.0, burst: 1 });
    let taken = limiter.acquire(start).await.unwrap();
    let throttle = async {
        sleep(Duration::from_millis(250)).await;
        limiter.throttled(taken);
    };
    let waits = [60.0, 60.0, 1.5].map(|seconds| limiter.acquire(after(start, seconds)));
    let (turns, ()) = tokio::join!(join_all(waits), throttle);
    let hundredths: Vec<_> =
        turns.iter().map(|turn| turn.map(|turn| (turn - start).as_millis() / 10)).collect();
    // Without the throttle, at 0.5 and 1 s. After it, tokens come at 1 a second.
    assert_eq!(hundredths, [Some(125), Some(225), None], "in order, and none after the limit of its caller");
}

#[tokio::test(start_paused = true)]
async fn a_bucket_is_full_once_a_new_one_would_allow_no_more() {
    let limiter = RateLimiter::new(RateLimit { ceiling: 4.0, burst: 1 });
    assert!(limiter.is_full());
    let taken = limiter.acquire(Instant::now()).await.unwrap();
    assert!(!limiter.is_full());
    sleep(Duration::from_millis(500)).await;
    assert!(limiter.is_full(), "it gained the token back");
    limiter.throttled(taken);
    sleep(Duration::from_secs(1)).await;
    assert!(limiter.level().tokens >= 1.0 && !limiter.is_full(), "the rate is still reduced");
    sleep(Duration::from_secs(5)).await;
    assert!(limiter.is_full());
}

/// EC2's token bucket of one account and Region.
struct Ec2 {
    refill: f64,
    level: Cell<(f64, Instant)>,
    accepted: Cell<usize>,
    throttled: Cell<usize>,
}

impl Ec2 {
    /// Takes a token; `false` if the call is throttled.
    fn take(&self) -> bool {
        let (tokens, at) = self.level.get();
        let now = Instant::now();
        let tokens = (tokens + self.refill * (now - at).as_secs_f64()).min(100.0);
        let (count, left) =
            if tokens < 1.0 { (&self.throttled, tokens) } else { (&self.accepted, tokens - 1.0) };
        self.level.set((left, now));
        count.set(count.get() + 1);
        tokens >= 1.0
    }

    /// Sends a change until EC2 accepts it. `latency` is in seconds.
    async fn change(&self, limiter: &RateLimiter, latency: f64) {
        for attempt in 0.. {
            let taken = limiter.acquire(Instant::now() + Duration::from_secs(3600)).await.unwrap();
            sleep(Duration::from_secs_f64(latency / 2.0)).await;
            let is_accepted = self.take();
            sleep(Duration::from_secs_f64(latency / 2.0)).await;
            if is_accepted {
                return limiter.accepted();
            }
            limiter.throttled(taken);
            sleep(Duration::from_secs_f64(latency * f64::from(1 << attempt.min(5)))).await;
        }
    }

    /// Makes changes as a process does, in batches of 50, until none is left. `speed` scales all times.
    async fn process(&self, limit: RateLimit, left: &Cell<usize>, speed: f64) {
        let limiter = RateLimiter::new(limit);
        while left.get() > 0 {
            let batch = left.get().min(50);
            left.set(left.get() - batch);
            // From 50 to 150 ms.
            let latency = |number: usize| (0.05 + 0.01 * (number * 7 % 11) as f64) / speed;
            let changes = stream::iter(0..batch).map(|number| self.change(&limiter, latency(number)));
            changes.buffer_unordered(20).collect::<()>().await;
            // The verification of the batch.
            sleep(Duration::from_secs_f64(1.5 / speed)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn processes_share_ec2s_bucket() {
    for (name, enforcers, sweepers, most_throttled, factor) in [
        ("one process", &[DEFAULT][..], &[][..], 0.0, 1.4),
        ("two enforcers", &[ENFORCER; 2], &[], 0.06, 1.15),
        ("two enforcers and two sweepers", &[ENFORCER; 2], &[SWEEPER; 2], 0.1, 1.5),
        ("four processes that were not told of each other", &[DEFAULT; 4], &[], 0.25, 1.15),
    ] {
        for speed in [1.0, 10.0] {
            let faster = |limit: &RateLimit| RateLimit { ceiling: speed * limit.ceiling, ..*limit };
            let start = Instant::now();
            let ec2 = Ec2 {
                refill: 5.0 * speed,
                level: Cell::new((100.0, start)),
                accepted: Cell::default(),
                throttled: Cell::default(),
            };
            let (launched, swept) = (Cell::new(500), Cell::new(usize::MAX));
            let enforce =
                join_all(enforcers.iter().map(|limit| ec2.process(faster(limit), &launched, speed)));
            let sweep = join_all(sweepers.iter().map(|limit| ec2.process(faster(limit), &swept, speed)));
            tokio::select! {
                _ = enforce => {}
                _ = sweep, if !sweepers.is_empty() => unreachable!("the sweeps do not end"),
            }
            let needed = 400.0 / ec2.refill;
            let took = start.elapsed().as_secs_f64() / needed;
            let throttled = ec2.throttled.get() as f64 / (ec2.throttled.get() + ec2.accepted.get()) as f64;
            println!(
                "{name}, speed {speed}: {took:.2} × EC2's own time, {:.1} % throttled",
                100.0 * throttled
            );
            assert!(throttled <= most_throttled, "{name}, speed {speed}: {throttled} throttled");
            assert!(took <= factor, "{name}, speed {speed}: {took} × EC2's own time");
        }
    }
}
