//! GetMetricData.

use std::collections::HashSet;
use std::ops::Range;

use serde::Deserialize;
use serde_json::{Value, json};

use super::input::{self, Dimension};
use super::operation::{self, Outcome};
use crate::error::ApiError;
use crate::fault::FaultKind;
use crate::instance::Key;
use crate::metrics::{INSTANCE, MINUTE, Metric, Metrics, align};
use crate::request::Request;
use crate::world::World;

/// The limits of queries per call and of data points per page: API reference, GetMetricData.
const MOST_QUERIES: usize = 500;
const MOST_POINTS: usize = 100_800;

/// The prefix of a pagination token. The rest is the query and the data point with which the next page begins.
const TOKEN: &str = "sim-";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Input {
    metric_data_queries: Vec<Query>,
    start_time: f64,
    end_time: f64,
    next_token: Option<String>,
    scan_by: Option<ScanBy>,
    max_datapoints: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum ScanBy {
    #[serde(rename = "TimestampDescending")]
    Descending,
    #[serde(rename = "TimestampAscending")]
    Ascending,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Query {
    id: String,
    metric_stat: Option<Stat>,
    label: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Stat {
    metric: QueryMetric,
    period: i64,
    stat: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct QueryMetric {
    namespace: String,
    metric_name: String,
    dimensions: Option<Vec<Dimension>>,
}

/// What is returned of a query on one page.
#[derive(Debug)]
struct Found {
    id: String,
    label: String,
    instance: Option<String>,
    points: Vec<(i64, f64)>,
    status: &'static str,
}

/// A query with its metric and period.
#[derive(Debug)]
struct Asked {
    id: String,
    label: String,
    metric: Metric,
    period: i64,
}

pub fn get(world: &mut World, request: &Request, key: &Key) -> Outcome {
    let (mut found, next) = match page(world, request, key) {
        Ok(page) => page,
        Err(error) => return (Err(error), None),
    };
    let fault = affect(world, request, &mut found);
    let mut answer =
        json!({"MetricDataResults": found.iter().map(result).collect::<Vec<_>>(), "Messages": []});
    if let Some((query, point)) = next {
        answer["NextToken"] = format!("{TOKEN}{query}-{point}").into();
    }
    (Ok(answer), fault)
}

/// The position of a data point: its query, and its place among the query's points.
type Position = (usize, usize);

/// What determines the data points of a page.
struct Window {
    times: Range<i64>,
    is_ascending: bool,
    start: Position,
    most: usize,
}

/// The results of a page, and the position where the next one begins.
type Page = (Vec<Found>, Option<Position>);

fn page(world: &mut World, request: &Request, key: &Key) -> Result<Page, ApiError> {
    let input: Input = operation::read(request)?;
    if input.start_time >= input.end_time {
        return Err(ApiError::validation("The parameter StartTime must be less than the parameter EndTime."));
    }
    let window = Window {
        times: align(input::seconds(input.start_time), MINUTE)..input::seconds(input.end_time),
        is_ascending: input.scan_by == Some(ScanBy::Ascending),
        start: position(input.next_token.as_deref())?,
        most: points_per_page(&input, world.settings.datapoints_per_page)?,
    };
    let asked = asked(input.metric_data_queries)?;
    Ok(fill(&world.account(key).metrics, asked, &window))
}

fn fill(metrics: &Metrics, asked: Vec<Asked>, window: &Window) -> Page {
    let (first, mut skipped) = window.start;
    let (mut found, mut left) = (Vec::new(), window.most);
    for (index, query) in asked.into_iter().enumerate().skip(first) {
        let mut points = window.points(metrics, &query);
        points.drain(..skipped.min(points.len()));
        if left == 0 && !points.is_empty() {
            return (found, Some((index, 0)));
        }
        let is_complete = points.len() <= left;
        points.truncate(left);
        left -= points.len();
        let next = skipped + points.len();
        found.push(query.found(points, is_complete));
        if !is_complete {
            return (found, Some((index, next)));
        }
        skipped = 0;
    }
    (found, None)
}

impl Window {
    fn points(&self, metrics: &Metrics, query: &Asked) -> Vec<(i64, f64)> {
        let mut points = metrics.sums(&query.metric, self.times.clone(), query.period);
        if !self.is_ascending {
            points.reverse();
        }
        points
    }
}

impl Asked {
    fn found(self, points: Vec<(i64, f64)>, is_complete: bool) -> Found {
        let status = if is_complete { "Complete" } else { "PartialData" };
        let instance = self.metric.dimensions.get(INSTANCE).cloned();
        Found { id: self.id, label: self.label, instance, points, status }
    }
}

fn position(token: Option<&str>) -> Result<Position, ApiError> {
    let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok((0, 0)) };
    let position = token.strip_prefix(TOKEN).and_then(|rest| {
        let (query, point) = rest.split_once('-')?;
        Some((query.parse().ok()?, point.parse().ok()?))
    });
    position.ok_or_else(|| ApiError::new(400, "InvalidNextToken", "The next token specified is invalid."))
}

fn points_per_page(input: &Input, setting: usize) -> Result<usize, ApiError> {
    match input.max_datapoints {
        Some(most) if !(1..=MOST_POINTS).contains(&most) => {
            Err(ApiError::validation(format!("The parameter MaxDatapoints must be 1 to {MOST_POINTS}.")))
        }
        // A page without any point would repeat forever.
        most => Ok(most.unwrap_or(MOST_POINTS).min(setting).max(1)),
    }
}

fn asked(queries: Vec<Query>) -> Result<Vec<Asked>, ApiError> {
    if queries.is_empty() || queries.len() > MOST_QUERIES {
        let count = queries.len();
        return Err(ApiError::validation(format!(
            "The collection MetricDataQueries must have 1 to {MOST_QUERIES} items, not {count}."
        )));
    }
    let asked = queries.into_iter().map(one).collect::<Result<Vec<_>, _>>()?;
    let mut ids = HashSet::new();
    match asked.iter().find(|query| !ids.insert(&query.id)) {
        Some(query) => {
            Err(ApiError::validation(format!("The values for parameter id are not unique: {}", query.id)))
        }
        None => Ok(asked),
    }
}

fn one(Query { id, metric_stat, label }: Query) -> Result<Asked, ApiError> {
    let is_id = id.starts_with(|c: char| c.is_ascii_lowercase())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && id.len() <= 255;
    if !is_id {
        return Err(ApiError::validation(format!(
            "The value {id} for parameter id is not matching the pattern."
        )));
    }
    let Some(Stat { metric, period, stat }) = metric_stat else {
        return Err(ApiError::validation(format!(
            "The query {id} has no MetricStat; ec2-sim supports no expressions."
        )));
    };
    if stat != "Sum" {
        return Err(ApiError::validation(format!("ec2-sim supports the statistic Sum, not {stat}.")));
    }
    if !matches!(period, 1 | 5 | 10 | 20 | 30) && (period < 1 || period % MINUTE != 0) {
        return Err(ApiError::validation(format!(
            "The period {period} is not 1, 5, 10, 20, 30 or a multiple of 60."
        )));
    }
    let QueryMetric { namespace, metric_name: name, dimensions } = metric;
    let label = label.unwrap_or_else(|| name.clone());
    Ok(Asked {
        id,
        label,
        metric: Metric { namespace, name, dimensions: input::dimensions(dimensions) },
        period,
    })
}

/// Applies the faults to results that end on this page. Returns the name of the last one that applied.
fn affect(world: &mut World, request: &Request, found: &mut [Found]) -> Option<&'static str> {
    let mut ending: Vec<&mut Found> = found.iter_mut().filter(|found| found.status == "Complete").collect();
    let ids: Vec<String> = ending.iter().filter_map(|found| found.instance.clone()).collect();
    let mut applied = None;
    for fault in world.faults.iter_mut().filter(|fault| fault.kind.is_of_results()) {
        if ending.is_empty() || !fault.happens(request, &ids, &mut world.chance) {
            continue;
        }
        applied = Some(fault.kind.name());
        let is_meant = |found: &Found| fault.instance.is_none() || found.instance == fault.instance;
        for found in ending.iter_mut().filter(|found| is_meant(found)) {
            let (status, kept) = match fault.kind {
                FaultKind::Forbidden => ("Forbidden", 0),
                FaultKind::InternalError => ("InternalError", 0),
                _ => ("PartialData", found.points.len() / 2),
            };
            found.status = status;
            found.points.truncate(kept);
        }
    }
    applied
}

fn result(found: &Found) -> Value {
    let (timestamps, values): (Vec<i64>, Vec<f64>) = found.points.iter().copied().unzip();
    json!({
        "Id": found.id, "Label": found.label, "Timestamps": timestamps, "Values": values, "StatusCode": found.status,
    })
}
