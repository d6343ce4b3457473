//! No error becomes days.

use bytes::Bytes;
use ec2_sim::{Fault, FaultKind};
use futures_util::future::join_all;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use imds_core::call_error::CallErrorKind;
use imds_core::outcome::Outcome;
use tokio::net::TcpListener;

use super::*;

fn fault(kind: FaultKind) -> Fault {
    Fault::new(kind).on(CALL)
}

/// Two instances with calls on a day.
async fn two() -> (CloudWatch, [InstanceId; 2]) {
    let (cloudwatch, ids) = (CloudWatch::new().await, instances());
    for id in &ids {
        cloudwatch.used(id, &[(SINCE, 3.0), (NOW.date(), 4.0)]);
    }
    (cloudwatch, ids)
}

fn both_days() -> Result<Usage, CallError> {
    days(&[(SINCE, 3), (NOW.date(), 4)])
}

/// A refusal whose text has CloudWatch's code and message.
fn is_refused(answer: &Result<Usage, CallError>, code: &str) -> bool {
    let start = format!("{code}: ");
    matches!(answer, Ok(Usage::Refused(text)) if text.strip_prefix(&start).is_some_and(|message| !message.is_empty()))
}

#[tokio::test]
async fn a_call_that_is_denied_is_refused_and_not_repeated() {
    let (cloudwatch, ids) = two().await;
    cloudwatch.sim.inject(fault(FaultKind::Deny));
    let found = cloudwatch.ask(&ids).await;
    assert!(ids.iter().all(|id| is_refused(&found[id], "AccessDenied")), "{found:?}");
    assert_eq!(cloudwatch.calls().len(), 1);

    let client = cloudwatch.client(ACCOUNT).await;
    let found = client.rejected_calls(&ids, NOW, &Deadline::new(NOW, Duration::from_secs(60))).await;
    for id in &ids {
        assert_eq!(found[id].as_ref().unwrap_err().kind(), CallErrorKind::Denied, "{found:?}");
    }
}

#[tokio::test]
async fn a_forbidden_result_is_refused_alone() {
    let (cloudwatch, ids) = two().await;
    cloudwatch.sim.inject(fault(FaultKind::Forbidden).of(ids[0].as_str()));
    let found = cloudwatch.ask(&ids).await;
    assert!(is_refused(&found[&ids[0]], "Forbidden"), "{found:?}");
    assert_eq!((&found[&ids[1]], cloudwatch.calls().len()), (&both_days(), 1));

    let client = cloudwatch.client(ACCOUNT).await;
    let found = client.rejected_calls(&ids, NOW, &Deadline::new(NOW, Duration::from_secs(60))).await;
    assert_eq!(found[&ids[0]].as_ref().unwrap_err().kind(), CallErrorKind::Denied, "{found:?}");
    assert_eq!(found[&ids[1]], Ok(0));
}

