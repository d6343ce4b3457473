//! The one clock: the simulator lives in real time.

use std::time::Instant;

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

/// A moment, for durations and for dates.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    pub instant: Instant,
    pub time: OffsetDateTime,
}

impl Now {
    #[expect(clippy::disallowed_methods, reason = "a simulator of EC2 has a clock, as EC2 does")]
    pub fn read() -> Self {
        Self { instant: Instant::now(), time: OffsetDateTime::now_utc() }
    }
}

const MILLISECONDS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
const SECONDS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");

const BASIC: &[BorrowedFormatItem<'_>] = format_description!("[year][month][day]T[hour][minute][second]Z");

/// As EC2 writes times: `2026-03-17T00:59:42.000Z`.
pub fn milliseconds(time: OffsetDateTime) -> String {
    time.format(MILLISECONDS).unwrap_or_default()
}

/// As events carry times: `2026-03-17T00:59:42Z`.
pub fn seconds(time: OffsetDateTime) -> String {
    time.format(SECONDS).unwrap_or_default()
}

/// As signatures carry times: `20260317T005942Z`.
pub fn basic(time: OffsetDateTime) -> String {
    time.format(BASIC).unwrap_or_default()
}
