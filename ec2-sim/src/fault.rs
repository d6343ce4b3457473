//! Injected faults.

use std::time::Duration;

use serde::Deserialize;

use crate::request::Request;

/// The kind of a fault.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum FaultKind {
    /// `RequestLimitExceeded`, 503; for STS and CloudWatch `Throttling`, 400; for AWS Organizations
    /// `TooManyRequestsException`, 400.
    Throttle,
    /// `UnauthorizedOperation`, 403, also for a dry run; for STS and CloudWatch `AccessDenied`, 403; for AWS
    /// Organizations `AccessDeniedException`, 400.
    Deny,
    /// `InternalError`, 500; for STS `InternalFailure`, 500; for CloudWatch `InternalServiceError` (the shape
    /// `InternalServiceFault`), 500; for AWS Organizations `ServiceException`, 500. The call has no effect.
    ServerError,
    /// The response is sent after this time (milliseconds in JSON). The call takes effect at once. Other faults can
    /// apply to the same call.
    Delay(#[serde(deserialize_with = "duration")] Duration),
    /// No response for this time (milliseconds in JSON, an hour for `None`), then a reset. The call has no effect.
    Hang(#[serde(default, deserialize_with = "milliseconds")] Option<Duration>),
    /// The connection is reset. The call has no effect.
    Reset,
    /// The second half of the response is missing: the response has no length and its body ends with the connection.
    /// The call takes effect.
    Malformed,
    /// As `Malformed`, but the response ends just before the first occurrence of this text, such as `<tagSet>`. A
    /// response without the text is complete, and its call is recorded without this fault.
    MalformedBefore(String),
    /// Calls do not find the instance, or any instance if the fault names none. A fault with an instance also applies
    /// to DescribeInstances calls without ids.
    NotVisible,
    /// The instances are terminated just before the action runs.
    Terminate,
    /// The instances are stopped just before the action runs.
    Stop,
    /// GetMetricData returns the `StatusCode` `Forbidden` and no data for the instance, or for every query if the fault
    /// names no instance. It applies to results that end on the page, as do the two kinds below.
    Forbidden,
    /// GetMetricData returns `PartialData` and the first half of the data points, although no page follows.
    PartialData,
    /// GetMetricData returns `InternalError` and no data.
    InternalError,
    /// This error. The call has no effect.
    Error {
        /// The error code.
        code: String,
        /// The HTTP status.
        status: u16,
        /// The message.
        message: String,
    },
}

impl FaultKind {
    /// The number of bytes that are sent of a response. `None` if the response is complete.
    pub(crate) fn cut(&self, response: &[u8]) -> Option<usize> {
        match self {
            Self::Malformed => Some(response.len() / 2),
            // An empty text is before the first byte.
            Self::MalformedBefore(text) if text.is_empty() => Some(0),
            Self::MalformedBefore(text) => {
                response.windows(text.len()).position(|window| window == text.as_bytes())
            }
            _ => None,
        }
    }

    /// The name of the kind in JSON.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Throttle => "throttle",
            Self::Deny => "deny",
            Self::ServerError => "server-error",
            Self::Delay(_) => "delay",
            Self::Hang(_) => "hang",
            Self::Reset => "reset",
            Self::Malformed => "malformed",
            Self::MalformedBefore(_) => "malformed-before",
            Self::NotVisible => "not-visible",
            Self::Terminate => "terminate",
            Self::Stop => "stop",
            Self::Forbidden => "forbidden",
            Self::PartialData => "partial-data",
            Self::InternalError => "internal-error",
            Self::Error { .. } => "error",
        }
    }

    /// Whether it applies to results of GetMetricData instead of calls.
    pub(crate) fn is_of_results(&self) -> bool {
        matches!(self, Self::Forbidden | Self::PartialData | Self::InternalError)
    }
}

/// The instances that a call does not find.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hidden {
    all: bool,
    ids: Vec<String>,
}

