//! DescribeInstances.

use super::{Answer, Context, filter};
use crate::clock;
use crate::error::ApiError;
use crate::instance::Instance;
use crate::xml::Xml;

pub fn describe(context: &mut Context<'_>) -> Answer {
    let request = context.request;
    let ids = request.list("InstanceId");
    let filters = filter::read(request)?;
    let most = most_results(context)?;
    if most.is_some() && !ids.is_empty() {
        return Err(ApiError::combination(
            "The parameter instancesSet cannot be used with the parameter maxResults",
        ));
    }
    context.check_ids(&ids)?;
    context.end_if_dry_run()?;
    let start = start(context)?;
    let now = context.now.instant;
    let hidden = context.hidden;
    let is_shown = |instance: &&Instance| {
        instance.visible_from <= now
            && !hidden.contains(&instance.id)
            && (ids.is_empty() || ids.contains(&instance.id))
            && filters.iter().all(|filter| filter.matches(instance))
    };
    let owner = context.key.0.clone();
    let found: Vec<&Instance> = context.account().instances.iter().filter(is_shown).collect();
    let rest = found.get(start..).unwrap_or_default();
    let page = &rest[..most.unwrap_or(rest.len()).min(rest.len())];
    let mut answer = vec![("reservationSet", Xml::Items(reservations(&owner, page)))];
    if page.len() < rest.len() {
        answer.push(("nextToken", Xml::text(format!("{TOKEN}{}", start + page.len()))));
    }
    Ok(Xml::Node(answer))
}

/// What a token to go on with begins with; the rest is how many instances were shown.
const TOKEN: &str = "sim-";

fn most_results(context: &Context<'_>) -> Result<Option<usize>, ApiError> {
    match context.request.number("MaxResults")? {
        None => Ok(None),
        Some(most @ 5..=1000) => Ok(usize::try_from(most).ok()),
        Some(most) => {
            Err(ApiError::invalid_value(&most.to_string(), "MaxResults", "Expecting a value from 5 to 1000."))
        }
    }
}

fn start(context: &Context<'_>) -> Result<usize, ApiError> {
    let Some(token) = context.request.get("NextToken").filter(|token| !token.is_empty()) else {
        return Ok(0);
    };
    let start = token.strip_prefix(TOKEN).and_then(|start| start.parse().ok());
    start.ok_or_else(|| {
        ApiError::invalid_value(token, "nextToken", "It is none that an earlier call returned.")
    })
}

/// Instances that were launched together stand together.
fn reservations(owner: &str, instances: &[&Instance]) -> Vec<Xml> {
    let together = instances.chunk_by(|one, other| one.reservation == other.reservation);
    together.map(|instances| reservation(owner, instances)).collect()
}

/// The instances of one launch.
pub fn reservation(owner: &str, instances: &[&Instance]) -> Xml {
    let id = instances.first().map_or("", |instance| &instance.reservation);
    Xml::Node(vec![
        ("reservationId", Xml::text(id)),
        ("ownerId", Xml::text(owner)),
        ("groupSet", Xml::Items(Vec::new())),
        ("instancesSet", Xml::Items(instances.iter().map(|instance| item(instance)).collect())),
    ])
}

fn item(instance: &Instance) -> Xml {
    let tag = |(key, value): (&String, &String)| {
        Xml::Node(vec![("key", Xml::text(key)), ("value", Xml::text(value))])
    };
    let mut operator = vec![("managed", Xml::text(instance.operator.is_some()))];
    operator.extend(instance.operator.as_ref().map(|principal| ("principal", Xml::text(principal))));
    Xml::Node(vec![
        ("instanceId", Xml::text(&instance.id)),
        ("imageId", Xml::text(&instance.image)),
        ("instanceState", instance.state.xml()),
        ("amiLaunchIndex", Xml::text(instance.index)),
        ("instanceType", Xml::text(&instance.instance_type)),
        ("launchTime", Xml::text(clock::milliseconds(instance.launch_time))),
        ("placement", Xml::Node(vec![("availabilityZone", Xml::text(&instance.zone))])),
        ("monitoring", Xml::Node(vec![("state", Xml::text("disabled"))])),
        ("architecture", Xml::text("x86_64")),
        ("clientToken", Xml::text(&instance.client_token)),
        ("tagSet", Xml::Items(instance.tags.iter().map(tag).collect())),
        ("metadataOptions", instance.options_xml()),
        ("operator", Xml::Node(operator)),
    ])
}
