//! EventBridge event → which instances to describe.
//!
//! An event only names instances. Its tags and options are never used, because it may be minutes old.

mod field;
mod kind;
mod named;
mod no_trigger;
#[cfg(test)]
mod tests;

use serde_json::Value;
use time::OffsetDateTime;

use crate::ids::{AccountId, AccountRegion, Region};
use crate::policy::Policy;
use crate::selector::InstanceSelector;
use field::{short, text, time_at};
pub use kind::TriggerKind;
use named::Named;
pub use no_trigger::{Ignored, NoTrigger};

/// What an event names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// The kind of event.
    pub kind: TriggerKind,
    /// Account and Region, from the envelope that EventBridge itself fills in.
    pub account_region: AccountRegion,
    /// When it happened, from the envelope.
    pub time: OffsetDateTime,
    /// The event's own ID, from the envelope; empty if it has none.
    pub event_id: String,
    /// The instances it names.
    pub instances: InstanceSelector,
    /// Whether a sweep also asks which calls without a token were refused.
    pub watch: bool,
    /// What it has in place of further instance ids: texts that are none, escaped and in quotation marks, or other
    /// JSON. The instances that it does name need no wait, but the event is not done.
    pub unreadable: Vec<String>,
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
        let Named { kind, instances, watch, unreadable } = match (source, detail_type) {
            ("aws.ec2", "AWS API Call via CloudTrail") => named::by_call(event)?,
            ("aws.ec2", "EC2 Instance State-change Notification") => named::by_state_change(event)?,
            ("aws.tag", "Tag Change on Resource") => named::by_tag_change(event, policy)?,
            // Only AWS can send events whose source begins with `aws.`, so a sweep on demand has its own source.
            ("imds-enforcer", "Sweep") | ("aws.events", "Scheduled Event") => named::everything(event)?,
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
        let event_id = text(event, "/id").map(short).unwrap_or_default();
        Ok(Self { kind, account_region, time, event_id, instances, watch, unreadable })
    }
}
