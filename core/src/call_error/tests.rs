use super::*;

#[test]
fn error_codes_become_outcomes() {
    use Call::{AssumeRole, DescribeInstances as Describe, ModifyInstanceMetadataOptions as Modify};
    let (young, old) = (Duration::seconds(5), Duration::minutes(16));
    let again = Outcome::Failed { retry: true };
    let rows = [
        (Modify, Some("DryRunOperation"), Some(412), young, false, Outcome::WouldEnforce),
        (Modify, Some("UnauthorizedOperation"), Some(403), young, false, Outcome::Denied),
        (Describe, Some("UnauthorizedOperation"), Some(403), young, false, again),
        (Modify, Some("RequestLimitExceeded"), Some(503), young, false, Outcome::Throttled),
        (Describe, Some("EC2ThrottledException"), Some(503), young, false, Outcome::Throttled),
        (Modify, Some("IncorrectInstanceState"), Some(400), old, true, Outcome::NotReady),
        (Modify, Some("InvalidInstanceID.NotFound"), Some(400), young, false, Outcome::NotReady),
        (Modify, Some("InvalidInstanceID.NotFound"), Some(400), old, false, Outcome::NotReady),
        (Modify, Some("InvalidInstanceID.NotFound"), Some(400), young, true, Outcome::NotReady),
        (Modify, Some("InvalidInstanceID.NotFound"), Some(400), old, true, Outcome::Gone),
        // Cloud Custodian expects this spelling, which EC2 never sends.
        (Modify, Some("InvalidInstanceId.NotFound"), Some(400), old, true, again),
        (Modify, Some("InvalidInstanceID.Malformed"), Some(400), young, false, again),
        (Modify, Some("UnsupportedOperation"), Some(400), young, false, Outcome::Blocked),
        (Modify, Some("InvalidParameterValue"), Some(400), young, false, Outcome::Blocked),
        (Describe, Some("InvalidParameterValue"), Some(400), young, false, again),
        (Modify, Some("InternalError"), Some(500), young, false, again),
        (Modify, Some("Unavailable"), Some(503), young, false, again),
        (Modify, Some("ExpiredToken"), Some(400), young, false, again),
        (Modify, Some("SomethingNew"), Some(400), young, false, again),
        (AssumeRole, Some("AccessDenied"), Some(403), young, false, Outcome::Unreachable),
        (AssumeRole, Some("Throttling"), Some(400), young, false, Outcome::Unreachable),
        (AssumeRole, Some("RegionDisabledException"), Some(403), old, true, Outcome::Unreachable),
        (AssumeRole, None, None, young, false, Outcome::Unreachable),
        (Describe, Some("RequestLimitExceeded"), Some(503), young, false, Outcome::Throttled),
        (Describe, Some("InternalError"), Some(500), young, false, again),
        (Describe, Some("Unavailable"), Some(503), old, true, again),
        (Modify, Some("EC2ThrottledException"), Some(503), young, false, Outcome::Throttled),
        (Modify, Some("MissingParameter"), Some(400), young, false, again),
        (Modify, Some("InvalidParameterCombination"), Some(400), young, false, again),
        (Modify, Some("InvalidAction"), Some(400), young, false, again),
        (Modify, Some("AuthFailure"), Some(401), young, false, again),
        (Modify, Some("InvalidClientTokenId"), Some(403), young, false, again),
        (Modify, Some("TooMany"), Some(429), young, false, again),
        (Modify, None, Some(403), young, false, again),
        (Modify, None, None, young, false, again),
        (Modify, None, Some(200), young, false, again),
    ];
    for (call, code, status, age, redelivered, expected) in rows {
        let error = CallError {
            call,
            code: code.map(str::to_owned),
            message: "m".to_owned(),
            status,
            is_cut_off: false,
        };
        assert_eq!(
            error.outcome(age, redelivered),
            expected,
            "{call} {code:?} {status:?} {age} {redelivered}"
        );
        assert!(error.to_string().contains(code.unwrap_or("m")), "{code:?}: the message contains it");
    }
}

