//! What is wrong with a policy document.

use std::fmt;

/// An error in a policy document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyError {
    /// Where: a path such as `rules[0].when.tags`, or a line and column if the document is not JSON.
    pub place: String,
    /// What is wrong, and how to fix it.
    pub problem: String,
}

/// All errors in a policy document; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyErrors(pub Vec<PolicyError>);

impl PolicyErrors {
    /// One line per error: the document, the place, then the problem.
    pub fn in_document(&self, document: &str) -> String {
        let lines = self.0.iter().map(|error| format!("{document}: {}: {}", error.place, error.problem));
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// One line per error: the place, then the problem.
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
