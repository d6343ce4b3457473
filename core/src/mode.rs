//! Whether changes are made or only checked.

use serde::Serialize;

/// Whether changes are made or only checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Mode {
    /// Changes are made.
    #[default]
    Enforce,
    /// Changes are sent with `DryRun=true`: EC2 reports whether it would make them.
    DryRun,
}

impl Mode {
    /// The mode of that name, as policies and reports spell it.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "enforce" => Some(Self::Enforce),
            "dry-run" => Some(Self::DryRun),
            _ => None,
        }
    }
}
