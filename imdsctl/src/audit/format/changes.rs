//! What would be changed, as text.

use imds_core::metadata::OptionValue;

use crate::audit::row::Row;

/// What would be changed, a line for each option: `HttpTokens: optional -> required`.
pub fn changes(row: &Row) -> Vec<String> {
    let change = |value: OptionValue| {
        let before = row.before.get(value.name()).map_or("unknown".to_owned(), |before| before.text());
        format!("{}: {before} -> {}", value.name(), value.text())
    };
    row.change.iter().flat_map(|change| change.options().iter()).map(change).collect()
}