impl Hidden {
    /// Hides an instance, or all for `None`.
    pub(crate) fn add(&mut self, id: Option<&str>) {
        self.all |= id.is_none();
        self.ids.extend(id.map(str::to_owned));
    }

    pub(crate) fn has(&self, id: &str) -> bool {
        self.all || self.ids.iter().any(|hidden| hidden == id)
    }
}

fn milliseconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
}

fn duration<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_millis)
}

/// How often a fault applies to the calls that it matches.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// Always.
    Always,
    /// This number of times.
    Times(u32),
    /// With this probability, 0 to 1.
    Probability(f64),
}

/// A fault that applies to matching calls.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// The kind of fault.
    pub kind: FaultKind,
    /// The action; any if absent.
    pub action: Option<String>,
    /// An instance that the call must name; any if absent.
    pub instance: Option<String>,
    /// A parameter that the call must have, and its value, such as `["HttpTokens", "optional"]`; any if absent.
    pub parameter: Option<(String, String)>,
    /// The caller's account, or for AssumeRole the account of the role; any if absent.
    pub account: Option<String>,
    /// The Region; any if absent.
    pub region: Option<String>,
    /// How often it applies.
    #[serde(default = "always")]
    pub when: When,
}

fn always() -> When {
    When::Always
}

impl Fault {
    /// A fault that applies to every call.
    pub fn new(kind: FaultKind) -> Self {
        Self {
            kind,
            action: None,
            instance: None,
            parameter: None,
            account: None,
            region: None,
            when: When::Always,
        }
    }

    /// Limits the fault to calls of this action.
    pub fn on(self, action: &str) -> Self {
        Self { action: Some(action.to_owned()), ..self }
    }

    /// Limits the fault to calls that name this instance.
    pub fn of(self, instance: &str) -> Self {
        Self { instance: Some(instance.to_owned()), ..self }
    }

    /// Limits the fault to calls that have this parameter with this value.
    pub fn with_parameter(self, name: &str, value: &str) -> Self {
        Self { parameter: Some((name.to_owned(), value.to_owned())), ..self }
    }

    /// Limits the fault to this account and Region.
    pub fn at(self, account: &str, region: &str) -> Self {
        Self { account: Some(account.to_owned()), region: Some(region.to_owned()), ..self }
    }

    /// Limits the fault to this number of calls.
    pub fn times(self, times: u32) -> Self {
        Self { when: When::Times(times), ..self }
    }

    /// Applies the fault with this probability, 0 to 1.
    pub fn with_probability(self, probability: f64) -> Self {
        Self { when: When::Probability(probability), ..self }
    }

    fn matches(&self, request: &Request, ids: &[String]) -> bool {
        let is =
            |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        is(&self.action, &request.action)
            && (self.kind != FaultKind::NotVisible || request.api.codec().is_none())
            && (self.account.is_none() || self.account == request.target_account())
            && is(&self.region, &request.region)
            && self.parameter.as_ref().is_none_or(|(name, value)| request.parameters.get(name) == Some(value))
            && self.instance.as_ref().is_none_or(|id| ids.contains(id) || self.hides_from(request, ids))
    }

    /// Whether it hides instances from a call that can return any instance.
    fn hides_from(&self, request: &Request, ids: &[String]) -> bool {
        self.kind == FaultKind::NotVisible && request.action == "DescribeInstances" && ids.is_empty()
    }

    /// Whether it applies to this call. Decreases the remaining count if it does.
    pub(crate) fn happens(&mut self, request: &Request, ids: &[String], chance: &mut fastrand::Rng) -> bool {
        if !self.matches(request, ids) {
            return false;
        }
        match &mut self.when {
            When::Always => true,
            When::Times(0) => false,
            When::Times(left) => {
                *left -= 1;
                true
            }
            When::Probability(probability) => chance.f64() < *probability,
        }
    }

    /// The instances that it terminates or stops.
    pub(crate) fn victims<'i>(&'i self, ids: &'i [String]) -> &'i [String] {
        self.instance.as_ref().map_or(ids, std::slice::from_ref)
    }
}