#[test]
fn only_failures_of_ec2_and_the_network_are_tried_again_at_once() {
    let rows = [
        (Some("InternalError"), Some(500), CallErrorKind::Transient),
        (Some("Unavailable"), Some(503), CallErrorKind::Transient),
        (Some("RequestTimeout"), Some(400), CallErrorKind::Transient),
        (Some("TooMany"), Some(429), CallErrorKind::Transient),
        (None, Some(502), CallErrorKind::Transient),
        (None, Some(403), CallErrorKind::Other),
        (None, Some(200), CallErrorKind::Other),
        (None, None, CallErrorKind::Transient),
        (Some("ExpiredToken"), Some(400), CallErrorKind::Other),
        (Some("AuthFailure"), Some(401), CallErrorKind::Other),
        (Some("SomethingNew"), Some(400), CallErrorKind::Other),
    ];
    for (code, status, expected) in rows {
        let call = Call::ModifyInstanceMetadataOptions;
        let error = CallError {
            call,
            code: code.map(str::to_owned),
            message: String::new(),
            status,
            is_cut_off: false,
        };
        assert_eq!(error.kind(), expected, "{code:?} {status:?}");
        assert_eq!(
            error.kind().is_tried_again(),
            expected == CallErrorKind::Transient,
            "{code:?} {status:?}"
        );
    }
}

#[test]
fn what_cloudwatch_returns_is_classified() {
    use CallErrorKind::*;
    let rows = [
        (Some("AccessDenied"), Some(403), Denied),
        (Some("AccessDeniedException"), Some(400), Denied),
        (Some("UnauthorizedOperation"), Some(403), Denied),
        (Some("NotAuthorized"), Some(400), Denied),
        // The status of one result.
        (Some("Forbidden"), None, Denied),
        (Some("Throttling"), Some(400), Throttled),
        (Some("ThrottlingException"), Some(400), Throttled),
        (Some("RequestLimitExceeded"), Some(400), Throttled),
        // A quota of what is stored, such as alarms.
        (Some("LimitExceeded"), Some(400), Other),
        (Some("InternalServiceFault"), Some(500), Transient),
        (Some("ServiceUnavailable"), Some(503), Transient),
        (Some("ValidationError"), Some(400), Other),
        (Some("InvalidNextToken"), Some(400), Other),
        (Some("ExpiredToken"), Some(403), Other),
        (None, Some(200), CutOff),
        (None, Some(403), Other),
        (None, Some(502), Transient),
        (None, None, Transient),
    ];
    for (code, status, expected) in rows {
        let no_response = CallError::without_response(Call::GetMetricData, "m");
        let error = CallError { code: code.map(str::to_owned), status, ..no_response };
        assert_eq!(error.kind(), expected, "{code:?} {status:?}");
        let outcome = error.outcome(Duration::seconds(5), false);
        match expected {
            Throttled => assert_eq!(outcome, Outcome::Throttled, "{code:?} {status:?}"),
            _ => assert_eq!(outcome, Outcome::Failed { retry: true }, "{code:?} {status:?}"),
        }
    }
    let forbidden = CallError {
        code: Some("Forbidden".to_owned()),
        ..CallError::without_response(Call::DescribeInstances, "m")
    };
    assert_eq!(forbidden.kind(), Transient, "it is a code of CloudWatch alone");
}

#[test]
fn a_response_that_is_cut_off_says_nothing() {
    let rows = [
        (Call::DescribeInstances, Outcome::NotReady),
        (Call::ModifyInstanceMetadataOptions, Outcome::Failed { retry: true }),
        (Call::AssumeRole, Outcome::Unreachable),
    ];
    for (call, expected) in rows {
        let error = CallError {
            status: Some(200),
            is_cut_off: true,
            ..CallError::without_response(call, "the response is cut off")
        };
        assert_eq!(error.outcome(Duration::minutes(16), true), expected, "{call}");
    }
}
