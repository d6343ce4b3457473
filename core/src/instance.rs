//! An EC2 instance: the parts of a `DescribeInstances` response that decisions and reports use.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use time::OffsetDateTime;

use crate::ids::{AccountId, InstanceId, InvalidId};
use crate::metadata::{MetadataOptions, OptionName};

/// An instance as EC2 described it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its id.
    pub id: InstanceId,
    /// The account that owns it, its reservation's `OwnerId`; `None` if EC2 does not report it.
    pub owner: Option<AccountId>,
    /// Its state; `None` if EC2 does not report it.
    pub state: Option<InstanceState>,
    /// When it was launched, or last started; `None` if EC2 does not report it.
    pub launched: Option<OffsetDateTime>,
    /// When it first ran, the `AttachTime` of its primary network interface, which a stop and start does not renew;
    /// `None` if EC2 does not report it.
    pub first_ran: Option<OffsetDateTime>,
    /// The image it was launched from; `None` if EC2 does not report it.
    pub image: Option<String>,
    /// Its tags, by key. They are untrusted input: anyone who can tag the instance sets them.
    pub tags: BTreeMap<String, String>,
    /// Its metadata options.
    pub options: MetadataOptions,
    /// Whether its options are in force; `None` if EC2 does not report it.
    pub options_state: Option<OptionsState>,
    /// The AWS service or other operator that manages it for the owner (`Operator.Managed`), if any.
    pub managed_by: Option<String>,
}

impl Instance {
    /// Whether it is terminated or being terminated. `false` if EC2 does not report its state.
    pub fn is_ending(&self) -> bool {
        self.state.is_some_and(InstanceState::is_final)
    }
}

/// An instance with the EC2 API's own values, independent of the client.
#[derive(Debug, Clone, Default)]
pub struct Words<'a> {
    /// `InstanceId`.
    pub id: &'a str,
    /// The reservation's `OwnerId`.
    pub owner: Option<&'a str>,
    /// `State.Name`.
    pub state: Option<&'a str>,
    /// `LaunchTime`.
    pub launched: Option<OffsetDateTime>,
    /// `NetworkInterfaces[].Attachment.AttachTime` of the interface with `DeviceIndex` 0.
    pub first_ran: Option<OffsetDateTime>,
    /// `ImageId`.
    pub image: Option<&'a str>,
    /// `Tags`, by key.
    pub tags: BTreeMap<String, String>,
    /// `MetadataOptions`, those that EC2 reported.
    pub options: Vec<(OptionName, Cow<'a, str>)>,
    /// `MetadataOptions.State`.
    pub options_state: Option<&'a str>,
    /// `Operator.Principal`, if `Operator.Managed` is true; empty if EC2 reports no principal.
    pub managed_by: Option<&'a str>,
}

impl TryFrom<Words<'_>> for Instance {
    type Error = InvalidId;

    /// Treats unknown values as not reported, except for a state. Only an invalid id is an error.
    fn try_from(words: Words<'_>) -> Result<Self, InvalidId> {
        let operator = |name: &str| if name.is_empty() { "another operator" } else { name }.to_owned();
        Ok(Self {
            id: InstanceId::new(words.id)?,
            owner: words.owner.and_then(|owner| AccountId::new(owner).ok()),
            state: words.state.filter(|name| !name.is_empty()).map(InstanceState::or_pending),
            launched: words.launched,
            first_ran: words.first_ran,
            image: words.image.filter(|image| !image.is_empty()).map(str::to_owned),
            tags: words.tags,
            options: words.options.iter().filter_map(|(name, value)| name.parse(value)).collect(),
            options_state: words.options_state.and_then(OptionsState::from_name),
            managed_by: words.managed_by.map(operator),
        })
    }
}

/// The life cycle of an instance, `InstanceState.Name`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstanceState {
    /// Being launched or started.
    Pending,
    /// In service.
    Running,
    /// Being stopped.
    Stopping,
    /// Off; it can be started again.
    Stopped,
    /// Being terminated.
    ShuttingDown,
    /// Permanently deleted; EC2 still describes it for about an hour.
    Terminated,
}

impl InstanceState {
    /// The state of that name, as EC2 spells it.
    pub fn from_name(name: &str) -> Option<Self> {
        use InstanceState::*;
        [Pending, Running, Stopping, Stopped, ShuttingDown, Terminated]
            .into_iter()
            .find(|state| state.as_str() == name)
    }

    /// The state of that name. A name that is new to this version must not count as final.
    fn or_pending(name: &str) -> Self {
        Self::from_name(name).unwrap_or(Self::Pending)
    }

    /// The name as EC2 spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::ShuttingDown => "shutting-down",
            Self::Terminated => "terminated",
        }
    }

    /// Whether the instance is terminated or being terminated, and can never run again.
    pub fn is_final(self) -> bool {
        matches!(self, Self::ShuttingDown | Self::Terminated)
    }
}

impl fmt::Display for InstanceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `MetadataOptions.State`: whether the options that EC2 reports are in force on the instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OptionsState {
    /// Accepted, not yet in force. A stopped instance applies the options at its next start.
    Pending,
    /// In force.
    Applied,
}

impl OptionsState {
    /// The state of that name, as EC2 spells it.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "pending" => Some(Self::Pending),
            "applied" => Some(Self::Applied),
            _ => None,
        }
    }
}

/// A value that the decision needs and that EC2 did not report. `Display` is its path in the output of
/// `aws ec2 describe-instances`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Missing {
    /// The instance's state.
    State,
    /// The present value of an option that is required.
    Option(OptionName),
    /// When it first ran, if a rule has a condition on that.
    FirstRan,
    /// Its image, if a rule has a condition on that.
    Image,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State => f.write_str("State.Name"),
            Self::Option(name) => write!(f, "MetadataOptions.{name}"),
            Self::FirstRan => f.write_str("NetworkInterfaces[].Attachment.AttachTime"),
            Self::Image => f.write_str("ImageId"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_values_are_treated_as_not_reported_and_new_states_as_not_final() {
        let words = Words {
            id: "i-01234567",
            owner: Some("nobody"),
            state: Some("hibernated"),
            options: vec![
                (OptionName::HttpTokens, "required".into()),
                (OptionName::HttpEndpoint, "sometimes".into()),
            ],
            options_state: Some("rejected"),
            managed_by: Some(""),
            ..Words::default()
        };
        let instance = Instance::try_from(words).unwrap();
        assert_eq!((instance.owner, instance.state), (None, Some(InstanceState::Pending)));
        assert_eq!(instance.options, OptionName::HttpTokens.parse("required").into_iter().collect());
        assert_eq!(
            (instance.options_state, instance.managed_by.as_deref()),
            (None, Some("another operator"))
        );
        for state in [None, Some("")] {
            let words = Words { id: "i-01234567", state, ..Words::default() };
            assert_eq!(Instance::try_from(words).unwrap().state, None, "{state:?}");
        }
        assert!(Instance::try_from(Words { id: "i-*", ..Words::default() }).is_err());
    }
}