#[tokio::test]
async fn an_incomplete_result_is_asked_for_again() {
    let rows = [FaultKind::PartialData, FaultKind::InternalError].map(async |kind| {
        let (cloudwatch, ids) = two().await;
        cloudwatch.sim.inject(fault(kind.clone()).of(ids[0].as_str()).times(1));
        let found = cloudwatch.ask(&ids).await;
        assert!(found.values().all(|usage| *usage == both_days()), "{kind:?}: {found:?}");
        let queries = cloudwatch.calls().iter().map(|call| call.instance_ids.clone()).collect::<Vec<_>>();
        let texts = |ids: &[InstanceId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(queries, [texts(&ids), texts(&ids[..1])], "{kind:?}: only what was not complete");
    });
    join_all(rows).await;
}

#[tokio::test]
async fn a_result_that_stays_incomplete_is_an_error() {
    let rows = [FaultKind::PartialData, FaultKind::InternalError].map(async |kind| {
        let (cloudwatch, ids) = two().await;
        cloudwatch.sim.inject(fault(kind.clone()).of(ids[0].as_str()));
        let found = cloudwatch.ask(&ids).await;
        let error = found[&ids[0]].as_ref().unwrap_err();
        assert_eq!(error.kind(), CallErrorKind::Transient, "{kind:?}: {error}");
        assert_eq!(error.outcome(time::Duration::ZERO, false), Outcome::Failed { retry: true }, "{kind:?}");
        assert_eq!((&found[&ids[1]], cloudwatch.calls().len()), (&both_days(), 4), "{kind:?}");
    });
    join_all(rows).await;
}

#[tokio::test]
async fn near_the_deadline_nothing_is_asked_for_again() {
    let (cloudwatch, ids) = two().await;
    cloudwatch.sim.inject(fault(FaultKind::PartialData));
    let found = cloudwatch.ask_within(&ids, Duration::from_millis(600)).await;
    assert!(found.values().all(Result::is_err), "{found:?}");
    assert_eq!(cloudwatch.calls().len(), 1);
}

#[tokio::test]
async fn a_call_that_fails_once_is_retried() {
    let kinds = [FaultKind::Throttle, FaultKind::ServerError, FaultKind::Reset, FaultKind::Malformed];
    let rows = kinds.map(async |kind| {
        let (cloudwatch, ids) = two().await;
        cloudwatch.sim.inject(fault(kind.clone()).times(1));
        let found = cloudwatch.ask(&ids).await;
        assert!(found.values().all(|usage| *usage == both_days()), "{kind:?}: {found:?}");
        assert_eq!(cloudwatch.calls().len(), 2, "{kind:?}");
    });
    join_all(rows).await;
}

#[tokio::test]
async fn a_call_that_always_fails_is_an_error() {
    let kinds = [
        (FaultKind::Throttle, CallErrorKind::Throttled, Outcome::Throttled),
        (FaultKind::ServerError, CallErrorKind::Transient, Outcome::Failed { retry: true }),
        (FaultKind::Reset, CallErrorKind::Transient, Outcome::Failed { retry: true }),
        (FaultKind::Malformed, CallErrorKind::CutOff, Outcome::Failed { retry: true }),
    ];
    let rows = kinds.map(async |(kind, expected, outcome)| {
        let (cloudwatch, ids) = two().await;
        cloudwatch.sim.inject(fault(kind.clone()));
        let found = cloudwatch.ask(&ids).await;
        for id in &ids {
            let error = found[id].as_ref().unwrap_err();
            assert_eq!(error.kind(), expected, "{kind:?}: {error}");
            assert_eq!(error.outcome(time::Duration::ZERO, false), outcome, "{kind:?}: {error}");
        }
        assert_eq!(cloudwatch.calls().len(), 8, "{kind:?}: the SDK's attempts");
    });
    join_all(rows).await;
}

#[tokio::test]
async fn a_failure_on_a_later_page_is_an_error_for_all() {
    let cloudwatch = CloudWatch::with(Settings { datapoints_per_page: 1, ..Settings::default() }).await;
    let ids: [InstanceId; 2] = instances();
    for id in &ids {
        cloudwatch.used(id, &[(SINCE, 0.0)]);
    }
    let found = cloudwatch.ask(&ids).await;
    assert!(found.values().all(|usage| *usage == days(&[(SINCE, 0)])), "{found:?}");
    let token = cloudwatch.calls()[1].parameters["NextToken"].clone();
    let error = FaultKind::Error {
        code: "InvalidNextToken".to_owned(),
        status: 400,
        message: "The next token is invalid.".to_owned(),
    };
    cloudwatch.sim.inject(fault(error).with_parameter("NextToken", &token));
    let found = cloudwatch.ask(&ids).await;
    for id in &ids {
        let error = found[id].as_ref().unwrap_err();
        assert_eq!(error.outcome(time::Duration::ZERO, false), Outcome::Failed { retry: true }, "{error}");
    }
}

#[tokio::test]
async fn a_call_that_hangs_ends_with_the_deadline() {
    let (cloudwatch, ids) = two().await;
    cloudwatch.sim.inject(fault(FaultKind::Hang(None)));
    let started = std::time::Instant::now();
    let found = cloudwatch.ask_within(&ids, Duration::from_secs(2)).await;
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    for id in &ids {
        assert_eq!(found[id].as_ref().unwrap_err().kind(), CallErrorKind::Transient, "{found:?}");
    }
}

#[tokio::test]
async fn a_call_that_hangs_once_is_retried() {
    let (cloudwatch, ids) = two().await;
    cloudwatch.sim.inject(fault(FaultKind::Hang(None)).times(1));
    let found = cloudwatch.ask(&ids).await;
    assert!(found.values().all(|usage| *usage == both_days()), "{found:?}");
}

#[tokio::test]
async fn a_role_that_cannot_be_assumed_is_no_refusal_of_cloudwatch() {
    let cloudwatch = CloudWatch::new().await;
    let [id] = instances();
    cloudwatch.sim.inject(Fault::new(FaultKind::Deny).on("AssumeRole"));
    let client = cloudwatch.client(MEMBER).await;
    let deadline = Deadline::new(NOW, Duration::from_secs(60));
    let found = client.calls_without_token(std::slice::from_ref(&id), SINCE, NOW, &deadline).await;
    assert_eq!(found[&id].as_ref().unwrap_err().kind(), CallErrorKind::Unreachable, "{found:?}");
    assert_eq!(cloudwatch.calls().len(), 0);
}

/// Answers each request with this CBOR. Returns the endpoint.
async fn server(cbor: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let answer = service_fn(move |request: Request<Incoming>| {
        let response = Response::builder().header("smithy-protocol", "rpc-v2-cbor");
        let response = response.body(Full::new(Bytes::from(cbor.clone()))).unwrap();
        async { request.into_body().collect().await.map(|_| response) }
    });
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(connection), answer.clone()));
        }
    });
    endpoint
}

#[tokio::test]
async fn a_response_without_the_result_is_no_answer() {
    // An empty map; a map with an empty list of results; a map with nothing but always the same token.
    let same_token = [&[0xA1, 0x69][..], b"NextToken", &[0x61], b"a"].concat();
    let no_results = [&[0xA1, 0x71][..], b"MetricDataResults", &[0x80]].concat();
    let rows = [(vec![0xA0], "no result"), (no_results, "no result"), (same_token, "NextToken")];
    let rows = rows.map(async |(cbor, text)| {
        let [id] = instances();
        let limit = imds_engine::aws::rate_limit::RateLimit { ceiling: 1.0, burst: 80 };
        let clients = RegionClients::new(for_simulator(&server(cbor).await, ACCOUNT, REGION), limit, None);
        let (account, region) = (AccountId::new(ACCOUNT).unwrap(), Region::new(REGION).unwrap());
        let client = clients.get(&AccountRegion { account, region }).await;
        let deadline = Deadline::new(NOW, Duration::from_secs(60));
        let found = client.calls_without_token(std::slice::from_ref(&id), SINCE, NOW, &deadline).await;
        let error = found[&id].as_ref().unwrap_err();
        assert!(error.kind() == CallErrorKind::Transient && error.message.contains(text), "{text}: {error}");
    });
    join_all(rows).await;
}
