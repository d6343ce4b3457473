//! Requirements, and where they come from.

use std::collections::BTreeMap;
use std::fmt;

use crate::metadata::{OptionName, Requirement};
use crate::text::Quoted;

/// The requirements for one instance, one per option.
pub(super) type SourcedRequirements = BTreeMap<OptionName, SourcedRequirement>;

/// A requirement for one option of an instance, and its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcedRequirement {
    /// What is required.
    pub requirement: Requirement,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where a requirement or an exemption comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// `baseline`.
    Baseline,
    /// The rule with that name.
    Rule(String),
    /// The instance's tag with that key.
    Tag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Baseline => f.write_str("baseline"),
            Self::Rule(name) => write!(f, "rule {}", Quoted(name)),
            Self::Tag(key) => write!(f, "tag {}", Quoted(key)),
        }
    }
}
