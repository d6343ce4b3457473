//! ModifyInstanceMetadataOptions.

use super::context::{Answer, Context};
use crate::clock::Now;
use crate::error::ApiError;
use crate::events;
use crate::instance::{Instance, Key, OPTIONS, Options, State, check_option};
use crate::world::{Account, World};
use crate::xml::Xml;

pub fn modify(context: &mut Context<'_>) -> Answer {
    let answer = read(context).and_then(|(id, changes)| {
        let while_pending = context.world.settings.modify_while_pending;
        check(context.account(), &id, &changes, while_pending)?;
        context.end_if_dry_run()?;
        modify_instance(context.world, &context.key, &id, &changes, context.now)
    });
    let event = events::modify(context.request, answer.as_ref(), context.now.time);
    context.world.emit(event);
    let instance = answer?;
    Ok(Xml::Node(vec![
        ("instanceId", Xml::text(&instance.id)),
        ("instanceMetadataOptions", instance.options_xml()),
    ]))
}

fn read(context: &mut Context<'_>) -> Result<(String, Options), ApiError> {
    let id = context.request.needed("InstanceId")?.to_owned();
    let mut changes = Options::new();
    for (name, _, _) in OPTIONS {
        if let Some(value) = context.request.get(name) {
            check_option(name, value)?;
            changes.insert(name.to_owned(), value.to_owned());
        }
    }
    context.check_ids(std::slice::from_ref(&id))?;
    if changes.is_empty() {
        return Err(ApiError::missing("HttpTokens, HttpEndpoint or another option"));
    }
    Ok((id, changes))
}

/// Makes the checks that EC2 makes, without a change.
fn check(account: &Account, id: &str, changes: &Options, while_pending: bool) -> Result<(), ApiError> {
    let Some(instance) = account.find(id) else { return Err(ApiError::not_found(&[id.to_owned()])) };
    let is_possible = match instance.state {
        State::Running | State::Stopped => true,
        State::Pending => while_pending,
        State::Stopping | State::ShuttingDown | State::Terminated => false,
    };
    if !is_possible {
        return Err(ApiError::wrong_state(id, "ModifyInstanceMetadataOptions", instance.state.name()));
    }
    let is_optional = changes.get("HttpTokens").is_some_and(|value| value == "optional");
    if is_optional && account.enforces_tokens() {
        return Err(tokens_are_enforced());
    }
    instance.clone().change(changes)
}

pub fn tokens_are_enforced() -> ApiError {
    let message = "HttpTokens cannot be optional while the account's HttpTokensEnforced is enabled.";
    ApiError::new(400, "UnsupportedOperation", message)
}

/// Changes options. They are applied after a delay on a running instance, and after the next start on a stopped one.
fn modify_instance(
    world: &mut World,
    key: &Key,
    id: &str,
    changes: &Options,
    now: Now,
) -> Result<Instance, ApiError> {
    let instance = world.account(key).find_mut(id).ok_or_else(|| ApiError::not_found(&[id.to_owned()]))?;
    instance.change(changes)?;
    instance.applied = false;
    let changed = instance.clone();
    world.await_applied(key, id, now);
    Ok(changed)
}
