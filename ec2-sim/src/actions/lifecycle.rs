//! StartInstances, StopInstances and TerminateInstances.

use super::context::{Answer, Context};
use crate::error::ApiError;
use crate::world::Transition;
use crate::xml::Xml;

pub fn transit(context: &mut Context<'_>, transition: Transition) -> Answer {
    let ids = context.request.list("InstanceId");
    if ids.is_empty() {
        return Err(ApiError::missing("InstanceId"));
    }
    context.check_ids(&ids)?;
    context.end_if_dry_run()?;
    // The call changes all instances or none.
    for id in &ids {
        let state = context.account().find(id).map(|instance| instance.state);
        state.map(|state| transition.entered_from(id, state)).transpose()?;
    }
    let mut changes = Vec::new();
    for id in ids {
        let before = context.world.transit(&context.key, &id, transition, context.now)?;
        let after = context.account().find(&id).map_or(before, |instance| instance.state);
        changes.push(Xml::Node(vec![
            ("instanceId", Xml::text(id)),
            ("currentState", after.xml()),
            ("previousState", before.xml()),
        ]));
    }
    Ok(Xml::Node(vec![("instancesSet", Xml::Items(changes))]))
}
