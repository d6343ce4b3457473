//! The simulator's only clock, which reads real time.

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
    #[expect(clippy::disallowed_methods, reason = "the simulator's only clock")]
    pub fn read() -> Self {
        Self { instant: Instant::now(), time: OffsetDateTime::now_utc() }
    }
}

const MILLISECONDS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
const SECONDS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");

const BASIC: &[BorrowedFormatItem<'_>] = format_description!("[year][month][day]T[hour][minute][second]Z");

/// The time format of EC2: `2026-03-17T00:59:42.000Z`.
pub fn milliseconds(time: OffsetDateTime) -> String {
    time.format(MILLISECONDS).unwrap_or_default()
}

/// The time format of events: `2026-03-17T00:59:42Z`.
pub fn seconds(time: OffsetDateTime) -> String {
    time.format(SECONDS).unwrap_or_default()
}

/// The time format of signatures: `20260317T005942Z`.
pub fn basic(time: OffsetDateTime) -> String {
    time.format(BASIC).unwrap_or_default()
}
