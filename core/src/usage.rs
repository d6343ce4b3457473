//! What CloudWatch says of an instance's calls to its metadata service.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use time::Date;

/// Daily sums of calls without a token: what CloudWatch says of one instance.
///
/// The metric is `MetadataNoToken` of the namespace `AWS/EC2`: EC2 user guide, "CloudWatch metrics that are available for
/// your instances".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Usage {
    /// The days (UTC) with data, each with its number of calls. Only from results that are complete.
    Days(BTreeMap<Date, u64>),
    /// CloudWatch refused to answer: the permission is missing. The text is its answer.
    Refused(String),
}

impl Usage {
    /// The usage in points (a day and its sum). Points of the same day are added up; a day whose sums are no numbers is
    /// left out.
    pub fn from_points(points: impl IntoIterator<Item = (Date, f64)>) -> Self {
        let mut days = BTreeMap::new();
        for (day, sum) in points {
            if let Some(calls) = calls(sum) {
                let so_far: &mut u64 = days.entry(day).or_default();
                *so_far = so_far.saturating_add(calls);
            }
        }
        Self::Days(days)
    }
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
    /// The lookback, in days. If the instance first ran later, only the days since then count.
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
    pub fn of(sums: &BTreeMap<Date, u64>, since: Date, days: u16) -> Self {
        let sums = || sums.range(since..);
        Self {
            calls: sums().fold(0, |all, (_, calls)| all.saturating_add(*calls)),
            last_day: sums().rfind(|(_, calls)| **calls > 0).map(|(day, _)| *day),
            days,
            observed_days: u16::try_from(sums().count()).unwrap_or(u16::MAX),
        }
    }
}

/// The number of calls in a sum, which is floating point in CloudWatch: rounded up, 0 if negative, at most [`u64::MAX`].
/// `None` if it is not a number.
pub fn calls(sum: f64) -> Option<u64> {
    // The conversion saturates at both ends.
    (!sum.is_nan()).then(|| sum.ceil() as u64)
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;

    #[test]
    fn a_sum_is_rounded_up_and_saturates() {
        let rows = [
            (0.0, Some(0)),
            (-0.0, Some(0)),
            (1.0, Some(1)),
            (f64::MIN_POSITIVE, Some(1)),
            (0.000_001, Some(1)),
            (1203.5, Some(1204)),
            (-0.5, Some(0)),
            (-7.0, Some(0)),
            (1e30, Some(u64::MAX)),
            (f64::INFINITY, Some(u64::MAX)),
            (f64::NEG_INFINITY, Some(0)),
            (f64::NAN, None),
        ];
        for (sum, expected) in rows {
            assert_eq!(calls(sum), expected, "{sum}");
        }
    }

    #[test]
    fn a_day_without_a_number_is_no_data() {
        let (monday, tuesday, wednesday) =
            (date!(2026 - 11 - 23), date!(2026 - 11 - 24), date!(2026 - 11 - 25));
        let rows: [(&str, &[_], &[_]); 5] = [
            ("no points", &[], &[]),
            ("0 is data", &[(monday, 0.0)], &[(monday, 0)]),
            ("not a number is not", &[(monday, f64::NAN), (tuesday, 2.0)], &[(tuesday, 2)]),
            ("in any order", &[(wednesday, 1.0), (monday, 3.0)], &[(monday, 3), (wednesday, 1)]),
            (
                "two points of a day",
                &[(monday, 0.5), (monday, 2.0), (tuesday, 1e30), (tuesday, 1.0)],
                &[(monday, 3), (tuesday, u64::MAX)],
            ),
        ];
        for (name, points, expected) in rows {
            let expected = Usage::Days(expected.iter().copied().collect());
            assert_eq!(Usage::from_points(points.iter().copied()), expected, "{name}");
        }
    }
}
