//! A failed call to AWS, and what it means: every classification of error codes.

#[cfg(test)]
mod tests;

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
    /// `cloudwatch:GetMetricData`.
    GetMetricData,
    /// `events:PutEvents`.
    PutEvents,
    /// `sts:GetCallerIdentity`.
    GetCallerIdentity,
    /// `ec2:DescribeRegions`.
    DescribeRegions,
    /// `ec2:DescribeLaunchTemplateVersions`.
    DescribeLaunchTemplateVersions,
    /// `ec2:DescribeImages`.
    DescribeImages,
    /// `ec2:ModifyInstanceMetadataDefaults`.
    ModifyInstanceMetadataDefaults,
    /// `organizations:ListAccounts`.
    ListAccounts,
    /// `organizations:ListAccountsForParent`.
    ListAccountsForParent,
    /// `organizations:ListOrganizationalUnitsForParent`.
    ListOrganizationalUnitsForParent,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DescribeInstances => "ec2:DescribeInstances",
            Self::ModifyInstanceMetadataOptions => "ec2:ModifyInstanceMetadataOptions",
            Self::GetInstanceMetadataDefaults => "ec2:GetInstanceMetadataDefaults",
            Self::AssumeRole => "sts:AssumeRole",
            Self::GetMetricData => "cloudwatch:GetMetricData",
            Self::PutEvents => "events:PutEvents",
            Self::GetCallerIdentity => "sts:GetCallerIdentity",
            Self::DescribeRegions => "ec2:DescribeRegions",
            Self::DescribeLaunchTemplateVersions => "ec2:DescribeLaunchTemplateVersions",
            Self::DescribeImages => "ec2:DescribeImages",
            Self::ModifyInstanceMetadataDefaults => "ec2:ModifyInstanceMetadataDefaults",
            Self::ListAccounts => "organizations:ListAccounts",
            Self::ListAccountsForParent => "organizations:ListAccountsForParent",
            Self::ListOrganizationalUnitsForParent => "organizations:ListOrganizationalUnitsForParent",
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

impl std::error::Error for CallError {}

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

    /// The code and the message, or why there was no response.
    pub fn details(&self) -> String {
        match &self.code {
            Some(code) => format!("{code}: {}", self.message),
            None => self.message.clone(),
        }
    }

    /// What the error means.
    ///
    /// Codes: EC2 API reference, "Error codes for the Amazon EC2 API"; CloudWatch API reference, "Common Errors", and
    /// `Forbidden`, the status of one result.
    pub fn kind(&self) -> CallErrorKind {
        use CallErrorKind::*;
        let is_change = self.call == Call::ModifyInstanceMetadataOptions;
        let is_usage = self.call == Call::GetMetricData;
        match self.code.as_deref() {
            _ if self.call == Call::AssumeRole => Unreachable,
            _ if self.is_cut_off => CutOff,
            Some("DryRunOperation") => DryRun,
            Some("UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException") => Denied,
            Some("NotAuthorizedForSourceException" | "NotAuthorizedForDetailTypeException") => Denied,
            Some("Forbidden" | "NotAuthorized") if is_usage => Denied,
            // CBOR that ends too early cannot be read, so that the SDK finds no code.
            None if is_usage && self.status == Some(200) => CutOff,
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
            | "TooManyRequestsException"
    )
}

/// Whether the error code means that the credentials of the call have expired.
pub fn is_expired(code: &str) -> bool {
    matches!(code, "ExpiredToken" | "ExpiredTokenException" | "RequestExpired")
}

/// The outcome for an instance that EC2 does not know. Right after its launch, it may not be visible yet.
pub fn unknown_instance(age: Duration, redelivered: bool) -> Outcome {
    if redelivered && age >= APPEARS_WITHIN { Outcome::Gone } else { Outcome::NotReady }
}

/// The message that reports show.
impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.code.is_some() { "" } else { "no usable response: " };
        write!(f, "{} returned {what}{}", self.call, self.details())
    }
}
