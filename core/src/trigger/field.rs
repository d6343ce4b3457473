//! Reads the fields of an event.

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub(super) fn text<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    value.pointer(pointer)?.as_str()
}

pub(super) fn time_at(value: &Value, pointer: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text(value, pointer)?, &Rfc3339).ok()
}

/// Foreign text, cut before it is stored.
pub(super) fn short(text: &str) -> String {
    text.chars().take(64).collect()
}
