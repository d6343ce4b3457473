//! How fast changes may follow each other.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The most changes at once: below EC2's bucket of 100 for ModifyInstanceMetadataOptions, to leave room for the
/// account's other users.
const BURST: f64 = 80.0;

/// What is left of the rate when EC2 throttles: twice within a second does not count twice.
const BACK_OFF: f64 = 0.75;

/// What becomes of the rate with every success, up to the full one.
const RECOVERY: f64 = 1.25;

/// The least share of its rate that a rate limiter falls back to while EC2 throttles.
const LEAST_SHARE: f64 = 1.0 / 40.0;

/// A token bucket, shared by everything that one process does in one account and Region. Where EC2 throttles, since others
/// draw on the account's limit too, it gives way: the burst is over, the rate falls, and comes back with every success.
#[derive(Debug)]
pub struct RateLimiter {
    /// Tokens a second, at most.
    rate: f64,
    level: Mutex<Level>,
}

/// What is in the bucket.
#[derive(Debug)]
struct Level {
    /// The tokens there were at that time; below zero where some are promised.
    tokens: f64,
    at: Instant,
    /// Tokens a second, for now.
    rate: f64,
    /// When the rate fell last.
    slowed: Option<Instant>,
}

impl Level {
    fn fill(&mut self, now: Instant) {
        let gained = self.rate * now.duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + gained).min(BURST);
        self.at = now;
    }

    fn next(&self) -> Instant {
        self.at + Duration::from_secs_f64(((1.0 - self.tokens) / self.rate).max(0.0))
    }
}

impl RateLimiter {
    /// A full bucket that gains `rate` tokens a second.
    pub fn new(rate: f64) -> Self {
        let level = Level { tokens: BURST, at: Instant::now(), rate, slowed: None };
        Self { rate, level: Mutex::new(level) }
    }

    /// Takes a token, and says from when on it may be used; `None`, with no token taken, where that is after `until`.
    pub fn take(&self, until: Instant) -> Option<Instant> {
        let mut level = self.level();
        let usable = level.next();
        if usable > until {
            return None;
        }
        level.tokens -= 1.0;
        Some(usable)
    }

    /// From when on the next token may be used.
    pub fn next(&self) -> Instant {
        self.level().next()
    }

    /// How many tokens may be used within `time` from now, if nobody else takes any; at least one.
    pub fn within(&self, time: Duration) -> usize {
        let level = self.level();
        // It is far below what a float can count.
        (level.tokens + level.rate * time.as_secs_f64()).max(1.0) as usize
    }

    /// Whether the whole burst may be used.
    pub fn is_full(&self) -> bool {
        self.level().tokens >= BURST
    }

    /// Gives way, as EC2 throttles. The calls that were under way together count once.
    pub fn throttled(&self) {
        let mut level = self.level();
        level.tokens = level.tokens.min(0.0);
        if level.slowed.is_none_or(|slowed| level.at - slowed > Duration::from_secs(1)) {
            level.rate = (level.rate * BACK_OFF).max(self.rate * LEAST_SHARE);
            level.slowed = Some(level.at);
        }
    }

    /// Takes back a little of what was given way, as EC2 does not throttle.
    pub fn accepted(&self) {
        let mut level = self.level();
        level.rate = (level.rate * RECOVERY).min(self.rate);
    }

    /// The level now.
    fn level(&self) -> MutexGuard<'_, Level> {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        level.fill(Instant::now());
        level
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_free_and_the_rest_keeps_the_rate() {
        let rate_limiter = RateLimiter::new(4.0);
        let start = Instant::now();
        let until = start + Duration::from_millis(10_100);
        let taken: Vec<Instant> = std::iter::from_fn(|| rate_limiter.take(until)).collect();
        let at_once = taken.iter().filter(|usable| **usable < start + Duration::from_millis(200)).count();
        assert_eq!(at_once, 80, "the burst");
        assert_eq!(taken.len(), 80 + 40, "and 4 a second for as long as there is time");
        assert!(
            rate_limiter.take(until).is_none() && rate_limiter.take(until + Duration::from_secs(1)).is_some()
        );
    }

    #[test]
    fn a_throttle_ends_the_burst_and_lowers_the_rate_until_calls_succeed() {
        let rate_limiter = RateLimiter::new(4.0);
        let ten_seconds = Duration::from_secs(10);
        assert_eq!(rate_limiter.within(ten_seconds), 80 + 40);
        for _ in 0..20 {
            rate_limiter.throttled();
        }
        assert_eq!(rate_limiter.within(ten_seconds), 30, "twenty calls that were under way together");
        for _ in 0..64 {
            rate_limiter.accepted();
        }
        assert_eq!(rate_limiter.within(ten_seconds), 40, "the rate is back, the burst is not");
    }
}
