//! Faults on demand.

use std::time::Duration;

use serde::Deserialize;

use crate::request::Request;

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum FaultKind {
    /// `RequestLimitExceeded`, 503; for AssumeRole `Throttling`, 400.
    Throttle,
    /// `UnauthorizedOperation`, 403; for a dry run as well. For AssumeRole `AccessDenied`, 403.
    Deny,
    /// `InternalError`, 500; for AssumeRole `InternalFailure`, 500. The call has no effect.
    ServerError,
    /// No answer for so many milliseconds, or ever. The call has no effect.
    Hang(#[serde(default, deserialize_with = "milliseconds")] Option<Duration>),
    /// The connection is reset. The call has no effect.
    Reset,
    /// The answer is XML that ends too soon. The call has its effect.
    Malformed,
    /// The instance, or all where the fault names none, is not shown, and unknown to changes. It happens to describes
    /// that name no ids as well.
    NotVisible,
    /// The instances are terminated just before the call is carried out.
    Terminate,
    /// The instances are stopped just before the call is carried out.
    Stop,
    /// This error. The call has no effect.
    Error {
        /// EC2's or STS's error code.
        code: String,
        /// The HTTP status.
        status: u16,
        /// The message.
        message: String,
    },
}

impl FaultKind {
    /// Its name, as in JSON.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Throttle => "throttle",
            Self::Deny => "deny",
            Self::ServerError => "server-error",
            Self::Hang(_) => "hang",
            Self::Reset => "reset",
            Self::Malformed => "malformed",
            Self::NotVisible => "not-visible",
            Self::Terminate => "terminate",
            Self::Stop => "stop",
            Self::Error { .. } => "error",
        }
    }
}

/// The instances that are not shown to a call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hidden {
    all: bool,
    ids: Vec<String>,
}

impl Hidden {
    /// One more, or all.
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

/// How often a fault happens to the calls that it matches.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// Always.
    Always,
    /// So many times.
    Times(u32),
    /// With this probability, 0 to 1.
    Probability(f64),
}

/// Something that goes wrong with the calls that match.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// The action that it happens to; any where it is absent.
    pub action: Option<String>,
    /// An instance that the call must name; any where it is absent.
    pub instance: Option<String>,
    /// A parameter that the call must have, and its value, such as `["HttpTokens", "optional"]`; any where it is absent.
    pub parameter: Option<(String, String)>,
    /// The caller's account, or for AssumeRole that of the role which is to be assumed; any where it is absent.
    pub account: Option<String>,
    /// The Region; any where it is absent.
    pub region: Option<String>,
    /// How often.
    #[serde(default = "always")]
    pub when: When,
}

fn always() -> When {
    When::Always
}

impl Fault {
    /// A fault that happens to every call.
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

    /// Only to calls of this action.
    pub fn on(self, action: &str) -> Self {
        Self { action: Some(action.to_owned()), ..self }
    }

    /// Only to calls that name this instance.
    pub fn of(self, instance: &str) -> Self {
        Self { instance: Some(instance.to_owned()), ..self }
    }

    /// Only to calls that have this parameter with this value.
    pub fn with_parameter(self, name: &str, value: &str) -> Self {
        Self { parameter: Some((name.to_owned(), value.to_owned())), ..self }
    }

    /// Only in this account and Region.
    pub fn at(self, account: &str, region: &str) -> Self {
        Self { account: Some(account.to_owned()), region: Some(region.to_owned()), ..self }
    }

    /// Only so many times.
    pub fn times(self, times: u32) -> Self {
        Self { when: When::Times(times), ..self }
    }

    /// Only with this probability, 0 to 1.
    pub fn with_probability(self, probability: f64) -> Self {
        Self { when: When::Probability(probability), ..self }
    }

    fn matches(&self, request: &Request, ids: &[String]) -> bool {
        let is =
            |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        is(&self.action, &request.action)
            && (self.account.is_none() || self.account == request.target_account())
            && is(&self.region, &request.region)
            && self.parameter.as_ref().is_none_or(|(name, value)| request.parameters.get(name) == Some(value))
            && self.instance.as_ref().is_none_or(|id| ids.contains(id) || self.hides_from(request, ids))
    }

    /// Whether it hides instances from a call that may show any.
    fn hides_from(&self, request: &Request, ids: &[String]) -> bool {
        self.kind == FaultKind::NotVisible && request.action == "DescribeInstances" && ids.is_empty()
    }

    /// Whether it happens to this call; counts it if so.
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

    /// The instances of the call that it happens to.
    pub(crate) fn victims<'i>(&'i self, ids: &'i [String]) -> &'i [String] {
        self.instance.as_ref().map_or(ids, std::slice::from_ref)
    }
}
