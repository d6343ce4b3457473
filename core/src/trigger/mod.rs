//! EventBridge event → which instances to describe.
//!
//! An event only names instances. Its tags and options are never used, because it may be minutes old.

mod named;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::ids::{AccountId, AccountRegion, Region};
use crate::policy::Policy;
use crate::selector::InstanceSelector;
use crate::text::Quoted;
use named::Named;

/// What an event names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// The kind of event.
    pub kind: TriggerKind,
    /// Account and Region, from the envelope that EventBridge itself fills in.
    pub account_region: AccountRegion,
    /// When it happened, from the envelope.
    pub time: OffsetDateTime,
    /// The instances it names.
    pub instances: InstanceSelector,
    /// What it has in place of further instance ids: texts that are none, escaped and in quotation marks, or other
    /// JSON. The instances that it does name need no wait, but the event is not done.
    pub unreadable: Vec<String>,
}

/// The kinds of event, in order of precedence. If several events in a batch name one instance, the instance is
/// reported under the first of their kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TriggerKind {
    /// CloudTrail recorded `RunInstances`.
    Launch,
    /// CloudTrail recorded `ModifyInstanceMetadataOptions`, which may be our own call.
    Drift,
    /// A tag that the policy reads was added, changed or removed.
    TagChange,
    /// An instance is now running or stopped.
    StateChange,
    /// A sweep of every instance, by schedule or on demand.
    Sweep,
}

/// Why an event gives no trigger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoTrigger {
    /// The event is done: it names no instance that matters.
    #[error("{0}")]
    Ignored(Ignored),
    /// The event has the source and detail-type of one that matters, but cannot be read, for example because AWS changed
    /// its format. A retry helps only after the function was updated, so the event must be kept.
    #[error("the event cannot be read: {field} is missing or malformed")]
    Unreadable {
        /// The field that is missing or malformed.
        field: &'static str,
    },
}

/// Why an event is ignored. This is not an error: EventBridge rules may match events that are not needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ignored {
    /// Not an EventBridge event.
    NotAnEvent,
    /// An event with a source and detail-type that are not handled.
    Unrelated {
        /// The event's source.
        source: String,
        /// The event's detail-type.
        detail_type: String,
    },
    /// A CloudTrail record of another call.
    OtherCall(String),
    /// The call failed: nothing was launched or changed.
    FailedCall(String),
    /// A change to a state that requires no action.
    OtherState(String),
    /// A change of tags that the policy does not read.
    OtherTags,
    /// A change of tags on a resource that is not an instance.
    OtherResource(String),
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnEvent => f.write_str("not an EventBridge event: source or detail-type is missing"),
            Self::Unrelated { source, detail_type } => {
                write!(f, "source {} with detail-type {} is not handled", Quoted(source), Quoted(detail_type))
            }
            Self::OtherCall(name) => write!(f, "the call {} is not handled", Quoted(name)),
            Self::FailedCall(code) => write!(f, "the call failed with {}", Quoted(code)),
            Self::OtherState(state) => write!(f, "the state {} requires no action", Quoted(state)),
            Self::OtherTags => f.write_str("the policy reads none of the changed tags"),
            Self::OtherResource(kind) => write!(f, "tags of {} are not handled", Quoted(kind)),
        }
    }
}

impl Trigger {
    /// Reads one EventBridge event; `policy` determines which tags matter.
    ///
    /// # Errors
    /// Why the event gives no trigger. A retry gives the same result.
    pub fn from_event(event: &Value, policy: &Policy) -> Result<Self, NoTrigger> {
        let (Some(source), Some(detail_type)) = (text(event, "/source"), text(event, "/detail-type")) else {
            return Err(NoTrigger::Ignored(Ignored::NotAnEvent));
        };
        let Named { kind, instances, unreadable } = match (source, detail_type) {
            ("aws.ec2", "AWS API Call via CloudTrail") => named::by_call(event)?,
            ("aws.ec2", "EC2 Instance State-change Notification") => named::by_state_change(event)?,
            ("aws.tag", "Tag Change on Resource") => named::by_tag_change(event, policy)?,
            // Only AWS can send events whose source begins with `aws.`, so a sweep on demand has its own source.
            ("imds-enforcer", "Sweep") | ("aws.events", "Scheduled Event") => Named::everything(),
            _ => {
                let (source, detail_type) = (short(source), short(detail_type));
                return Err(NoTrigger::Ignored(Ignored::Unrelated { source, detail_type }));
            }
        };
        let time = time_at(event, "/time").ok_or(NoTrigger::Unreadable { field: "time" })?;
        let account = text(event, "/account").and_then(|account| AccountId::new(account).ok());
        let region = text(event, "/region").and_then(|region| Region::new(region).ok());
        let account_region = AccountRegion {
            account: account.ok_or(NoTrigger::Unreadable { field: "account" })?,
            region: region.ok_or(NoTrigger::Unreadable { field: "region" })?,
        };
        Ok(Self { kind, account_region, time, instances, unreadable })
    }
}

fn text<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    value.pointer(pointer)?.as_str()
}

fn time_at(value: &Value, pointer: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text(value, pointer)?, &Rfc3339).ok()
}

/// Foreign text, cut before it is stored.
fn short(text: &str) -> String {
    text.chars().take(64).collect()
}
