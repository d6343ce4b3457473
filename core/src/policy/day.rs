//! Days in UTC: the last day of an exemption, whether it has passed, and how soon it comes.

use time::macros::format_description;
use time::{Date, OffsetDateTime, UtcOffset};

/// The metrics count ends up to so many days ahead. `GateEnding` excludes the last of these days.
pub(super) const ENDING_DAYS: u16 = 14;

/// Parses a date in exactly the form `2027-03-31`.
pub(crate) fn parse_date(text: &str) -> Option<Date> {
    let plain = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    Date::parse(text, format_description!("[year]-[month]-[day]")).ok().filter(|_| plain)
}

/// Whether what ends with the day `until` is still active.
pub(crate) fn is_active(until: Date, now: OffsetDateTime) -> bool {
    days_left(until, now) >= 0
}

/// The number of days from today to the last day `until`, in UTC: 0 on that day, and less than 0 after it.
pub(super) fn days_left(until: Date, now: OffsetDateTime) -> i64 {
    (until - today(now)).whole_days()
}

/// Whether the last day `until` is at most `days` days ahead, or has passed.
pub(super) fn ends_within(days: u16, until: Date, now: OffsetDateTime) -> bool {
    days_left(until, now) <= days.into()
}

/// Whether what ends with the day `until` is still active and ends within 14 days, so that the metric `ExemptionsEnding`
/// counts it.
pub fn is_ending(until: Date, now: OffsetDateTime) -> bool {
    is_active(until, now) && ends_within(ENDING_DAYS, until, now)
}

/// The day of `now` in UTC.
pub fn today(now: OffsetDateTime) -> Date {
    // The conversion fails only after the last date in UTC: no time in use is before the first one.
    now.checked_to_offset(UtcOffset::UTC).map_or(Date::MAX, OffsetDateTime::date)
}
