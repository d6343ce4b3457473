//! What an invocation did, as it is told: the function's answer, log lines and metrics.

pub mod log;
pub mod metrics;

use std::collections::BTreeMap;

use imds_core::outcome::{InstanceOutcome, Mode, Outcome};
use imds_core::trigger::Ignored;
use serde::Serialize;

/// What an invocation did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Whether it changed anything, or only asked.
    pub mode: Mode,
    /// How many instances had which outcome.
    pub counts: BTreeMap<&'static str, usize>,
    /// One entry an instance.
    pub outcomes: Vec<InstanceOutcome>,
    /// How many instances have no entry, as there are too many for an answer: their outcomes are in the log.
    #[serde(skip_serializing_if = "is_zero")]
    pub only_logged: usize,
    /// Why events were ignored, a sentence an event.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<String>,
    /// Whether one of them concerns us and could not be read.
    #[serde(skip)]
    pub has_unusable: bool,
    /// Why the instances of an event could not be found out, a sentence an event.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unresolved: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Report {
    /// A report of nothing yet.
    pub fn new(mode: Mode) -> Self {
        Self { mode, ..Self::default() }
    }

    /// Notes an event that is ignored.
    pub fn ignore(&mut self, why: &Ignored) {
        self.has_unusable |= why.is_unusable();
        self.ignored.push(why.to_string());
    }

    /// Counts one instance.
    pub fn count(&mut self, outcome: Outcome) {
        *self.counts.entry(outcome.as_str()).or_default() += 1;
    }
}
