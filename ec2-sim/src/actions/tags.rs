//! CreateTags and DeleteTags.

use std::collections::HashSet;

use super::context::{Answer, Context};
use crate::clock::Now;
use crate::error::ApiError;
use crate::events;
use crate::instance::Key;
use crate::world::World;
use crate::xml::Xml;

pub fn create(context: &mut Context<'_>) -> Answer {
    let (ids, tags) = read(context)?;
    if tags.is_empty() {
        return Err(ApiError::missing("Tag"));
    }
    let tags: Vec<(String, String)> =
        tags.into_iter().map(|(key, value)| (key, value.unwrap_or_default())).collect();
    for id in &ids {
        let instance = context.account().find_mut(id);
        instance.map_or(Ok(()), |instance| instance.clone().tag(&tags))?;
    }
    context.end_if_dry_run()?;
    for id in &ids {
        tag(context.world, &context.key, id, &tags, context.now)?;
    }
    Ok(Xml::Node(vec![("return", Xml::text(true))]))
}

/// Adds tags to an instance and sends the event of those that changed. Keys can begin with `aws:`.
pub fn tag(
    world: &mut World,
    key: &Key,
    id: &str,
    tags: &[(String, String)],
    now: Now,
) -> Result<(), ApiError> {
    let instance = world.account(key).find_mut(id).ok_or_else(|| ApiError::not_found(&[id.to_owned()]))?;
    let before = instance.tags.clone();
    instance.tag(tags)?;
    let changed = tags.iter().filter(|(key, value)| before.get(key) != Some(value));
    let changed: Vec<String> = changed.map(|(key, _)| key.clone()).collect();
    emit(world, key, id, &changed, now);
    Ok(())
}

pub fn delete(context: &mut Context<'_>) -> Answer {
    let (ids, tags) = read(context)?;
    context.end_if_dry_run()?;
    for id in &ids {
        if let Some(instance) = context.account().find_mut(id) {
            // A value deletes only a tag with that value. A call without tags deletes all except AWS's own.
            let is_meant = |key: &String, found: &String| {
                tags.is_empty() && !is_reserved(key)
                    || tags.iter().any(|(k, v)| k == key && v.as_ref().is_none_or(|value| value == found))
            };
            let deleted: Vec<String> = instance
                .tags
                .iter()
                .filter(|(key, value)| is_meant(key, value))
                .map(|(key, _)| key.clone())
                .collect();
            instance.tags.retain(|key, _| !deleted.contains(key));
            emit(context.world, &context.key, id, &deleted, context.now);
        }
    }
    Ok(Xml::Node(vec![("return", Xml::text(true))]))
}

type Tags = Vec<(String, Option<String>)>;

fn read(context: &mut Context<'_>) -> Result<(Vec<String>, Tags), ApiError> {
    let request = context.request;
    let ids = request.list("ResourceId");
    if ids.is_empty() {
        return Err(ApiError::missing("ResourceId"));
    }
    let tag = |member: &String| {
        let key = request.needed(&format!("{member}.Key"))?;
        let value = request.get(&format!("{member}.Value")).map(str::to_owned);
        Ok((key.to_owned(), value))
    };
    let tags = request.members("Tag").iter().map(tag).collect::<Result<Tags, ApiError>>()?;
    if let Some((key, _)) = tags.iter().find(|(key, _)| is_reserved(key)) {
        return Err(reserved(key));
    }
    let mut keys = HashSet::new();
    if let Some((key, _)) = tags.iter().find(|(key, _)| !keys.insert(key)) {
        return Err(duplicate(key));
    }
    context.check_ids(&ids)?;
    Ok((ids, tags))
}

/// Whether the key is reserved for AWS.
pub fn is_reserved(key: &str) -> bool {
    key.to_ascii_lowercase().starts_with("aws:")
}

pub fn duplicate(key: &str) -> ApiError {
    ApiError::invalid_value(key, "Tag.Key", "The tag key is specified more than once.")
}

pub fn reserved(key: &str) -> ApiError {
    ApiError::invalid_value(key, "Tag.Key", "Tag keys starting with 'aws:' are reserved for internal use.")
}

fn emit(world: &mut World, key: &Key, id: &str, changed: &[String], now: Now) {
    let instance = world.account(key).find(id).filter(|_| !changed.is_empty());
    if let Some(event) = instance.map(|instance| events::tag_change(key, instance, changed, now.time)) {
        world.emit(event);
    }
}
