//! The time limits of an invocation.

use std::future::Future;
use std::time::Duration;

use imds_core::call_error::{Call, CallError};
use time::OffsetDateTime;
use tokio::time::{Instant, sleep_until, timeout_at};

/// The time limits of an invocation.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    /// The time at the start of the invocation.
    pub now: OffsetDateTime,
    start: Instant,
    /// No new work starts after this.
    pub last_start: Instant,
    /// No instance is awaited after this; unfinished work is reported as such.
    pub end: Instant,
    /// Nothing at all is awaited after this.
    pub report_by: Instant,
}

impl Deadline {
    /// Creates the limits of an invocation that starts at `now` and times out after `allowed`.
    ///
    /// Reserves 6 s for calls in flight, of which 2 s are for changing when records are redelivered, of which 0.3 s are for
    /// the report; of a short invocation, at most a quarter, a tenth and a fortieth of its time.
    pub fn new(now: OffsetDateTime, allowed: Duration) -> Self {
        let start = Instant::now();
        let before_cut_off = |longest: Duration, share: u32| start + allowed - longest.min(allowed / share);
        Self {
            now,
            start,
            last_start: before_cut_off(Duration::from_secs(6), 4),
            end: before_cut_off(Duration::from_secs(2), 10),
            report_by: before_cut_off(Duration::from_millis(300), 40),
        }
    }

    /// Returns the current time.
    pub fn at_present(&self) -> OffsetDateTime {
        self.now.saturating_add(self.start.elapsed().try_into().unwrap_or_default())
    }

    /// Returns whether new work may still start after `pause`.
    pub fn allows(&self, pause: Duration) -> bool {
        Instant::now() + pause < self.last_start
    }

    /// Awaits `work` until `end`.
    ///
    /// # Errors
    /// The errors of `work`, or that there was no response in time; a retry starts with a full time limit.
    pub async fn bound<T>(
        &self,
        call: Call,
        work: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let out_of_time = || CallError::without_response(call, "the invocation's time ran out");
        timeout_at(self.end, work).await.unwrap_or_else(|_| Err(out_of_time()))
    }
}

/// Waits until `turn`. Returns at once if it has passed, as the timer has a resolution of 1 ms and would add a delay.
pub async fn wait_until(turn: Instant) {
    if turn > Instant::now() {
        sleep_until(turn).await;
    }
}
