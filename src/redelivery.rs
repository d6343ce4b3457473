//! When a record that failed is delivered again.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use imds_engine::reconcile::Retry;

/// Why a record is delivered again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Its work is not complete.
    Retry(Retry),
    /// It cannot be read, and only an updated function may read it.
    Unreadable,
}

/// How often the queue of events delivers a record, before it moves the record to its dead-letter queue: `maxReceiveCount`
/// in template.yaml.
pub const RECEIVES: u32 = 12;

/// The delay after the first receive; it doubles at each further one.
const FIRST: Duration = Duration::from_secs(10);

/// The longest delay, before the jitter.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// The most that a delay is shorter or longer than that, so that records which failed together do not return together.
const JITTER: f64 = 0.2;

/// Returns how long the record stays invisible. `receives` counts its deliveries so far, this one included.
pub fn delay(cause: Cause, receives: u32, message_id: &str) -> Duration {
    match cause {
        Cause::Retry(Retry::AtOnce) => Duration::ZERO,
        Cause::Unreadable => LONGEST,
        Cause::Retry(Retry::AfterBackoff) => {
            let doublings = receives.saturating_sub(1).min(16);
            let delay = LONGEST.min(FIRST * 2_u32.pow(doublings));
            delay.mul_f64(1.0 - JITTER + 2.0 * JITTER * share(message_id, receives))
        }
    }
}

/// Returns a number from 0 to 1 that differs between records, and between the receives of one.
fn share(message_id: &str, receives: u32) -> f64 {
    let mut hasher = DefaultHasher::new();
    (message_id, receives).hash(&mut hasher);
    hasher.finish() as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_up_to_a_quarter_of_an_hour() {
        let rows =
            [(0, 10), (1, 10), (2, 20), (3, 40), (6, 320), (7, 640), (8, 900), (100, 900), (u32::MAX, 900)];
        for (receives, seconds) in rows {
            let delays: Vec<f64> = (0..100)
                .map(|n| delay(Cause::Retry(Retry::AfterBackoff), receives, &format!("m{n}")).as_secs_f64())
                .collect();
            let shortest = delays.iter().copied().fold(f64::MAX, f64::min) / f64::from(seconds);
            let longest = delays.iter().copied().fold(0.0, f64::max) / f64::from(seconds);
            assert!(
                (0.8..0.85).contains(&shortest) && (1.15..=1.2).contains(&longest),
                "{receives}: {shortest} {longest}"
            );
        }
    }

    #[test]
    fn a_sweep_goes_on_at_once_and_an_unreadable_record_waits_longest() {
        assert_eq!(delay(Cause::Retry(Retry::AtOnce), 50, "m"), Duration::ZERO);
        assert_eq!(delay(Cause::Unreadable, 1, "m"), LONGEST);
    }

    #[test]
    fn twelve_receives_take_some_eighty_minutes() {
        let total: Duration = (1..RECEIVES).map(|n| delay(Cause::Retry(Retry::AfterBackoff), n, "m")).sum();
        assert!((70 * 60..95 * 60).contains(&total.as_secs()), "{total:?}");
    }
}
