//! The clock.

use time::OffsetDateTime;

/// The time now.
#[expect(clippy::disallowed_methods, reason = "the command line is the edge")]
pub fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}
