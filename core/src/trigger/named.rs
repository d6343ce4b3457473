//! The detail of an event → the instances that it names.

use serde_json::Value;

use super::field::{short, text, time_at};
use super::kind::TriggerKind;
use super::no_trigger::{Ignored, NoTrigger};
use crate::ids::InstanceId;
use crate::policy::Policy;
use crate::selector::InstanceSelector;
use crate::text::{Escaped, Quoted};

/// The part of a trigger that the event's detail and resources determine.
pub(super) struct Named {
    pub(super) kind: TriggerKind,
    pub(super) instances: InstanceSelector,
    pub(super) watch: bool,
    pub(super) unreadable: Vec<String>,
}

impl Named {
    fn new(kind: TriggerKind, instances: InstanceSelector) -> Self {
        Self { kind, instances, watch: false, unreadable: Vec::new() }
    }

    fn one(kind: TriggerKind, id: InstanceId) -> Self {
        Self::new(kind, InstanceSelector::Ids(vec![id]))
    }
}

/// Every instance, for a sweep.
pub(super) fn everything(event: &Value) -> Result<Named, NoTrigger> {
    let watch = match event.pointer("/detail/watch") {
        None => false,
        Some(watch) => watch.as_bool().ok_or(no_field("detail.watch"))?,
    };
    Ok(Named { watch, ..Named::new(TriggerKind::Sweep, InstanceSelector::All) })
}

/// By a CloudTrail record of a call.
pub(super) fn by_call(event: &Value) -> Result<Named, NoTrigger> {
    let read = match text(event, "/detail/eventName") {
        Some("RunInstances") => by_launch,
        Some("ModifyInstanceMetadataOptions") => by_modification,
        Some(other) => return Err(NoTrigger::Ignored(Ignored::OtherCall(short(other)))),
        None => return Err(no_field("detail.eventName")),
    };
    match text(event, "/detail/errorCode") {
        Some(code) => Err(NoTrigger::Ignored(Ignored::FailedCall(short(code)))),
        None => read(event),
    }
}

/// The instance whose options were changed. CloudTrail nests the parameters of this call.
fn by_modification(event: &Value) -> Result<Named, NoTrigger> {
    const ID: &str = "/detail/requestParameters/ModifyInstanceMetadataOptionsRequest/InstanceId";
    let id = event.pointer(ID).and_then(id);
    Ok(Named::one(TriggerKind::Drift, id.ok_or(no_field("the InstanceId in detail.requestParameters"))?))
}

/// The instances that a launch created. CloudTrail omits parameters or a response of more than 100 KB. The client
/// token then identifies the instances, or the launch time if the token is omitted too.
fn by_launch(event: &Value) -> Result<Named, NoTrigger> {
    let items = event.pointer("/detail/responseElements/instancesSet/items").and_then(Value::as_array);
    let ids = items.into_iter().flatten().map(|item| item.get("instanceId").unwrap_or(item));
    let (ids, unreadable) = partition(ids, id);
    let instances = if !ids.is_empty() {
        InstanceSelector::Ids(ids)
    } else if let Some(token) = client_token(event) {
        token
    } else {
        let launched_at = time_at(event, "/detail/eventTime");
        InstanceSelector::LaunchedAround(launched_at.ok_or(no_field("detail.eventTime"))?)
    };
    Ok(Named { unreadable, ..Named::new(TriggerKind::Launch, instances) })
}

fn client_token(event: &Value) -> Option<InstanceSelector> {
    // EC2 accepts client tokens of at most 64 characters.
    let token = text(event, "/detail/requestParameters/clientToken")
        .filter(|token| (1..=64).contains(&token.len()))?;
    let asked = event.pointer("/detail/requestParameters/instancesSet/items").and_then(Value::as_array);
    let least = asked.into_iter().flatten().filter_map(|item| item.get("minCount")?.as_u64());
    // No launch creates more than 1,000 instances.
    let at_least = least.fold(0, u64::saturating_add).clamp(1, 1000);
    let at_least = usize::try_from(at_least).unwrap_or(1);
    Some(InstanceSelector::ClientToken { token: token.to_owned(), at_least })
}

/// By the state that an instance changed to.
pub(super) fn by_state_change(event: &Value) -> Result<Named, NoTrigger> {
    match text(event, "/detail/state") {
        Some("running" | "stopped") => {}
        Some(other) => return Err(NoTrigger::Ignored(Ignored::OtherState(short(other)))),
        None => return Err(no_field("detail.state")),
    }
    let id = event.pointer("/detail/instance-id").and_then(id);
    Ok(Named::one(TriggerKind::StateChange, id.ok_or(no_field("detail.instance-id"))?))
}

/// By the resources whose tags changed.
pub(super) fn by_tag_change(event: &Value, policy: &Policy) -> Result<Named, NoTrigger> {
    for (field, handled) in [("detail.service", "ec2"), ("detail.resource-type", "instance")] {
        let found = text(event, &format!("/{}", field.replace('.', "/"))).ok_or(no_field(field))?;
        if found != handled {
            return Err(NoTrigger::Ignored(Ignored::OtherResource(short(found))));
        }
    }
    const KEYS: NoTrigger = no_field("detail.changed-tag-keys");
    let keys = event.pointer("/detail/changed-tag-keys").and_then(Value::as_array).ok_or(KEYS)?;
    if !keys.iter().filter_map(Value::as_str).any(|key| policy.reads_tag(key)) {
        // A key that is no text may be one that the policy reads.
        return Err(if keys.iter().all(Value::is_string) {
            NoTrigger::Ignored(Ignored::OtherTags)
        } else {
            KEYS
        });
    }
    let arns = event.pointer("/resources").and_then(Value::as_array).into_iter().flatten();
    let (ids, unreadable) =
        partition(arns, |arn| InstanceId::new(arn.as_str()?.rsplit_once(":instance/")?.1).ok());
    if ids.is_empty() {
        return Err(no_field("an instance's ARN in resources"));
    }
    Ok(Named { unreadable, ..Named::new(TriggerKind::TagChange, InstanceSelector::Ids(ids)) })
}

const fn no_field(field: &'static str) -> NoTrigger {
    NoTrigger::Unreadable { field }
}

fn id(value: &Value) -> Option<InstanceId> {
    InstanceId::new(value.as_str()?).ok()
}

/// The ids that `read` returns, and the values of which it returns none, as text.
fn partition<'v>(
    values: impl Iterator<Item = &'v Value>,
    read: impl Fn(&Value) -> Option<InstanceId>,
) -> (Vec<InstanceId>, Vec<String>) {
    let (mut ids, mut unreadable) = (Vec::new(), Vec::new());
    for value in values {
        match (read(value), value) {
            (Some(id), _) => ids.push(id),
            (None, Value::String(text)) => unreadable.push(Quoted(text).to_string()),
            (None, other) => unreadable.push(Escaped(&other.to_string()).to_string()),
        }
    }
    (ids, unreadable)
}
