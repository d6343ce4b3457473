//! An EC2 instance in our words: what `DescribeInstances` said of it, as far as a decision or a report needs it.

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
    /// The account that owns it, its reservation's `OwnerId`; `None` where EC2 does not say.
    pub owner: Option<AccountId>,
    /// Where it is in its life.
    pub state: InstanceState,
    /// When it was launched, or last started; `None` where EC2 does not say.
    pub launched: Option<OffsetDateTime>,
    /// Its tags, by key. Whoever launches an instance writes them: they are hostile input.
    pub tags: BTreeMap<String, String>,
    /// Its metadata options.
    pub options: MetadataOptions,
    /// Whether its latest change of options has reached it; `None` where EC2 does not say.
    pub options_state: Option<OptionsState>,
    /// The AWS service or other operator that manages it in the owner's place (`Operator.Managed`), if one does.
    pub managed_by: Option<String>,
}

/// An instance in EC2's own words, whichever client brought them.
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
    /// `Tags`, by key.
    pub tags: BTreeMap<String, String>,
    /// `MetadataOptions`, as far as they were said.
    pub options: Vec<(OptionName, Cow<'a, str>)>,
    /// `MetadataOptions.State`.
    pub options_state: Option<&'a str>,
    /// `Operator.Principal`, where `Operator.Managed` is true; empty where it has no name.
    pub managed_by: Option<&'a str>,
}

impl TryFrom<Words<'_>> for Instance {
    type Error = InvalidId;

    /// Takes what is known here. A word that is new is as if EC2 had not said it; only the id must be one.
    fn try_from(words: Words<'_>) -> Result<Self, InvalidId> {
        let operator = |name: &str| if name.is_empty() { "another operator" } else { name }.to_owned();
        Ok(Self {
            id: InstanceId::new(words.id)?,
            owner: words.owner.and_then(|owner| AccountId::new(owner).ok()),
            // A state that is new to us is at least not known to be final.
            state: words.state.and_then(InstanceState::from_name).unwrap_or(InstanceState::Pending),
            launched: words.launched,
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
    /// On its way to stopped.
    Stopping,
    /// Off; it can be started again.
    Stopped,
    /// On its way to terminated.
    ShuttingDown,
    /// Gone for good, though EC2 still describes it for about an hour.
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

    /// Whether there is no way back from this state.
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
    /// Accepted, on its way; a stopped instance takes it at its next start.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_new_are_as_if_they_were_not_said() {
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
        assert_eq!((instance.owner, instance.state), (None, InstanceState::Pending));
        assert_eq!(instance.options, OptionName::HttpTokens.parse("required").into_iter().collect());
        assert_eq!(
            (instance.options_state, instance.managed_by.as_deref()),
            (None, Some("another operator"))
        );
        assert!(Instance::try_from(Words { id: "i-*", ..Words::default() }).is_err());
    }
}
