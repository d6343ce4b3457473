//! The use of IMDSv1: the calls without a token that CloudWatch counts.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use time::Date;

/// The calls without a token of one instance: CloudWatch's metric `MetadataNoToken` in `AWS/EC2`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Usage {
    /// The days (UTC) with data, each with its number of calls. Only from results that are complete.
    Days(BTreeMap<Date, u64>),
    /// CloudWatch refused to answer. The text says which permission is missing.
    Refused(String),
}

/// The use of IMDSv1 over a lookback, as returned and logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Use {
    /// The calls without a token.
    pub calls: u64,
    /// The last day (UTC) with such a call.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "iso")]
    pub last_day: Option<Date>,
    /// The number of days that were looked at.
    pub days: u16,
    /// The number of days on which there were data.
    #[serde(skip)]
    pub observed_days: u16,
}

#[expect(clippy::ref_option, reason = "serde passes a reference")]
fn iso<S: Serializer>(day: &Option<Date>, serializer: S) -> Result<S::Ok, S::Error> {
    // `Display` of a date is its ISO 8601 form.
    serializer.collect_str(&day.map(|day| day.to_string()).unwrap_or_default())
}

impl Use {
    /// The use from the day `since` on, over a lookback of `days`, by the calls of each day with data.
    pub(crate) fn of(sums: &BTreeMap<Date, u64>, since: Date, days: u16) -> Self {
        let sums = || sums.range(since..);
        Self {
            calls: sums().fold(0, |all, (_, calls)| all.saturating_add(*calls)),
            last_day: sums().rfind(|(_, calls)| **calls > 0).map(|(day, _)| *day),
            days,
            observed_days: u16::try_from(sums().count()).unwrap_or(u16::MAX),
        }
    }
}
