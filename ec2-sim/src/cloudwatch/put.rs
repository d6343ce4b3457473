//! PutMetricData.

use serde::Deserialize;
use time::OffsetDateTime;

use super::input::{self, Dimension};
use super::operation;
use crate::clock::Now;
use crate::error::ApiError;
use crate::instance::Key;
use crate::metrics::{MINUTE, Metric, align};
use crate::request::Request;
use crate::world::World;

/// The limits of metrics per call and of values per metric: API reference, PutMetricData and MetricDatum.
const MOST_METRICS: usize = 1000;
const MOST_VALUES: usize = 150;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Input {
    namespace: String,
    #[serde(default)]
    metric_data: Vec<Datum>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Datum {
    metric_name: String,
    dimensions: Option<Vec<Dimension>>,
    timestamp: Option<f64>,
    value: Option<f64>,
    values: Option<Vec<f64>>,
    counts: Option<Vec<f64>>,
    statistic_values: Option<Statistics>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Statistics {
    sum: f64,
}

/// Adds the values of all metrics or of none. It accepts any namespace and any time.
pub fn put(world: &mut World, request: &Request, key: &Key, now: Now) -> Result<(), ApiError> {
    let Input { namespace, metric_data } = operation::read(request)?;
    if metric_data.is_empty() {
        return Err(ApiError::missing("MetricData"));
    }
    if metric_data.len() > MOST_METRICS {
        let message = format!("The collection MetricData must not have a size greater than {MOST_METRICS}.");
        return Err(ApiError::new(400, "InvalidParameterValue", message));
    }
    let sums = metric_data.iter().map(|datum| Ok((time(datum, now)?, sum(datum)?)));
    let sums = sums.collect::<Result<Vec<_>, ApiError>>()?;
    for ((time, sum), datum) in sums.into_iter().zip(metric_data) {
        let dimensions = input::dimensions(datum.dimensions);
        let metric = Metric { namespace: namespace.clone(), name: datum.metric_name, dimensions };
        world.account(key).metrics.add(metric, align(time, MINUTE), sum);
    }
    Ok(())
}

/// The time of the values, in seconds since 1970.
fn time(datum: &Datum, now: Now) -> Result<i64, ApiError> {
    let time = datum.timestamp.map_or(now.time.unix_timestamp(), input::seconds);
    match OffsetDateTime::from_unix_timestamp(time) {
        Ok(_) => Ok(time),
        Err(_) => Err(ApiError::invalid_value(
            &time.to_string(),
            "Timestamp",
            "The time is out of the valid range.",
        )),
    }
}

fn sum(datum: &Datum) -> Result<f64, ApiError> {
    match (datum.value, &datum.values, &datum.statistic_values) {
        (Some(value), None, None) => Ok(value),
        (None, None, Some(statistics)) => Ok(statistics.sum),
        (None, Some(values), None) => values_sum(values, datum.counts.as_deref()),
        (None, None, None) => Err(ApiError::missing("Value")),
        _ => Err(ApiError::combination(
            "The parameters Value, Values and StatisticValues are mutually exclusive and you have specified more \
             than one.",
        )),
    }
}

/// The sum of values, each of which occurred as often as its count says; once without counts.
fn values_sum(values: &[f64], counts: Option<&[f64]>) -> Result<f64, ApiError> {
    if values.len() > MOST_VALUES {
        let message = format!("The collection Values must not have a size greater than {MOST_VALUES}.");
        return Err(ApiError::new(400, "InvalidParameterValue", message));
    }
    match counts {
        None => Ok(values.iter().sum()),
        Some(counts) if counts.len() == values.len() => {
            Ok(values.iter().zip(counts).map(|(value, count)| value * count).sum())
        }
        Some(_) => {
            let message = "The parameters Values and Counts must be of the same size.";
            Err(ApiError::new(400, "InvalidParameterValue", message))
        }
    }
}
