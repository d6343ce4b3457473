//! CreateTags and DeleteTags.

use std::collections::HashSet;

use super::context::{Answer, Context};
use crate::error::ApiError;
use crate::events;
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
        if let Some(instance) = context.account().find_mut(id) {
            let before = instance.tags.clone();
            instance.tag(&tags)?;
            let changed = tags.iter().filter(|(key, value)| before.get(key) != Some(value));
            let changed: Vec<String> = changed.map(|(key, _)| key.clone()).collect();
            emit(context, id, &changed);
        }
    }
    Ok(Xml::Node(vec![("return", Xml::text(true))]))
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
            emit(context, id, &deleted);
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

fn emit(context: &mut Context<'_>, id: &str, changed: &[String]) {
    let (key, time) = (context.key.clone(), context.now.time);
    let event = context.account().find(id).map(|instance| events::tag_change(&key, instance, changed, time));
    if let Some(event) = event.filter(|_| !changed.is_empty()) {
        context.world.emit(event);
    }
}
