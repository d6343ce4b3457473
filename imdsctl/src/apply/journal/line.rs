//! The lines of a journal.

use imds_core::ids::{AccountId, AccountRegion, InstanceId, Region};
use imds_core::metadata::{Change, MetadataOptions};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fields;

/// The version of the format that this program writes and reads.
pub const VERSION: u32 = 1;

/// A line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Line {
    /// The first one.
    Journal(Header),
    /// A run begins.
    Run(Run),
    /// A change is about to be sent.
    Intention(Intention),
    /// What became of it.
    Result(Sent),
    /// What became of the instance in a run.
    Outcome(Ended),
}

/// Which plan the journal belongs to, and what restoring needs of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    /// [`VERSION`].
    pub version: u32,
    /// The SHA-256 of the plan's file, in hexadecimal digits.
    pub plan_sha256: String,
    /// The policy's document.
    pub policy: Value,
    /// The role that is assumed in other accounts.
    pub role: Option<String>,
}

/// A run of the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// When it began, in RFC 3339.
    pub at: String,
    /// The ARN of whoever runs it.
    pub caller: String,
    /// The ID of the process.
    pub pid: u32,
}

/// An instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// When, in RFC 3339.
    pub at: String,
    /// The account that owns it.
    #[serde(deserialize_with = "fields::account")]
    pub account: AccountId,
    /// The Region it is in.
    #[serde(deserialize_with = "fields::region")]
    pub region: Region,
    /// Its ID.
    #[serde(deserialize_with = "fields::instance_id")]
    pub instance_id: InstanceId,
}

impl Place {
    /// The account and Region.
    pub fn account_region(&self) -> AccountRegion {
        AccountRegion { account: self.account.clone(), region: self.region.clone() }
    }
}

/// A change that is about to be sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Intention {
    /// The instance.
    #[serde(flatten)]
    pub place: Place,
    /// The options that are changed, as last observed.
    #[serde(deserialize_with = "fields::options")]
    pub before: MetadataOptions,
    /// What is sent.
    #[serde(deserialize_with = "fields::change")]
    pub change: Change,
}

/// What became of a change that was to be sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sent {
    /// The instance.
    #[serde(flatten)]
    pub place: Place,
    /// What was sent.
    #[serde(deserialize_with = "fields::change")]
    pub change: Change,
    /// What EC2 said.
    pub result: SentWord,
    /// EC2's code and message, or why there was no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Whether EC2 may have made the change although it is not accepted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_be_made: bool,
}

/// What EC2 said of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SentWord {
    /// It accepted the change.
    Accepted,
    /// It did not, or did not answer.
    Refused,
    /// The rate limit did not allow it in time, or the run was stopped before.
    NotSent,
}

/// What became of an instance in a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// The instance.
    #[serde(flatten)]
    pub place: Place,
    /// The outcome.
    pub outcome: String,
    /// Why.
    pub reasons: Vec<String>,
    /// What was ignored or left out.
    pub warnings: Vec<String>,
}
