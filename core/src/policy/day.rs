//! Days in UTC: the last day of an exemption, and whether it has passed.

use time::macros::format_description;
use time::{Date, OffsetDateTime, UtcOffset};

/// Parses a date in exactly the form `2027-03-31`.
pub(crate) fn parse_date(text: &str) -> Option<Date> {
    let plain = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    Date::parse(text, format_description!("[year]-[month]-[day]")).ok().filter(|_| plain)
}

/// Whether an exemption through the day `until` is still active.
pub(crate) fn is_active(until: Date, now: OffsetDateTime) -> bool {
    today(now) <= until
}

/// The day of `now` in UTC.
pub(crate) fn today(now: OffsetDateTime) -> Date {
    // The conversion fails only after the last date in UTC: no time in use is before the first one.
    now.checked_to_offset(UtcOffset::UTC).map_or(Date::MAX, OffsetDateTime::date)
}
