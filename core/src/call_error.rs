//! A failed call to AWS, and what it means: every classification of error codes.

use std::fmt;

use time::Duration;

use crate::outcome::Outcome;

/// An AWS call that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// `ec2:DescribeInstances`.
    DescribeInstances,
    /// `ec2:ModifyInstanceMetadataOptions`.
    ModifyInstanceMetadataOptions,
    /// `ec2:GetInstanceMetadataDefaults`.
    GetInstanceMetadataDefaults,
    /// `sts:AssumeRole`.
    AssumeRole,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DescribeInstances => "ec2:DescribeInstances",
            Self::ModifyInstanceMetadataOptions => "ec2:ModifyInstanceMetadataOptions",
            Self::GetInstanceMetadataDefaults => "ec2:GetInstanceMetadataDefaults",
            Self::AssumeRole => "sts:AssumeRole",
        })
    }
}

/// A failed call: the parts of the error that determine the outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallError {
    /// The call.
    pub call: Call,
    /// The error code; `None` if there was no response, or no readable one.
    pub code: Option<String>,
    /// The error message, or why there was no response.
    pub message: String,
    /// The HTTP status of the response, if there was one.
    pub status: Option<u16>,
}

/// How long after its event an instance that EC2 does not return may still become visible.
const APPEARS_WITHIN: Duration = Duration::minutes(15);

impl CallError {
    /// The outcome for the instance. `age` is the time since the event that named it.
    ///
    /// Codes: EC2 API reference, "Error codes for the Amazon EC2 API".
    pub fn outcome(&self, age: Duration, redelivered: bool) -> Outcome {
        match self.code.as_deref() {
            _ if self.call == Call::AssumeRole => Outcome::Unreachable,
            Some("DryRunOperation") => Outcome::WouldEnforce,
            Some("UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException") => Outcome::Denied,
            Some(code) if is_throttle(code) => Outcome::Throttled,
            Some("IncorrectInstanceState" | "IncorrectState") => Outcome::NotReady,
            Some("InvalidInstanceID.NotFound") => unknown_instance(age, redelivered),
            // InvalidParameterValue: InstanceMetadataTags=enabled, and a tag key that forbids it was added after the
            // decision. All values that we send are documented.
            Some("UnsupportedOperation" | "InvalidParameterValue")
                if self.call == Call::ModifyInstanceMetadataOptions =>
            {
                Outcome::Blocked
            }
            // The request is valid: a retry uses renewed credentials, or credentials that have propagated.
            Some(
                "RequestExpired"
                | "ExpiredToken"
                | "ExpiredTokenException"
                | "AuthFailure"
                | "InvalidClientTokenId"
                | "SignatureDoesNotMatch"
                | "RequestTimeout"
                | "RequestTimeoutException",
            ) => Outcome::Failed { retry: true },
            // EC2 reports an invalid request with a code. A response without a code may come from a proxy.
            code => Outcome::Failed { retry: code.is_none() || !self.status.is_some_and(is_callers_fault) },
        }
    }
}

/// Whether the HTTP status means that the request itself is wrong.
fn is_callers_fault(status: u16) -> bool {
    (300..500).contains(&status) && !matches!(status, 408 | 429)
}

/// Whether the error code means that the call was throttled.
pub fn is_throttle(code: &str) -> bool {
    matches!(
        code,
        "RequestLimitExceeded"
            | "EC2ThrottledException"
            | "Throttling"
            | "ThrottlingException"
            | "RequestThrottled"
            | "RequestThrottledException"
    )
}

/// The outcome for an instance that EC2 does not know. Right after its launch, it may not be visible yet.
pub fn unknown_instance(age: Duration, redelivered: bool) -> Outcome {
    if redelivered && age >= APPEARS_WITHIN { Outcome::Gone } else { Outcome::NotReady }
}

