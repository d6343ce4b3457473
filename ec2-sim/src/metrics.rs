//! CloudWatch's metrics of one account and Region.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use time::{Date, OffsetDateTime, Time};

/// The namespace and the dimension of EC2's metrics: EC2 user guide, "CloudWatch metrics that are available for your
/// instances".
const EC2: &str = "AWS/EC2";
pub const INSTANCE: &str = "InstanceId";

/// The length of a day, in seconds.
pub const DAY: i64 = 86_400;

/// The length of the shortest period of a metric with standard resolution, in seconds.
pub const MINUTE: i64 = 60;

/// What identifies a metric.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Metric {
    pub namespace: String,
    pub name: String,
    pub dimensions: BTreeMap<String, String>,
}

impl Metric {
    /// A metric of an instance.
    pub fn of_instance(id: &str, name: &str) -> Self {
        let dimensions = BTreeMap::from([(INSTANCE.to_owned(), id.to_owned())]);
        Self { namespace: EC2.to_owned(), name: name.to_owned(), dimensions }
    }
}

/// The sums of the values of metrics, by time in seconds since 1970.
#[derive(Debug, Default)]
pub struct Metrics(HashMap<Metric, BTreeMap<i64, f64>>);

impl Metrics {
    /// Adds values with this sum at a time.
    pub fn add(&mut self, metric: Metric, time: i64, sum: f64) {
        *self.0.entry(metric).or_default().entry(time).or_default() += sum;
    }

    /// Replaces all values from `start` until `end` with one value at `start`, or with no data for `None`.
    fn replace(&mut self, metric: Metric, Range { start, end }: Range<i64>, sum: Option<f64>) {
        let sums = self.0.entry(metric).or_default();
        sums.retain(|time, _| !(start..end).contains(time));
        sums.extend(sum.map(|sum| (start, sum)));
    }

    /// Sets the sum of a metric on a day in UTC; `None` deletes the data of the day.
    pub fn set_day(&mut self, metric: Metric, day: Date, sum: Option<f64>) {
        let start = OffsetDateTime::new_utc(day, Time::MIDNIGHT).unix_timestamp();
        self.replace(metric, start..start + DAY, sum);
    }

    /// Sets the sum of a metric in a minute; `None` deletes the data of the minute.
    pub fn set_minute(&mut self, metric: Metric, time: OffsetDateTime, sum: Option<f64>) {
        let start = align(time.unix_timestamp(), MINUTE);
        self.replace(metric, start..start + MINUTE, sum);
    }

    /// The sums of the values in `times` by period, the oldest first. Periods begin at multiples of `period` seconds
    /// since 1970: days at midnight in UTC. Periods without data are omitted.
    pub fn sums(&self, metric: &Metric, times: Range<i64>, period: i64) -> Vec<(i64, f64)> {
        let mut sums = BTreeMap::new();
        let found = self.0.get(metric).filter(|_| times.start < times.end);
        for (time, sum) in found.into_iter().flat_map(|sums| sums.range(times.clone())) {
            *sums.entry(align(*time, period)).or_default() += sum;
        }
        sums.into_iter().collect()
    }
}

/// The begin of the period that contains the time.
pub fn align(time: i64, period: i64) -> i64 {
    time.saturating_sub(time.rem_euclid(period))
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::{date, datetime};

    #[test]
    fn values_are_summed_by_periods_that_begin_at_multiples_of_it() {
        let (mut metrics, metric) = (Metrics::default(), Metric::of_instance("i-1", "MetadataNoToken"));
        let noon = datetime!(2026-03-17 12:00 UTC).unix_timestamp();
        for (time, sum) in [(noon - 1, 1.0), (noon, 2.0), (noon, 4.0), (noon + 3599, 8.0), (noon + DAY, 16.0)]
        {
            metrics.add(metric.clone(), time, sum);
        }
        let midnight = noon - DAY / 2;
        for (times, period, expected) in [
            (i64::MIN..i64::MAX, DAY, vec![(midnight, 15.0), (midnight + DAY, 16.0)]),
            (i64::MIN..i64::MAX, 3600, vec![(noon - 3600, 1.0), (noon, 14.0), (noon + DAY, 16.0)]),
            (noon..noon + DAY, DAY, vec![(midnight, 14.0)]),
            (noon..noon, DAY, vec![]),
            (noon..midnight, DAY, vec![]),
        ] {
            assert_eq!(metrics.sums(&metric, times.clone(), period), expected, "{times:?} {period}");
        }
        let other = Metric::of_instance("i-2", "MetadataNoToken");
        assert_eq!(metrics.sums(&other, i64::MIN..i64::MAX, DAY), []);
    }

    #[test]
    fn a_day_and_a_minute_are_replaced() {
        let (mut metrics, metric) = (Metrics::default(), Metric::of_instance("i-1", "MetadataNoToken"));
        let sums = |metrics: &Metrics| metrics.sums(&metric, i64::MIN..i64::MAX, DAY);
        let (day, midnight) = (date!(2026 - 03 - 17), datetime!(2026-03-17 0:00 UTC));
        for hour in [-1, 1, 23, 24] {
            metrics.add(metric.clone(), midnight.unix_timestamp() + hour * 3600, 1.0);
        }
        let at = |days| midnight.unix_timestamp() + days * DAY;
        metrics.set_day(metric.clone(), day, Some(5.0));
        assert_eq!(sums(&metrics), [(at(-1), 1.0), (at(0), 5.0), (at(1), 1.0)]);
        metrics.set_minute(metric.clone(), datetime!(2026-03-17 7:30:59 UTC), Some(2.0));
        metrics.set_minute(metric.clone(), datetime!(2026-03-17 7:30 UTC), Some(3.0));
        assert_eq!(sums(&metrics), [(at(-1), 1.0), (at(0), 8.0), (at(1), 1.0)]);
        metrics.set_day(metric.clone(), day, None);
        assert_eq!(sums(&metrics), [(at(-1), 1.0), (at(1), 1.0)]);
    }
}
