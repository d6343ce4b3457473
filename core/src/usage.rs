//! What CloudWatch says of an instance's calls to its metadata service.

use std::collections::BTreeMap;

use time::Date;

use crate::call_error::CallError;

/// Daily sums of calls without a token: what CloudWatch says of one instance.
///
/// The metric is `MetadataNoToken` of the namespace `AWS/EC2`: EC2 user guide, "CloudWatch metrics that are available for
/// your instances".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Usage {
    /// The days (UTC) with data, each with its number of calls. Only from results that are complete.
    Days(BTreeMap<Date, u64>),
    /// CloudWatch refused to answer: the permission is missing. The text names it.
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

    /// The usage where CloudWatch refuses the call, or one result, with `error`.
    pub fn refused(error: &CallError) -> Self {
        let code = error.code.as_deref().unwrap_or("an error");
        let CallError { call, message, .. } = error;
        Self::Refused(format!("the permission {call} is missing: CloudWatch returned {code}: {message}"))
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
    use crate::call_error::Call;

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

    #[test]
    fn a_refusal_names_the_permission_and_has_the_message_of_cloudwatch() {
        let error = CallError {
            code: Some("AccessDenied".to_owned()),
            ..CallError::without_response(Call::GetMetricData, "the role may not do this")
        };
        let text = "the permission cloudwatch:GetMetricData is missing: \
                    CloudWatch returned AccessDenied: the role may not do this";
        assert_eq!(Usage::refused(&error), Usage::Refused(text.to_owned()));
    }
}
