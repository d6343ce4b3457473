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
    /// The time that the whole work may take, if that is less than the invocation's.
    most: Option<Duration>,
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
            most: None,
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

    /// Returns the limits of work that may take at most `most`.
    pub fn within(&self, most: Duration) -> Self {
        let end = Instant::now() + most;
        let most = if end < self.end { Some(most) } else { self.most };
        Self { last_start: self.last_start.min(end), end: self.end.min(end), most, ..*self }
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
        let out_of_time = || match self.most {
            Some(most) => format!("none within {} s", most.as_secs()),
            None => "the invocation's time ran out".to_owned(),
        };
        let answer = timeout_at(self.end, work).await;
        answer.unwrap_or_else(|_| Err(CallError::without_response(call, out_of_time())))
    }

    /// Awaits `work` for at most `most`, and until `end`.
    ///
    /// # Errors
    /// Those of [`Deadline::bound`].
    pub async fn bound_within<T>(
        &self,
        most: Duration,
        call: Call,
        work: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        self.within(most).bound(call, work).await
    }
}

/// Waits until `turn`. Returns at once if it has passed, as the timer has a resolution of 1 ms and would add a delay.
pub async fn wait_until(turn: Instant) {
    if turn > Instant::now() {
        sleep_until(turn).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: OffsetDateTime = time::macros::datetime!(2026-11-24 12:00 UTC);
    const CALL: Call = Call::DescribeInstances;

    #[tokio::test(start_paused = true)]
    async fn the_margins_are_fixed_in_a_long_invocation_and_a_share_of_a_short_one() {
        // All in milliseconds: the invocation's timeout, the last start of new work, the end of waits for instances, and of
        // all waits.
        for (allowed, last_start, end, report_by) in [
            (900_000, 894_000, 898_000, 899_700),
            (60_000, 54_000, 58_000, 59_700),
            (24_000, 18_000, 22_000, 23_700),
            (20_000, 15_000, 18_000, 19_700),
            (10_000, 7_500, 9_000, 9_750),
            (1_000, 750, 900, 975),
            (0, 0, 0, 0),
        ] {
            let start = Instant::now();
            let deadline = Deadline::new(NOW, Duration::from_millis(allowed));
            let found =
                [deadline.last_start, deadline.end, deadline.report_by].map(|at| (at - start).as_millis());
            assert_eq!(found, [last_start, end, report_by], "{allowed} ms");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn work_starts_before_the_last_start_and_is_awaited_until_the_end() {
        let deadline = Deadline::new(NOW, Duration::from_secs(60));
        let millisecond = Duration::from_millis(1);
        let left = deadline.last_start - Instant::now();
        assert!(
            deadline.allows(left - millisecond) && !deadline.allows(left),
            "a pause up to the last start"
        );
        sleep_until(deadline.last_start - millisecond).await;
        assert!(deadline.allows(Duration::ZERO), "just before the last start");
        sleep_until(deadline.last_start).await;
        assert!(!deadline.allows(Duration::ZERO), "at the last start");

        let (last_start, end) = (deadline.last_start, deadline.end);
        let in_time = async {
            sleep_until(end - millisecond).await;
            Ok(())
        };
        assert!(deadline.bound(CALL, in_time).await.is_ok(), "work that began before the last start");
        assert!(Instant::now() > last_start);
        let error =
            deadline.bound(CALL, std::future::pending::<Result<(), _>>()).await.expect_err("no response");
        assert_eq!((Instant::now(), error.code, error.status), (end, None, None));
        assert_eq!(deadline.at_present(), NOW + (end - deadline.start));
    }

    #[tokio::test(start_paused = true)]
    async fn the_error_says_whose_time_ran_out() {
        let deadline = Deadline::new(NOW, Duration::from_secs(60));
        let rows = [
            (deadline, "the invocation's time ran out"),
            (deadline.within(Duration::from_secs(30)), "none within 30 s"),
            (deadline.within(Duration::from_secs(90)), "the invocation's time ran out"),
        ];
        for (deadline, expected) in rows {
            let never = std::future::pending::<Result<(), _>>();
            let error = deadline.bound(CALL, never).await.expect_err("no response");
            assert_eq!(error.message, expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_has_passed_is_not_waited_for() {
        let start = Instant::now();
        wait_until(start).await;
        assert_eq!(Instant::now(), start);
        let turn = start + Duration::from_millis(250);
        wait_until(turn).await;
        assert_eq!(Instant::now(), turn);
    }
}
