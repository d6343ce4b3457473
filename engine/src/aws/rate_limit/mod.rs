//! The rate limit of changes.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

/// The share of the ceiling at which a process starts: others may use EC2's token bucket at the same time.
const START: f64 = 0.5;

/// The factor applied to the rate when EC2 throttles.
const DECREASE: f64 = 0.5;

/// How many calls at the ceiling take as long as the rate takes from zero to the ceiling while EC2 does not throttle.
const RAMP: f64 = 80.0;

/// The minimum share of the ceiling that remains while EC2 throttles.
const LEAST: f64 = 1.0 / 40.0;

/// The limit of changes in one account and Region, for one process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateLimit {
    /// The maximum number of changes a second.
    pub ceiling: f64,
    /// The maximum number of changes at once, before the rate applies.
    pub burst: u32,
}

/// A token bucket, shared by all changes of this process in one account and Region.
///
/// Other processes use the same token bucket of EC2. Additive increase and multiplicative decrease find the share of
/// each: the rate rises with the time since EC2's last answer, if EC2 accepts the call, and falls with each throttle. Idle
/// time counts, as EC2's bucket refills meanwhile. A process that calls
/// twice as often is throttled twice as often, so an increase by the square of the ceiling makes the shares
/// proportional to the ceilings. An idle process regains its burst at the share that it found last.
///
/// All constants are relative to the ceiling: with a bucket and ceilings ten times as fast, the same calls take a tenth
/// of the time.
#[derive(Debug)]
pub struct RateLimiter {
    limit: RateLimit,
    level: Mutex<Level>,
    /// Held by the call whose turn is next; the others queue in order. Its wait takes account of throttles meanwhile.
    turn: tokio::sync::Mutex<()>,
}

/// The state of the bucket at the time `at`.
#[derive(Debug)]
struct Level {
    at: Instant,
    tokens: f64,
    /// In tokens a second.
    rate: f64,
    /// When the rate was last reduced.
    reduced: Option<Instant>,
    /// When EC2 last accepted or throttled a call.
    answered: Instant,
}

impl Level {
    fn next(&self) -> Instant {
        self.at + Duration::from_secs_f64(((1.0 - self.tokens) / self.rate).max(0.0))
    }

    /// Returns the rate if EC2 accepts a call now.
    fn raised(&self, ceiling: f64) -> f64 {
        let increase = ceiling * ceiling / RAMP;
        (self.rate + increase * (self.at - self.answered).as_secs_f64()).min(ceiling)
    }
}

impl RateLimiter {
    /// Creates a full bucket.
    pub fn new(limit: RateLimit) -> Self {
        let now = Instant::now();
        let (tokens, rate) = (f64::from(limit.burst), START * limit.ceiling);
        let level = Level { at: now, tokens, rate, reduced: None, answered: now };
        Self { limit, level: Mutex::new(level), turn: tokio::sync::Mutex::default() }
    }

    /// Waits for a token, and returns when it was taken. Returns `None`, maybe at once, if there is none before `until`.
    pub async fn acquire(&self, until: Instant) -> Option<Instant> {
        let _turn = timeout_at(until, self.turn.lock()).await.ok()?;
        loop {
            let usable = {
                let mut level = self.level();
                let usable = level.next();
                if usable > until {
                    return None;
                }
                // No sleep without a wait, as the timer has a resolution of 1 ms and would add a delay.
                if usable == level.at {
                    level.tokens -= 1.0;
                    return Some(usable);
                }
                usable
            };
            sleep_until(usable).await;
        }
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

    /// Returns whether a new bucket would allow no more than this one.
    pub fn is_full(&self) -> bool {
        let level = self.level();
        level.tokens >= f64::from(self.limit.burst)
            && level.raised(self.limit.ceiling) >= START * self.limit.ceiling
    }

    /// Drops the burst and reduces the rate after EC2 throttled a call that took its token at `taken`. Calls that were
    /// in flight together count once.
    pub fn throttled(&self, taken: Instant) {
        let mut level = self.level();
        level.answered = level.at;
        if level.reduced.is_none_or(|reduced| reduced < taken) {
            level.reduced = Some(level.at);
            level.tokens = 0.0;
            level.rate = (level.rate * DECREASE).max(self.limit.ceiling * LEAST);
        }
    }

    /// Raises the rate after EC2 accepted a call.
    pub fn accepted(&self) {
        let mut level = self.level();
        level.rate = level.raised(self.limit.ceiling);
        level.answered = level.at;
    }

    /// Returns the current level.
    fn level(&self) -> MutexGuard<'_, Level> {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let gained = level.rate * (now - level.at).as_secs_f64();
        level.tokens = (level.tokens + gained).min(f64::from(self.limit.burst));
        level.at = now;
        level
    }
}

#[cfg(test)]
mod tests;
