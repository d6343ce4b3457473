//! The clock.

use time::OffsetDateTime;

/// Returns the current time.
#[expect(clippy::disallowed_methods, reason = "the command line is the edge")]
pub fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}
