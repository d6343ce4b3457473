//! The rate limit of changes.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The maximum burst of changes: below EC2's token bucket of 100 for ModifyInstanceMetadataOptions, to leave tokens for
/// other callers in the account.
const BURST: f64 = 80.0;

/// The factor applied to the rate when EC2 throttles, at most once a second.
const BACK_OFF: f64 = 0.75;

/// The factor applied to the rate after each success, up to the full rate.
const RECOVERY: f64 = 1.25;

/// The minimum share of the full rate that remains while EC2 throttles.
const LEAST_SHARE: f64 = 1.0 / 40.0;

/// A token bucket, shared by all changes of this process in one account and Region. Other callers use the same EC2
/// limit, so it backs off when EC2 throttles: the burst is dropped and the rate is reduced, then recovers with each
/// success.
#[derive(Debug)]
pub struct RateLimiter {
    /// The full rate, in tokens a second.
    rate: f64,
    level: Mutex<Level>,
}

/// The state of the bucket.
#[derive(Debug)]
struct Level {
    /// The tokens at the time `at`; negative if tokens are already promised.
    tokens: f64,
    at: Instant,
    /// The current rate, in tokens a second.
    rate: f64,
    /// When the rate was last reduced.
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
    /// Creates a full bucket that gains `rate` tokens a second.
    pub fn new(rate: f64) -> Self {
        let level = Level { tokens: BURST, at: Instant::now(), rate, slowed: None };
        Self { rate, level: Mutex::new(level) }
    }

    /// Takes a token and returns the time from which it may be used. Takes none and returns `None` if that is after
    /// `until`.
    pub fn take(&self, until: Instant) -> Option<Instant> {
        let mut level = self.level();
        let usable = level.next();
        if usable > until {
            return None;
        }
        level.tokens -= 1.0;
        Some(usable)
    }

    /// Returns the time from which the next token may be used.
    pub fn next(&self) -> Instant {
        self.level().next()
    }

    /// Returns how many tokens may be used within `time` from now if no other caller takes any; at least one.
    pub fn within(&self, time: Duration) -> usize {
        let level = self.level();
        // The value is far below the largest integer that a float represents exactly.
        (level.tokens + level.rate * time.as_secs_f64()).max(1.0) as usize
    }

    /// Returns whether the bucket is full.
    pub fn is_full(&self) -> bool {
        self.level().tokens >= BURST
    }

    /// Backs off after EC2 throttled a call. Throttles within the same second count once.
    pub fn throttled(&self) {
        let mut level = self.level();
        level.tokens = level.tokens.min(0.0);
        if level.slowed.is_none_or(|slowed| level.at - slowed > Duration::from_secs(1)) {
            level.rate = (level.rate * BACK_OFF).max(self.rate * LEAST_SHARE);
            level.slowed = Some(level.at);
        }
    }

    /// Raises the rate again after a call that EC2 did not throttle.
    pub fn accepted(&self) {
        let mut level = self.level();
        level.rate = (level.rate * RECOVERY).min(self.rate);
    }

    /// Returns the current level.
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
    fn a_burst_is_immediate_and_the_rest_keeps_the_rate() {
        let rate_limiter = RateLimiter::new(4.0);
        let start = Instant::now();
        let until = start + Duration::from_millis(10_100);
        let taken: Vec<Instant> = std::iter::from_fn(|| rate_limiter.take(until)).collect();
        let at_once = taken.iter().filter(|usable| **usable < start + Duration::from_millis(200)).count();
        assert_eq!(at_once, 80, "the burst");
        assert_eq!(taken.len(), 80 + 40, "the burst, and 4 a second until the end");
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
        assert_eq!(rate_limiter.within(ten_seconds), 30, "throttles within the same second count once");
        for _ in 0..64 {
            rate_limiter.accepted();
        }
        assert_eq!(rate_limiter.within(ten_seconds), 40, "the rate recovers, the burst does not");
    }
}
