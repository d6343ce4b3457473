//! Calls to the metadata service without a token, as CloudWatch counts them.

mod pages;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricStat};
use futures_util::{StreamExt, stream};
use imds_core::call_error::{CallError, CallErrorKind};
use imds_core::ids::InstanceId;
use imds_core::usage::{Usage, calls};
use time::{Date, OffsetDateTime, Time};
use tokio::time::sleep;

use self::pages::{CALL, Pages, Point, QueryResult};
use super::client::RegionClient;
use crate::deadline::Deadline;

/// The maximum number of queries in a call: CloudWatch's limit.
const QUERIES_PER_CALL: usize = 500;

/// The maximum number of concurrent calls for one question: enough to hide their latency, far below CloudWatch's 50 a second.
const CALLS_AT_ONCE: usize = 4;

/// The pauses before queries whose results are not complete are asked again.
const PAUSES: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];

/// What is asked of each instance: the sums of a metric of `AWS/EC2`.
#[derive(Debug, Clone, Copy)]
struct Question {
    metric: &'static str,
    /// The time that a sum is of, in seconds.
    period: i32,
    start: OffsetDateTime,
    end: OffsetDateTime,
}

/// The points of one query, or why there are none.
type Answer = Result<Vec<Point>, CallError>;

/// The answers to a question, by instance.
#[derive(Debug, Default)]
struct Answers {
    answers: BTreeMap<InstanceId, Answer>,
    /// The instances whose results are not complete, and why.
    incomplete: BTreeMap<InstanceId, CallError>,
}

impl RegionClient {
    /// Returns the calls without a token to each instance's metadata service, by day, from 00:00 UTC of `since` up to
    /// `now`: the `Sum` of `MetadataNoToken` in the namespace `AWS/EC2`, with a period of 86,400 s. Makes one GetMetricData
    /// call for up to 500 instances. The answer has every instance of `ids`.
    ///
    /// A result that is not complete is asked for up to 3 more times. A missing permission is [`Usage::Refused`].
    ///
    /// # Errors
    /// CloudWatch's error, that it did not respond, or that a result is not complete; see [`CallError::outcome`] for what
    /// a retry would change. All are retryable.
    pub async fn calls_without_token(
        &self,
        ids: &[InstanceId],
        since: Date,
        now: OffsetDateTime,
        deadline: &Deadline,
    ) -> BTreeMap<InstanceId, Result<Usage, CallError>> {
        let question = Question::new("MetadataNoToken", 86_400, since.midnight().assume_utc(), now);
        let answers = self.sums(ids, question, deadline).await;
        answers.into_iter().map(|(id, answer)| (id, usage(answer, since))).collect()
    }

    /// Returns the number of calls without a token that each instance's metadata service refused in the 24 hours before
    /// `now`, from the start of an hour on: the `Sum` of `MetadataNoTokenRejected` in the namespace `AWS/EC2`, with a
    /// period of 3,600 s. 0 for an instance without data. Makes one GetMetricData call for up to 500 instances. The answer
    /// has every instance of `ids`.
    ///
    /// A result that is not complete is asked for up to 3 more times.
    ///
    /// # Errors
    /// Those of [`RegionClient::calls_without_token`], and [`CallErrorKind::Denied`] if the permission is missing.
    pub async fn rejected_calls(
        &self,
        ids: &[InstanceId],
        now: OffsetDateTime,
        deadline: &Deadline,
    ) -> BTreeMap<InstanceId, Result<u64, CallError>> {
        let a_day_ago = now.saturating_sub(time::Duration::DAY);
        // Points begin at full hours, so that a start within an hour might leave out the first one.
        let start = a_day_ago.replace_time(Time::from_hms(a_day_ago.hour(), 0, 0).unwrap_or(Time::MIDNIGHT));
        let answers =
            self.sums(ids, Question::new("MetadataNoTokenRejected", 3_600, start, now), deadline).await;
        answers.into_iter().map(|(id, answer)| (id, answer.map(total))).collect()
    }

