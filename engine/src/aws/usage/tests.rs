//! Pages of results, as the SDK reads them.

use aws_sdk_cloudwatch::operation::get_metric_data::GetMetricDataOutput;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{MessageData, MetricDataResult, StatusCode};
use time::macros::{date, datetime};

use super::*;

const MONDAY: OffsetDateTime = datetime!(2026-11-23 00:00 UTC);
const TUESDAY: OffsetDateTime = datetime!(2026-11-24 00:00 UTC);

fn message(text: &str) -> MessageData {
    MessageData::builder().code("Code").value(text).build()
}

/// The result of a query on a page: its number, status and points.
fn result(number: usize, status: &str, points: &[Point]) -> MetricDataResult {
    let result = MetricDataResult::builder().id(format!("q{number}")).status_code(StatusCode::from(status));
    let times = points.iter().map(|(time, _)| DateTime::from_secs(time.unix_timestamp())).collect();
    let values = points.iter().map(|(_, value)| *value).collect();
    result.set_timestamps(Some(times)).set_values(Some(values)).build()
}

fn with(mut result: MetricDataResult, change: impl FnOnce(&mut MetricDataResult)) -> MetricDataResult {
    change(&mut result);
    result
}

fn page(results: Vec<MetricDataResult>) -> GetMetricDataOutput {
    GetMetricDataOutput::builder().set_metric_data_results(Some(results)).build()
}

/// The results of one query after pages with these results of it.
fn after(pages: Vec<Vec<MetricDataResult>>) -> QueryResult {
    let mut all = Pages::new(1);
    for results in pages {
        assert_eq!(all.add(page(results)), Ok(None));
    }
    all.finish().remove(0)
}

fn summary(result: &QueryResult) -> (&'static str, String) {
    match result {
        QueryResult::Complete(points) => ("complete", points.len().to_string()),
        QueryResult::Forbidden(error) => {
            assert_eq!(error.kind(), CallErrorKind::Denied);
            ("forbidden", error.message.clone())
        }
        QueryResult::Incomplete(error) => {
            assert_eq!(error.kind(), CallErrorKind::Transient);
            ("incomplete", error.message.clone())
        }
    }
}

#[test]
fn only_a_result_whose_last_status_is_complete_has_points() {
    let (one, other) = ([(MONDAY, 3.0)], [(TUESDAY, 1.0)]);
    let complete = |points| result(0, "Complete", points);
    let partial = |points| result(0, "PartialData", points);
    let unequal = with(complete(&one), |result| result.values = None);
    let no_time =
        with(complete(&one), |result| result.timestamps = Some(vec![DateTime::from_secs(i64::MAX)]));
    let no_status = with(complete(&one), |result| result.status_code = None);
    let no_id = with(complete(&one), |result| result.id = None);
    let other_id = with(complete(&one), |result| result.id = Some("q7".to_owned()));
    let forbidden =
        with(result(0, "Forbidden", &one), |result| result.messages = Some(vec![message("not you")]));
    let (failed, new) = (result(0, "InternalError", &one), result(0, "SomethingNew", &one));
    type Row<'r> = (&'r str, Vec<Vec<MetricDataResult>>, (&'r str, &'r str));
    let rows: [Row<'_>; 17] = [
        ("one page", vec![vec![complete(&one)]], ("complete", "1")),
        ("no data", vec![vec![complete(&[])]], ("complete", "0")),
        ("two pages", vec![vec![partial(&one)], vec![complete(&other)]], ("complete", "2")),
        ("a further page without it", vec![vec![complete(&one)], vec![]], ("complete", "1")),
        ("partial at last", vec![vec![partial(&one)]], ("incomplete", "PartialData")),
        ("partial, then absent", vec![vec![partial(&one)], vec![]], ("incomplete", "PartialData")),
        (
            "complete, then partial",
            vec![vec![complete(&one)], vec![partial(&other)]],
            ("incomplete", "PartialData"),
        ),
        ("internal error", vec![vec![failed.clone()]], ("incomplete", "InternalError")),
        (
            "an error, then complete",
            vec![vec![failed], vec![complete(&other)]],
            ("incomplete", "InternalError"),
        ),
        ("an unknown status", vec![vec![new]], ("incomplete", "SomethingNew")),
        ("no status", vec![vec![no_status]], ("incomplete", "no status")),
        ("forbidden, then complete", vec![vec![forbidden], vec![complete(&one)]], ("forbidden", "not you")),
        ("a time without a value", vec![vec![unequal]], ("incomplete", "not as many")),
        ("a time that is none", vec![vec![no_time]], ("incomplete", "times that are none")),
        ("missing", vec![vec![]], ("incomplete", "no result")),
        ("a result without an ID", vec![vec![no_id]], ("incomplete", "no result")),
        ("the result of another query", vec![vec![other_id]], ("incomplete", "no result")),
    ];
    for (name, pages, (expected, text)) in rows {
        let result = after(pages);
        let (found, message) = summary(&result);
        assert!(found == expected && message.contains(text), "{name}: {result:?}");
    }
}

