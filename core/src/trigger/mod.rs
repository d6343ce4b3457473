//! EventBridge event → which instances to describe.
//!
//! An event only names instances. Its tags and options are never used, because it may be minutes old.

#[cfg(test)]
mod tests;

use std::fmt;

use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::ids::{AccountId, AccountRegion, InstanceId, Region};
use crate::policy::Policy;
use crate::selector::InstanceSelector;

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

/// Why an event is ignored. Usually this is not an error: EventBridge rules may match events that are not needed.
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
    /// A field is missing or malformed.
    Unusable(&'static str),
}

impl Ignored {
    /// Whether the event should be handled but cannot be read, for example if AWS changed its format.
    pub fn is_unusable(&self) -> bool {
        matches!(self, Self::Unusable(_))
    }
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnEvent => f.write_str("not an EventBridge event: source or detail-type is missing"),
            Self::Unrelated { source, detail_type } => {
                write!(f, "source {source:?} with detail-type {detail_type:?} is not handled")
            }
            Self::OtherCall(name) => write!(f, "the call {name:?} is not handled"),
            Self::FailedCall(code) => write!(f, "the call failed with {code:?}"),
            Self::OtherState(state) => write!(f, "the state {state:?} requires no action"),
            Self::OtherTags => f.write_str("the policy reads none of the changed tags"),
            Self::OtherResource(kind) => write!(f, "tags of {kind:?} are not handled"),
            Self::Unusable(field) => write!(f, "{field} is missing or malformed"),
        }
    }
}

impl Trigger {
    /// Reads one EventBridge event; `policy` determines which tags matter.
    ///
    /// # Errors
    /// Why the event is ignored. A retry gives the same result.
    pub fn from_event(event: &Value, policy: &Policy) -> Result<Self, Ignored> {
        let (Some(source), Some(detail_type)) = (text(event, "/source"), text(event, "/detail-type")) else {
            return Err(Ignored::NotAnEvent);
        };
        let (kind, instances) = match (source, detail_type) {
            ("aws.ec2", "AWS API Call via CloudTrail") => api_call(event)?,
            ("aws.ec2", "EC2 Instance State-change Notification") => state_change(event)?,
            ("aws.tag", "Tag Change on Resource") => tag_change(event, policy)?,
            // Only AWS can send events whose source begins with `aws.`, so a sweep on demand has its own source.
            ("imds-enforcer", "Sweep") | ("aws.events", "Scheduled Event") => {
                (TriggerKind::Sweep, InstanceSelector::All)
            }
            _ => return Err(Ignored::Unrelated { source: short(source), detail_type: short(detail_type) }),
        };
        let time = time_at(event, "/time").ok_or(Ignored::Unusable("time"))?;
        let account = text(event, "/account").and_then(|account| AccountId::new(account).ok());
        let region = text(event, "/region").and_then(|region| Region::new(region).ok());
        let account_region = AccountRegion {
            account: account.ok_or(Ignored::Unusable("account"))?,
            region: region.ok_or(Ignored::Unusable("region"))?,
        };
        Ok(Self { kind, account_region, time, instances })
    }
}

/// A CloudTrail record of a call.
fn api_call(event: &Value) -> Result<(TriggerKind, InstanceSelector), Ignored> {
    let read = match text(event, "/detail/eventName") {
        Some("RunInstances") => launched,
        Some("ModifyInstanceMetadataOptions") => modified,
        Some(other) => return Err(Ignored::OtherCall(short(other))),
        None => return Err(Ignored::Unusable("detail.eventName")),
    };
    match text(event, "/detail/errorCode") {
        Some(code) => Err(Ignored::FailedCall(short(code))),
        None => read(event),
    }
}

/// The instance whose options were changed. CloudTrail nests the parameters of this call.
fn modified(event: &Value) -> Result<(TriggerKind, InstanceSelector), Ignored> {
    const ID: &str = "/detail/requestParameters/ModifyInstanceMetadataOptionsRequest/InstanceId";
    let id = id_at(event, ID).ok_or(Ignored::Unusable("the InstanceId in detail.requestParameters"))?;
    Ok((TriggerKind::Drift, InstanceSelector::Ids(vec![id])))
}