/// The message that reports show.
impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(code) = &self.code else {
            return write!(f, "{} returned no usable response: {}", self.call, self.message);
        };
        write!(f, "{} returned {code}: {}", self.call, self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_codes_become_outcomes() {
        use Call::{AssumeRole, DescribeInstances as Describe, ModifyInstanceMetadataOptions as Modify};
        let (young, old) = (Duration::seconds(5), Duration::minutes(16));
        let (again, wrong) = (Outcome::Failed { retry: true }, Outcome::Failed { retry: false });
        let rows = [
            (Modify, Some("DryRunOperation"), Some(412), young, false, Outcome::WouldEnforce),
            (Modify, Some("UnauthorizedOperation"), Some(403), young, false, Outcome::Denied),
            (Describe, Some("UnauthorizedOperation"), Some(403), young, false, Outcome::Denied),
            (Modify, Some("RequestLimitExceeded"), Some(503), young, false, Outcome::Throttled),
            (Describe, Some("EC2ThrottledException"), Some(503), young, false, Outcome::Throttled),
            (Modify, Some("IncorrectInstanceState"), Some(400), old, true, Outcome::NotReady),
            (Modify, Some("InvalidInstanceID.NotFound"), Some(400), young, false, Outcome::NotReady),
            (Modify, Some("InvalidInstanceID.NotFound"), Some(400), old, false, Outcome::NotReady),
            (Modify, Some("InvalidInstanceID.NotFound"), Some(400), young, true, Outcome::NotReady),
            (Modify, Some("InvalidInstanceID.NotFound"), Some(400), old, true, Outcome::Gone),
            // Cloud Custodian expects this spelling, which EC2 never sends.
            (Modify, Some("InvalidInstanceId.NotFound"), Some(400), old, true, wrong),
            (Modify, Some("InvalidInstanceID.Malformed"), Some(400), young, false, wrong),
            (Modify, Some("UnsupportedOperation"), Some(400), young, false, Outcome::Blocked),
            (Modify, Some("InvalidParameterValue"), Some(400), young, false, Outcome::Blocked),
            (Describe, Some("InvalidParameterValue"), Some(400), young, false, wrong),
            (Modify, Some("InternalError"), Some(500), young, false, again),
            (Modify, Some("Unavailable"), Some(503), young, false, again),
            (Modify, Some("ExpiredToken"), Some(400), young, false, again),
            (Modify, Some("SomethingNew"), Some(400), young, false, wrong),
            (AssumeRole, Some("AccessDenied"), Some(403), young, false, Outcome::Unreachable),
            (AssumeRole, Some("Throttling"), Some(400), young, false, Outcome::Unreachable),
            (AssumeRole, Some("RegionDisabledException"), Some(403), old, true, Outcome::Unreachable),
            (AssumeRole, None, None, young, false, Outcome::Unreachable),
            (Describe, Some("RequestLimitExceeded"), Some(503), young, false, Outcome::Throttled),
            (Describe, Some("InternalError"), Some(500), young, false, again),
            (Describe, Some("Unavailable"), Some(503), old, true, again),
            (Modify, Some("EC2ThrottledException"), Some(503), young, false, Outcome::Throttled),
            (Modify, Some("MissingParameter"), Some(400), young, false, wrong),
            (Modify, Some("InvalidParameterCombination"), Some(400), young, false, wrong),
            (Modify, Some("InvalidAction"), Some(400), young, false, wrong),
            (Modify, Some("AuthFailure"), Some(401), young, false, again),
            (Modify, Some("InvalidClientTokenId"), Some(403), young, false, again),
            (Modify, Some("TooMany"), Some(429), young, false, again),
            (Modify, None, Some(403), young, false, again),
            (Modify, None, None, young, false, again),
            (Modify, None, Some(200), young, false, again),
        ];
        for (call, code, status, age, redelivered, expected) in rows {
            let error = CallError { call, code: code.map(str::to_owned), message: "m".to_owned(), status };
            assert_eq!(
                error.outcome(age, redelivered),
                expected,
                "{call} {code:?} {status:?} {age} {redelivered}"
            );
            assert!(error.to_string().contains(code.unwrap_or("m")), "{code:?}: the message contains it");
        }
    }
}
