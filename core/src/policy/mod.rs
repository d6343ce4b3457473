//! The policy: what it requires of which instances.

mod check;
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
mod usage_gate;
mod warnings;

pub(crate) use day::{is_active, parse_date, today};
pub use error::{PolicyError, PolicyErrors};
pub use model::{Authority, Limits, Policy};
pub(crate) use model::{Effect, ExemptionLimits, Requirements, TagRules};
pub use pattern::Pattern;
pub(crate) use usage_gate::{Launches, OnUnknown, UsageGate};
pub use warnings::PolicyWarning;
