//! Selector → `DescribeInstances` filter.

use aws_sdk_ec2::types as sdk;
use imds_core::selector::InstanceSelector;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{Duration, OffsetDateTime, UtcOffset};

fn filter_by(name: &str, values: Vec<String>) -> sdk::Filter {
    sdk::Filter::builder().name(name).set_values(Some(values)).build()
}

/// Returns the filter for a selector.
pub(super) fn filter(selector: &InstanceSelector) -> sdk::Filter {
    match selector {
        // All states except terminated. Instances that are shutting down are included, so that they are reported.
        InstanceSelector::All => {
            let states = ["pending", "running", "stopping", "stopped", "shutting-down"];
            filter_by("instance-state-name", states.map(str::to_owned).to_vec())
        }
        InstanceSelector::Ids(ids) => filter_by("instance-id", ids.iter().map(ToString::to_string).collect()),
        InstanceSelector::ClientToken { token, .. } => filter_by("client-token", vec![literal(token)]),
        InstanceSelector::Tagged { key, value } => filter_by(&format!("tag:{key}"), vec![literal(value)]),
        InstanceSelector::LaunchedAround(time) => filter_by("launch-time", minutes_around(*time)),
    }
}

/// Escapes `text` for a filter, where `*` and `?` are wildcards and `\` escapes them.
fn literal(text: &str) -> String {
    let escaped = |c| matches!(c, '*' | '?' | '\\').then_some('\\').into_iter().chain([c]);
    text.chars().flat_map(escaped).collect()
}

/// Launch time patterns for the minute of `time` and its neighbors: the event's clock and EC2's may differ.
fn minutes_around(time: OffsetDateTime) -> Vec<String> {
    const MINUTE: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]T[hour]:[minute]:*");
    // An event may hold the last representable time, whose next minute does not exist.
    let minute = |offset| {
        time.checked_to_offset(UtcOffset::UTC)?.checked_add(Duration::minutes(offset))?.format(MINUTE).ok()
    };
    [-1, 0, 1].into_iter().filter_map(minute).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn a_filter_takes_a_token_literally() {
        let selector = InstanceSelector::ClientToken { token: r"a*b?c\d".to_owned(), at_least: 1 };
        assert_eq!(filter(&selector).values(), [r"a\*b\?c\\d"]);
    }

    #[test]
    fn a_launch_time_matches_three_minutes_of_utc() {
        let filter = filter(&InstanceSelector::LaunchedAround(datetime!(2026-01-01 01:00:30 +1)));
        assert_eq!(filter.name(), Some("launch-time"));
        assert_eq!(filter.values(), ["2025-12-31T23:59:*", "2026-01-01T00:00:*", "2026-01-01T00:01:*"]);
        assert_eq!(minutes_around(datetime!(9999-12-31 23:59:59 UTC)).len(), 2);
        assert!(minutes_around(datetime!(9999-12-31 23:59:59 -1)).is_empty());
    }
}
