//! Pages of `GetMetricData` → the result of each query.

use std::collections::HashSet;

use aws_sdk_cloudwatch::operation::get_metric_data::GetMetricDataOutput;
use aws_sdk_cloudwatch::types::{MessageData, MetricDataResult, StatusCode};
use imds_core::call_error::{Call, CallError};
use time::OffsetDateTime;

/// The call that the pages are of.
pub(super) const CALL: Call = Call::GetMetricData;

/// The start of a period, and the sum of the metric in it.
pub(super) type Point = (OffsetDateTime, f64);

/// What CloudWatch answered to one query.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum QueryResult {
    /// All points.
    Complete(Vec<Point>),
    /// A permission is missing: an error of the kind `Denied`.
    Forbidden(CallError),
    /// Points may be missing, so that none is to be believed. The same query may succeed at once.
    Incomplete(CallError),
}

/// The pages of one call so far.
#[derive(Debug)]
pub(super) struct Pages {
    /// By the number of the query.
    queries: Vec<Progress>,
    /// What CloudWatch says of the call as a whole, such as that it left out metrics.
    messages: Vec<String>,
    tokens: HashSet<String>,
}

/// What the pages so far say of one query.
#[derive(Debug, Default)]
enum Progress {
    /// No page has a result.
    #[default]
    Missing,
    /// The points of all pages, and whether the last of them says that these are all.
    Points(Vec<Point>, bool),
    /// The permission is missing; CloudWatch's message.
    Forbidden(String),
    /// A page has no usable result, and why. Later pages cannot mend that.
    Unusable(String),
}

/// The ID of a query. CloudWatch requires that it begins with a lowercase letter.
pub(super) fn query_id(number: usize) -> String {
    format!("q{number}")
}

fn query_number(id: &str) -> Option<usize> {
    id.strip_prefix('q')?.parse().ok()
}

impl Pages {
    /// No page yet of a call with this number of queries.
    pub(super) fn new(queries: usize) -> Self {
        let queries = std::iter::repeat_with(Progress::default).take(queries).collect();
        Self { queries, messages: Vec::new(), tokens: HashSet::new() }
    }

    /// Adds a page. Returns the token of the next one, `None` after the last one.
    ///
    /// # Errors
    /// That a token came before: the pages would never end. The same call may succeed at once.
    pub(super) fn add(&mut self, page: GetMetricDataOutput) -> Result<Option<String>, CallError> {
        self.messages.extend(texts(page.messages()));
        for result in page.metric_data_results.unwrap_or_default() {
            let number = result.id().and_then(query_number);
            if let Some(query) = number.and_then(|number| self.queries.get_mut(number)) {
                *query = std::mem::take(query).with_result(result);
            }
        }
        let Some(token) = page.next_token.filter(|token| !token.is_empty()) else { return Ok(None) };
        if !self.tokens.insert(token.clone()) {
            return Err(CallError::without_response(CALL, "it returned the same NextToken twice"));
        }
        Ok(Some(token))
    }

    /// Returns the result of each query, in their order, after the last page.
    pub(super) fn finish(self) -> Vec<QueryResult> {
        let Self { queries, messages, .. } = self;
        queries.into_iter().map(|query| query.finish(&messages)).collect()
    }
}

impl Progress {
    fn with_result(self, mut result: MetricDataResult) -> Self {
        let mut points = match self {
            Self::Missing => Vec::new(),
            Self::Points(points, _) => points,
            failed => return failed,
        };
        let is_complete = match result.status_code.take() {
            Some(StatusCode::Complete) => true,
            Some(StatusCode::PartialData) => false,
            Some(StatusCode::Forbidden) => return Self::Forbidden(texts(result.messages()).join("; ")),
            Some(status) => return Self::Unusable(with(status_is(&status), texts(result.messages()))),
            None => return Self::Unusable("the result has no status".to_owned()),
        };
        match points_of(&result) {
            Some(more) => points.extend(more),
            None => {
                return Self::Unusable(
                    "the result has times that are none, or not as many as values".to_owned(),
                );
            }
        }
        Self::Points(points, is_complete)
    }

    fn finish(self, messages: &[String]) -> QueryResult {
        let incomplete = |text| QueryResult::Incomplete(CallError::without_response(CALL, text));
        match self {
            Self::Points(points, true) => QueryResult::Complete(points),
            Self::Points(_, false) => {
                incomplete(with(status_is(&StatusCode::PartialData), messages.to_vec()))
            }
            Self::Missing => incomplete(with("the response has no result".to_owned(), messages.to_vec())),
            Self::Unusable(text) => incomplete(text),
            Self::Forbidden(text) => QueryResult::Forbidden(CallError {
                code: Some(StatusCode::Forbidden.to_string()),
                ..CallError::without_response(
                    CALL,
                    if text.is_empty() { "no message".to_owned() } else { text },
                )
            }),
        }
    }
}

fn status_is(status: &StatusCode) -> String {
    format!("the status of the result is {status}")
}

/// The text, and CloudWatch's messages after it.
fn with(text: String, messages: Vec<String>) -> String {
    std::iter::once(text).chain(messages).collect::<Vec<_>>().join("; ")
}

fn texts(messages: &[MessageData]) -> Vec<String> {
    messages.iter().filter_map(MessageData::value).map(str::to_owned).collect()
}

/// The points of a result. `None` if a value has no time, or one that is not representable.
fn points_of(result: &MetricDataResult) -> Option<Vec<Point>> {
    let (times, values) = (result.timestamps(), result.values());
    if times.len() != values.len() {
        return None;
    }
    let time = |seconds| OffsetDateTime::from_unix_timestamp(seconds).ok();
    times.iter().zip(values).map(|(at, value)| Some((time(at.secs())?, *value))).collect()
}
