//! What an audit found: instances, their sources, and what could not be read.

use imds_core::ids::{AccountId, AccountRegion, InstanceId, Region};
use imds_core::instance::InstanceState;
use imds_core::metadata::{Change, MetadataOptions};
use imds_core::mode::Mode;
use imds_core::source::Source;
use imds_core::usage::Use;
use imds_engine::reconcile::Assessed;
use serde::Serialize;

use crate::decision;

/// An instance and the decision on it. Text of tags is as in EC2: whoever writes it out escapes it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// The account that was audited.
    pub account: AccountId,
    /// The Region.
    pub region: Region,
    /// The instance.
    pub instance_id: InstanceId,
    /// Its `Name` tag.
    pub name: Option<String>,
    /// Its state, as EC2 spells it; `None` if EC2 does not report it.
    pub state: Option<&'static str>,
    /// `compliant`, `change`, `exempt`, `out-of-scope`, `in-use`, `blocked`, `needs-usage` or `not-ready`.
    pub decision: &'static str,
    /// Whether the policy only sends dry runs.
    pub mode: Mode,
    /// Its use of IMDSv1, if it is known.
    pub usage: Option<Use>,
    /// What it came from, if that is known.
    pub source: Option<Source>,
    /// Its options now.
    pub before: MetadataOptions,
    /// What would be changed.
    pub change: Option<Change>,
    /// Why.
    pub reasons: Vec<String>,
    /// What was ignored or left out, or could not be read.
    pub warnings: Vec<String>,
}

impl Row {
    /// The row of an instance of an account and Region.
    pub fn new(account_region: &AccountRegion, assessed: Assessed, source: Option<Source>) -> Self {
        let Assessed { instance, decision, usage, usage_error } = assessed;
        let unknown = usage_error.map(|error| format!("its use of IMDSv1 is not known: {error}"));
        Self {
            account: account_region.account.clone(),
            region: account_region.region.clone(),
            name: instance.tags.get("Name").cloned(),
            instance_id: instance.id,
            state: instance.state.map(InstanceState::as_str),
            decision: decision::word(&decision.verdict),
            mode: decision.mode,
            usage,
            source,
            before: instance.options,
            change: decision::change(&decision.verdict).copied(),
            reasons: decision::reasons(&decision.verdict),
            warnings: decision.warnings.iter().map(ToString::to_string).chain(unknown).collect(),
        }
    }
}

/// A source that instances with findings came from, and how to mend it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceRow {
    /// The account.
    pub account: AccountId,
    /// The Region.
    pub region: Region,
    /// What instances came from.
    pub source: Source,
    /// How many instances with findings it accounts for.
    pub instances: usize,
    /// What it sets, in a sentence; what is unknown is said.
    pub finding: String,
    /// The steps that mend it, in order.
    pub fixes: Vec<Fix>,
}

/// A step that mends a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fix {
    /// What the step does, in a sentence.
    pub text: String,
    /// The exact command for a POSIX shell, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// What ends a report: everything but the instances.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ending {
    /// When the audit began, in RFC 3339.
    pub created_at: String,
    /// Whether every account, Region and instance was read.
    pub complete: bool,
    /// What the policy requires, in sentences.
    pub policy: Vec<String>,
    /// The number of days over which the use of IMDSv1 was asked; 0 if it was not.
    pub usage_days: u16,
    /// The sources of findings, those with most instances first.
    pub sources: Vec<SourceRow>,
    /// What could not be read, one sentence each, with what to do.
    pub errors: Vec<String>,
    /// What is unknown besides, one sentence each.
    pub warnings: Vec<String>,
}
