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
    /// Whether the response ended before its end: what it says so far is not to be believed.
    pub is_cut_off: bool,
}

/// What a failed call means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallErrorKind {
    /// A dry run: EC2 would have made the change.
    DryRun,
    /// A permission is missing.
    Denied,
    /// The rate of calls is too high.
    Throttled,
    /// The instance cannot be changed in its present state.
    WrongState,
    /// EC2 does not know the instance.
    UnknownInstance,
    /// EC2 refuses the change by the configuration of the instance or of the account.
    Refused,
    /// The role in the instance's account cannot be assumed.
    Unreachable,
    /// The response ended too early, so that it says nothing: the same call may succeed at once.
    CutOff,
    /// EC2, the network or something between them failed: the same call may succeed at once.
    Transient,
    /// Anything else, codes that are new included. The same call may succeed later.
    Other,
}

impl CallErrorKind {
    /// Whether the call is tried again within the invocation: after throttles, 5xx, 408, 429, timeouts and lost connections.
    pub fn is_tried_again(self) -> bool {
        matches!(self, Self::Throttled | Self::CutOff | Self::Transient)
    }

    /// Whether the call may have had its effect, although its response was lost.
    pub fn may_have_effect(self) -> bool {
        matches!(self, Self::CutOff | Self::Transient | Self::Other)
    }
}

/// How long after its event an instance that EC2 does not return may still become visible.
pub const APPEARS_WITHIN: Duration = Duration::minutes(15);

impl CallError {
    /// The error of a call that got no response; `message` says why.
    pub fn without_response(call: Call, message: impl Into<String>) -> Self {
        Self { call, code: None, message: message.into(), status: None, is_cut_off: false }
    }

    /// What the error means.
    ///
    /// Codes: EC2 API reference, "Error codes for the Amazon EC2 API".
    pub fn kind(&self) -> CallErrorKind {
        use CallErrorKind::*;
        let is_change = self.call == Call::ModifyInstanceMetadataOptions;
        match self.code.as_deref() {
            _ if self.call == Call::AssumeRole => Unreachable,
            _ if self.is_cut_off => CutOff,
            Some("DryRunOperation") => DryRun,
            Some("UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException") => Denied,
            Some(code) if is_throttle(code) => Throttled,
            Some("IncorrectInstanceState" | "IncorrectState") => WrongState,
            Some("InvalidInstanceID.NotFound") => UnknownInstance,
            // InvalidParameterValue: InstanceMetadataTags=enabled, and a tag key that forbids it was added after the
            // decision. All values that we send are documented.
            Some("UnsupportedOperation" | "InvalidParameterValue") if is_change => Refused,
            Some("RequestTimeout" | "RequestTimeoutException") => Transient,
            _ if self.status.is_some_and(|status| status == 200 || is_callers_fault(status)) => Other,
            _ => Transient,
        }
    }

    /// The outcome for the instance. `age` is the time since the event that named it.
    ///
    /// A denied change is final: a policy denies it. Every other error is retried. A denied description is retried too, as
    /// a new role takes time to propagate. The dead-letter queue keeps what never succeeds.
    pub fn outcome(&self, age: Duration, redelivered: bool) -> Outcome {
        match self.kind() {
            CallErrorKind::DryRun => Outcome::WouldEnforce,
            CallErrorKind::Denied if self.call == Call::ModifyInstanceMetadataOptions => Outcome::Denied,
            CallErrorKind::Throttled => Outcome::Throttled,
            CallErrorKind::WrongState => Outcome::NotReady,
            // EC2 may have made a change whose response was cut off.
            CallErrorKind::CutOff if self.call == Call::DescribeInstances => Outcome::NotReady,
            CallErrorKind::UnknownInstance => unknown_instance(age, redelivered),
            CallErrorKind::Refused => Outcome::Blocked,
            CallErrorKind::Unreachable => Outcome::Unreachable,
            CallErrorKind::Denied
            | CallErrorKind::CutOff
            | CallErrorKind::Transient
            | CallErrorKind::Other => Outcome::Failed { retry: true },
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
}
