//! An EC2 instance in our words: what `DescribeInstances` said of it, as far as a decision or a report needs it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::ids::InstanceId;
use crate::metadata::MetadataOptions;

/// An instance as EC2 described it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its id.
    pub id: InstanceId,
    /// Where it is in its life.
    pub state: InstanceState,
    /// Its tags, by key. Whoever launches an instance writes them: they are hostile input.
    pub tags: BTreeMap<String, String>,
    /// Its metadata options.
    pub options: MetadataOptions,
    /// Whether its latest change of options has reached it; `None` where EC2 does not say.
    pub options_state: Option<OptionsState>,
    /// The AWS service or other operator that manages it in the owner's place (`Operator.Managed`), if one does.
    pub managed_by: Option<String>,
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
