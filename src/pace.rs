//! How fast changes may follow each other.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The most changes at once: below EC2's bucket of 100 for ModifyInstanceMetadataOptions, to leave room for the
/// account's other users.
const BURST: f64 = 80.0;

/// A token bucket, shared by everything that one process does in one account and Region.
#[derive(Debug)]
pub struct Pacer {
    /// Tokens a second.
    rate: f64,
    /// The tokens there are, below zero where some are promised, and when that was so.
    level: Mutex<(f64, Instant)>,
}

impl Pacer {
    /// A full bucket that gains `rate` tokens a second.
    pub fn new(rate: f64) -> Self {
        Self { rate, level: Mutex::new((BURST, Instant::now())) }
    }

    /// Takes a token, and says from when on it may be used; `None`, with no token taken, where that is after `until`.
    pub fn take(&self, until: Instant) -> Option<Instant> {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let tokens = (level.0 + self.rate * now.duration_since(level.1).as_secs_f64()).min(BURST);
        let wait = Duration::from_secs_f64(((1.0 - tokens) / self.rate).max(0.0));
        let usable = now + wait;
        if usable > until {
            return None;
        }
        *level = (tokens - 1.0, now);
        Some(usable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_free_and_the_rest_keeps_the_rate() {
        let pacer = Pacer::new(4.0);
        let start = Instant::now();
        let until = start + Duration::from_millis(10_100);
        let taken: Vec<Instant> = std::iter::from_fn(|| pacer.take(until)).collect();
        let at_once = taken.iter().filter(|usable| **usable < start + Duration::from_millis(200)).count();
        assert_eq!(at_once, 80, "the burst");
        assert_eq!(taken.len(), 80 + 40, "and 4 a second for as long as there is time");
        assert!(pacer.take(until).is_none() && pacer.take(until + Duration::from_secs(1)).is_some());
    }
}