    /// Asks for each instance once, and again for those whose results are not complete.
    async fn sums(
        &self,
        ids: &[InstanceId],
        question: Question,
        deadline: &Deadline,
    ) -> BTreeMap<InstanceId, Answer> {
        let mut all = BTreeMap::new();
        let mut ids: Vec<InstanceId> = ids.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect();
        let mut pauses = PAUSES.into_iter();
        loop {
            let Answers { answers, incomplete } = self.ask(&ids, question, deadline).await;
            all.extend(answers);
            let pause = pauses.next().filter(|pause| !incomplete.is_empty() && deadline.allows(*pause));
            let Some(pause) = pause else {
                all.extend(incomplete.into_iter().map(|(id, error)| (id, Err(error))));
                return all;
            };
            sleep(pause).await;
            ids = incomplete.into_keys().collect();
        }
    }

    /// Asks for each instance once, in as few calls as CloudWatch allows.
    async fn ask(&self, ids: &[InstanceId], question: Question, deadline: &Deadline) -> Answers {
        let chunks = stream::iter(ids.chunks(QUERIES_PER_CALL).map(<[InstanceId]>::to_vec));
        let mut results = chunks
            .map(|chunk| async move { (deadline.bound(CALL, self.results(&chunk, question)).await, chunk) })
            .buffer_unordered(CALLS_AT_ONCE);
        let mut answers = Answers::default();
        while let Some((results, ids)) = results.next().await {
            match results {
                Ok(results) => ids.into_iter().zip(results).for_each(|(id, result)| answers.add(id, result)),
                Err(error) => answers.answers.extend(ids.into_iter().map(|id| (id, Err(error.clone())))),
            }
        }
        answers
    }

    /// Returns the results of all pages, in the order of `ids`, of which there are at most [`QUERIES_PER_CALL`].
    async fn results(&self, ids: &[InstanceId], question: Question) -> Result<Vec<QueryResult>, CallError> {
        let mut pages = Pages::new(ids.len());
        let mut token = None;
        loop {
            let range = (question.start, question.end);
            token = pages.add(self.metric_data(question.queries(ids), range, token).await?)?;
            if token.is_none() {
                return Ok(pages.finish());
            }
        }
    }
}

impl Question {
    /// CloudWatch refuses a range that is empty after its ends are rounded to minutes.
    fn new(metric: &'static str, period: i32, start: OffsetDateTime, end: OffsetDateTime) -> Self {
        Self { metric, period, start, end: end.max(start.saturating_add(time::Duration::MINUTE)) }
    }

    /// Returns a query for each instance. Their IDs are those that [`pages::query_id`] returns.
    fn queries(&self, ids: &[InstanceId]) -> Vec<MetricDataQuery> {
        let query = |(number, id): (usize, &InstanceId)| {
            let instance = Dimension::builder().name("InstanceId").value(id.as_str()).build();
            let metric = Metric::builder().namespace("AWS/EC2").metric_name(self.metric).dimensions(instance);
            let stat = MetricStat::builder().metric(metric.build()).period(self.period).stat("Sum");
            MetricDataQuery::builder().id(pages::query_id(number)).metric_stat(stat.build()).build()
        };
        ids.iter().enumerate().map(query).collect()
    }
}

impl Answers {
    fn add(&mut self, id: InstanceId, result: QueryResult) {
        match result {
            QueryResult::Complete(points) => {
                self.answers.insert(id, Ok(points));
            }
            QueryResult::Forbidden(error) => {
                self.answers.insert(id, Err(error));
            }
            QueryResult::Incomplete(error) => {
                self.incomplete.insert(id, error);
            }
        }
    }
}

/// The usage since a day. A missing permission is an answer too, as asking again does not help.
fn usage(answer: Answer, since: Date) -> Result<Usage, CallError> {
    match answer {
        Ok(points) => {
            let days = points.into_iter().map(|(time, sum)| (time.date(), sum));
            Ok(Usage::from_points(days.filter(|(day, _)| *day >= since)))
        }
        Err(error) if error.kind() == CallErrorKind::Denied => Ok(Usage::Refused(error.details())),
        Err(error) => Err(error),
    }
}

/// The number of calls in all points.
fn total(points: Vec<Point>) -> u64 {
    points.into_iter().filter_map(|(_, sum)| calls(sum)).fold(0, u64::saturating_add)
}