/// The instances that a launch created. CloudTrail omits parameters or a response of more than 100 KB. The client
/// token then identifies the instances, or the launch time if the token is omitted too.
fn launched(event: &Value) -> Result<(TriggerKind, InstanceSelector), Ignored> {
    let items = event.pointer("/detail/responseElements/instancesSet/items").and_then(Value::as_array);
    let ids: Vec<InstanceId> =
        items.into_iter().flatten().filter_map(|item| id_at(item, "/instanceId")).collect();
    if !ids.is_empty() {
        return Ok((TriggerKind::Launch, InstanceSelector::Ids(ids)));
    }
    // EC2 accepts client tokens of at most 64 characters.
    let token =
        text(event, "/detail/requestParameters/clientToken").filter(|token| (1..=64).contains(&token.len()));
    if let Some(token) = token {
        let asked = event.pointer("/detail/requestParameters/instancesSet/items").and_then(Value::as_array);
        let least = asked.into_iter().flatten().filter_map(|item| item.get("minCount")?.as_u64());
        let least = least.fold(0, u64::saturating_add);
        // No launch creates more than 1,000 instances.
        let at_least = usize::try_from(least.clamp(1, 1000)).unwrap_or(1);
        return Ok((
            TriggerKind::Launch,
            InstanceSelector::ClientToken { token: token.to_owned(), at_least },
        ));
    }
    let launched_at = time_at(event, "/detail/eventTime").ok_or(Ignored::Unusable("detail.eventTime"))?;
    Ok((TriggerKind::Launch, InstanceSelector::LaunchedAround(launched_at)))
}

fn state_change(event: &Value) -> Result<(TriggerKind, InstanceSelector), Ignored> {
    match text(event, "/detail/state") {
        Some("running" | "stopped") => {}
        Some(other) => return Err(Ignored::OtherState(short(other))),
        None => return Err(Ignored::Unusable("detail.state")),
    }
    let id = id_at(event, "/detail/instance-id").ok_or(Ignored::Unusable("detail.instance-id"))?;
    Ok((TriggerKind::StateChange, InstanceSelector::Ids(vec![id])))
}

fn tag_change(event: &Value, policy: &Policy) -> Result<(TriggerKind, InstanceSelector), Ignored> {
    match (text(event, "/detail/service"), text(event, "/detail/resource-type")) {
        (Some("ec2"), Some("instance")) => {}
        (_, kind) => return Err(Ignored::OtherResource(short(kind.unwrap_or_default()))),
    }
    let keys = event.pointer("/detail/changed-tag-keys").and_then(Value::as_array);
    let mut keys = keys.ok_or(Ignored::Unusable("detail.changed-tag-keys"))?.iter().filter_map(Value::as_str);
    if !keys.any(|key| policy.reads_tag(key)) {
        return Err(Ignored::OtherTags);
    }
    let arns = event.pointer("/resources").and_then(Value::as_array).into_iter().flatten();
    let id = |arn: &Value| InstanceId::new(arn.as_str()?.rsplit_once(":instance/")?.1).ok();
    let ids: Vec<InstanceId> = arns.filter_map(id).collect();
    if ids.is_empty() {
        return Err(Ignored::Unusable("an instance's ARN in resources"));
    }
    Ok((TriggerKind::TagChange, InstanceSelector::Ids(ids)))
}

fn text<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    value.pointer(pointer)?.as_str()
}

fn time_at(value: &Value, pointer: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text(value, pointer)?, &Rfc3339).ok()
}

fn id_at(value: &Value, pointer: &str) -> Option<InstanceId> {
    InstanceId::new(text(value, pointer)?).ok()
}

/// Untrusted text, truncated for a message.
fn short(text: &str) -> String {
    text.chars().take(64).collect()
}
