//! The policy: what it requires of which instances.

mod check;
mod conditions;
mod day;
mod document;
mod error;
mod json;
mod model;
mod pattern;
mod reads;
#[cfg(feature = "schema")]
mod schema;
mod summary;
#[cfg(test)]
mod tests;
mod warnings;

pub(crate) use day::{is_active, parse_date, today};
pub use error::{PolicyError, PolicyErrors};
pub use model::{Authority, Limits, Policy};
pub(crate) use model::{Effect, ExemptionLimits, Launches, OnUnknown, Requirements, TagRules, UsageGate};
pub use pattern::Pattern;
pub use warnings::PolicyWarning;
