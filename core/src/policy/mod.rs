//! The policy: what it requires of which instances.

mod check;
mod day;
mod document;
mod ending;
mod error;
mod json;
mod model;
mod pattern;
mod reads;
mod rule_label;
#[cfg(feature = "schema")]
mod schema;
mod summary;
#[cfg(test)]
mod tests;
mod usage_gate;
mod warnings;

pub(crate) use day::{is_active, parse_date};
pub use day::{is_ending, today};
pub use ending::{Ending, EndingKind};
pub use error::{PolicyError, PolicyErrors};
pub use model::{Authority, Limits, Policy};
pub(crate) use model::{Effect, ExemptionLimits, Requirements, TagRules};
pub use pattern::Pattern;
pub use rule_label::RuleLabel;
pub(crate) use usage_gate::{Launches, OnUnknown, UsageGate};
pub use warnings::PolicyWarning;
