//! Whether changes are made or only checked.

use serde::Serialize;

/// Whether changes are made or only checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Changes are made.
    #[default]
    Enforce,
    /// Changes are sent with `DryRun=true`: EC2 reports whether it would make them.
    DryRun,
}
