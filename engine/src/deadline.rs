//! The time that an invocation has.

use std::future::Future;
use std::time::Duration;

use imds_core::call_error::{Call, CallError};
use time::OffsetDateTime;
use tokio::time::{Instant, sleep_until, timeout_at};

/// The time that an invocation has.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    /// The time at its start.
    pub now: OffsetDateTime,
    start: Instant,
    /// After this, nothing new is begun.
    pub last_start: Instant,
    /// After this, nothing more is waited for: what is left is reported.
    pub end: Instant,
}

impl Deadline {
    /// An invocation that began `now` and is cut off after `allowed`.
    ///
    /// Of a long one, the last 5 seconds are for changes under way, and the last of them for the report; of a short
    /// one, a quarter and a tenth.
    pub fn new(now: OffsetDateTime, allowed: Duration) -> Self {
        let start = Instant::now();
        let before_cut_off = |longest: Duration, share: u32| start + allowed - longest.min(allowed / share);
        Self {
            now,
            start,
            last_start: before_cut_off(Duration::from_secs(5), 4),
            end: before_cut_off(Duration::from_secs(1), 10),
        }
    }

    /// The time at present.
    pub fn at_present(&self) -> OffsetDateTime {
        self.now.saturating_add(self.start.elapsed().try_into().unwrap_or_default())
    }

    /// Whether there is still time to begin something after `pause`.
    pub fn allows(&self, pause: Duration) -> bool {
        Instant::now() + pause < self.last_start
    }

    /// What `work` comes to, unless the end comes first.
    ///
    /// # Errors
    /// Those of `work`, or that there was no answer in time; a retry has time again.
    pub async fn bound<T>(
        &self,
        call: Call,
        work: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let out_of_time = || CallError {
            call,
            code: None,
            message: "the invocation's time ran out".to_owned(),
            status: None,
        };
        timeout_at(self.end, work).await.unwrap_or_else(|_| Err(out_of_time()))
    }
}

/// Waits for `turn`, and not at all where it has come: the timer goes by whole milliseconds, and would take one or two.
pub async fn wait_until(turn: Instant) {
    if turn > Instant::now() {
        sleep_until(turn).await;
    }
}
