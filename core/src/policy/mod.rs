//! The policy: what is required of which instance.

mod parse;

use std::collections::BTreeMap;
use std::fmt;

use crate::metadata::{HttpTokens, OptionName, OptionValue, Requirement};

/// A policy that has been checked: it does not contradict itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// What is required of every instance.
    pub(crate) baseline: Requirements,
}

/// At most one requirement an option.
pub(crate) type Requirements = BTreeMap<OptionName, Requirement>;

impl Policy {
    /// Reads a policy document (JSON).
    ///
    /// # Errors
    /// Everything that is wrong with the document, each with its place; trying again changes nothing.
    pub fn parse(document: &str) -> Result<Self, PolicyErrors> {
        parse::parse(document)
    }
}

/// The policy where none is configured: `{"baseline": {"HttpTokens": "required"}}`.
impl Default for Policy {
    fn default() -> Self {
        let required = Requirement::Exactly(OptionValue::HttpTokens(HttpTokens::Required));
        Self { baseline: Requirements::from([(OptionName::HttpTokens, required)]) }
    }
}

/// One thing that is wrong with a policy document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyError {
    /// Where: a path such as `baseline.HttpTokens`, or a line and column where the document is not JSON.
    pub place: String,
    /// What is wrong there, and what would be right.
    pub problem: String,
}

/// Everything that is wrong with a policy document; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyErrors(pub Vec<PolicyError>);

/// One line an error: its place, then the problem.
impl fmt::Display for PolicyErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { "\n" };
            write!(f, "{separator}{}: {}", error.place, error.problem)?;
        }
        Ok(())
    }
}

impl std::error::Error for PolicyErrors {}
