//! The result of an invocation: the function's response, log lines and metrics.

pub mod log;
pub mod metrics;
pub mod outcome_event;
#[cfg(test)]
mod sample;

use std::collections::BTreeMap;

use imds_core::mode::Mode;
use imds_core::outcome::{InstanceOutcome, Outcome};
use imds_core::trigger::Ignored;
use serde::Serialize;

/// The result of an invocation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Whether it changed instances, or only sent dry runs.
    pub mode: Mode,
    /// The number of instances by outcome.
    pub counts: BTreeMap<&'static str, usize>,
    /// One entry for each instance.
    pub outcomes: Vec<InstanceOutcome>,
    /// The number of instances without an entry, because the response has a size limit. Their outcomes are in the log.
    #[serde(skip_serializing_if = "is_zero")]
    pub only_logged: usize,
    /// Why events were ignored, one sentence for each event.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<String>,
    /// Why the instances of an event could not be determined, one sentence for each event.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unresolved: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Report {
    /// Creates an empty report.
    pub fn new(mode: Mode) -> Self {
        Self { mode, ..Self::default() }
    }

    /// Records an ignored event.
    pub fn ignore(&mut self, why: &Ignored) {
        self.ignored.push(why.to_string());
    }

    /// Counts the outcome of one instance.
    pub fn count(&mut self, outcome: Outcome) {
        *self.counts.entry(outcome.as_str()).or_default() += 1;
    }
}