#[test]
fn results_are_in_the_order_of_their_queries() {
    let mut pages = Pages::new(3);
    let results = vec![result(2, "Complete", &[(MONDAY, 2.0)]), result(0, "Complete", &[(MONDAY, 0.0)])];
    assert_eq!(pages.add(page(results)), Ok(None));
    let results = pages.finish();
    assert_eq!(results[0], QueryResult::Complete(vec![(MONDAY, 0.0)]));
    assert_eq!(summary(&results[1]).0, "incomplete");
    assert_eq!(results[2], QueryResult::Complete(vec![(MONDAY, 2.0)]));
}

#[test]
fn the_messages_of_a_response_say_why_a_result_is_missing() {
    let mut pages = Pages::new(1);
    let page = GetMetricDataOutput::builder().messages(message("the maximum number of metrics is exceeded"));
    assert_eq!(pages.add(page.build()), Ok(None));
    let result = pages.finish().remove(0);
    assert_eq!(
        summary(&result),
        ("incomplete", "the response has no result; the maximum number of metrics is exceeded".to_owned())
    );
}

#[test]
fn pages_that_repeat_a_token_end() {
    let page = |token: &str| GetMetricDataOutput::builder().next_token(token).build();
    let mut pages = Pages::new(1);
    assert_eq!(pages.add(page("a")), Ok(Some("a".to_owned())));
    assert_eq!(pages.add(page("b")), Ok(Some("b".to_owned())));
    let error = pages.add(page("a")).unwrap_err();
    assert_eq!((error.kind(), error.message.contains("NextToken")), (CallErrorKind::Transient, true));
    assert_eq!(Pages::new(1).add(page("")), Ok(None), "an empty token is none");
}

#[test]
fn days_before_the_first_one_do_not_count() {
    let points = vec![(MONDAY, 5.0), (TUESDAY, 1.0)];
    let found = usage(Ok(points), date!(2026 - 11 - 24));
    assert_eq!(found, Ok(Usage::Days(BTreeMap::from([(date!(2026 - 11 - 24), 1)]))));
}

#[test]
fn a_refusal_is_an_answer_and_any_other_error_is_not() {
    let error = |code: &str, status| CallError {
        code: Some(code.to_owned()),
        status,
        ..CallError::without_response(CALL, "m")
    };
    for (code, status, is_refused) in [
        ("AccessDenied", Some(403), true),
        ("Forbidden", None, true),
        ("Throttling", Some(400), false),
        ("InternalServiceFault", Some(500), false),
        ("ExpiredToken", Some(403), false),
    ] {
        let found = usage(Err(error(code, status)), date!(2026 - 11 - 24));
        assert_eq!(matches!(found, Ok(Usage::Refused(_))), is_refused, "{code}: {found:?}");
        assert_eq!(found.is_err(), !is_refused, "{code}: {found:?}");
    }
}

#[test]
fn points_that_are_no_numbers_do_not_count_in_a_total() {
    assert_eq!(total(vec![(MONDAY, f64::NAN), (TUESDAY, 2.5), (TUESDAY, -1.0)]), 3);
    assert_eq!(total(vec![(MONDAY, f64::INFINITY), (TUESDAY, 1.0)]), u64::MAX);
    assert_eq!(total(vec![]), 0);
}

#[test]
fn a_range_is_not_empty() {
    let question = Question::new("MetadataNoToken", 86_400, MONDAY, MONDAY);
    assert_eq!((question.start, question.end), (MONDAY, datetime!(2026-11-23 00:01 UTC)));
}
