//! Requirements, and where they come from.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::metadata::{OptionName, Requirement};
use crate::policy::RuleLabel;
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
    /// That rule.
    Rule(Arc<RuleLabel>),
    /// The instance's tag with that key.
    Tag(String),
}

impl Origin {
    /// The owner and the ticket of a rule, to follow a sentence that names it; empty if there are none.
    pub(super) fn responsible(&self) -> String {
        match self {
            Self::Rule(label) => label.responsible(),
            Self::Baseline | Self::Tag(_) => String::new(),
        }
    }
}

/// What requires what, as a sentence without its end.
impl fmt::Display for SourcedRequirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} requires {}{}", self.origin, self.requirement, self.origin.responsible())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Baseline => f.write_str("baseline"),
            Self::Rule(label) => write!(f, "rule {label}"),
            Self::Tag(key) => write!(f, "tag {}", Quoted(key)),
        }
    }
}
