//! RunInstances.

use std::collections::BTreeMap;

use time::OffsetDateTime;

use super::context::{Answer, Context};
use super::describe;
use super::item::Items;
use crate::clock::Now;
use crate::error::ApiError;
use crate::events;
use crate::instance::{Instance, Key, OPTIONS, Options, State, check_option, check_tags};
use crate::request::Request;
use crate::world::World;

/// What is launched.
#[derive(Debug, Clone, Default)]
pub struct Launched {
    pub count: usize,
    pub image: String,
    pub instance_type: String,
    pub client_token: String,
    /// The options that differ from the account's defaults.
    pub options: Options,
    pub tags: BTreeMap<String, String>,
    pub operator: Option<String>,
    pub launch_time: Option<OffsetDateTime>,
    /// The launch time if absent.
    pub first_ran: Option<OffsetDateTime>,
}

/// The limit of instances per launch. EC2's own quota depends on the account.
const MOST_INSTANCES: i64 = 10_000;

pub fn run(context: &mut Context<'_>) -> Answer {
    let answer = read(context.request).and_then(|launched| {
        if let Some(before) = earlier(context, &launched.client_token)? {
            return Ok((before, false));
        }
        check_options(context, &launched)?;
        context.end_if_dry_run()?;
        let parameters = asked(context.request);
        context.account().launches.insert(launched.client_token.clone(), parameters);
        Ok((launch(context.world, &context.key, &launched, context.now), true))
    });
    let cut_off = context.world.settings.cloudtrail_cut_off;
    let response = answer.as_ref().map(|(instances, _)| instances.as_slice());
    let event = events::run_instances(context.request, response, cut_off, context.now.time);
    context.world.emit(event);
    let (instances, are_new) = answer?;
    for instance in instances.iter().filter(|_| are_new) {
        context.world.enter(&context.key, &instance.id, State::Pending, context.now);
    }
    let items = Items { key: &context.key, is_realistic: context.world.settings.realistic };
    Ok(describe::reservation(items, &instances.iter().collect::<Vec<_>>()))
}

/// The instances of an earlier launch with the same client token, if there was one.
fn earlier(context: &mut Context<'_>, token: &str) -> Result<Option<Vec<Instance>>, ApiError> {
    if token.is_empty() {
        return Ok(None);
    }
    let asked = asked(context.request);
    let account = context.account();
    if account.launches.get(token).is_some_and(|before| *before != asked) {
        let message = "Arguments on this idempotent request are inconsistent with arguments used in previous \
                       request(s).";
        return Err(ApiError::new(400, "IdempotentParameterMismatch", message));
    }
    let instances = account.instances.iter();
    let found: Vec<Instance> = instances.filter(|instance| instance.client_token == token).cloned().collect();
    Ok((!found.is_empty()).then_some(found))
}

/// The parameters that must be equal in two launches with the same client token.
fn asked(request: &Request) -> BTreeMap<String, String> {
    let mut parameters = request.parameters.clone();
    parameters.remove("DryRun");
    parameters
}

fn read(request: &Request) -> Result<Launched, ApiError> {
    let (least, most) = (request.needed("MinCount")?, request.needed("MaxCount")?);
    let count = |text: &str, name| match text.parse() {
        Ok(count @ 1..=MOST_INSTANCES) => Ok(count),
        _ => Err(ApiError::invalid_value(text, name, "Expected 1 to 10000.")),
    };
    let (least, most) = (count(least, "MinCount")?, count(most, "MaxCount")?);
    if least > most {
        return Err(ApiError::combination("MinCount must not be greater than MaxCount."));
    }
    let token = request.get("ClientToken").unwrap_or_default();
    if token.len() > 64 {
        return Err(ApiError::invalid_value(
            token,
            "ClientToken",
            "Client tokens have at most 64 characters.",
        ));
    }
    let mut options = Options::new();
    for (name, _, _) in OPTIONS {
        if let Some(value) = request.get(&format!("MetadataOptions.{name}")) {
            check_option(name, value)?;
            options.insert(name.to_owned(), value.to_owned());
        }
    }
    Ok(Launched {
        count: usize::try_from(most).unwrap_or(1),
        image: request.get("ImageId").unwrap_or("ami-12345678").to_owned(),
        instance_type: request.get("InstanceType").unwrap_or("m1.small").to_owned(),
        client_token: token.to_owned(),
        options,
        tags: read_tags(request)?,
        operator: None,
        launch_time: None,
        first_ran: None,
    })
}

fn read_tags(request: &Request) -> Result<BTreeMap<String, String>, ApiError> {
    let mut tags = BTreeMap::new();
    for specification in request.members("TagSpecification") {
        if request.get(&format!("{specification}.ResourceType")) == Some("instance") {
            for tag in request.members(&format!("{specification}.Tag")) {
                let part = |name: &str| request.get(&format!("{tag}.{name}")).unwrap_or_default().to_owned();
                let key = part("Key");
                if tags.insert(key.clone(), part("Value")).is_some() {
                    return Err(super::tags::duplicate(&key));
                }
            }
        }
    }
    Ok(tags)
}

fn check_options(context: &mut Context<'_>, launched: &Launched) -> Result<(), ApiError> {
    let account = context.account();
    let is_optional = launched.options.get("HttpTokens").is_some_and(|value| value == "optional");
    if is_optional && account.enforces_tokens() {
        return Err(super::modify::tokens_are_enforced());
    }
    if let Some(key) = launched.tags.keys().find(|key| super::tags::is_reserved(key)) {
        return Err(super::tags::reserved(key));
    }
    let mut options = account.default_options();
    options.extend(launched.options.clone());
    check_tags(&launched.tags, &options)
}

/// Adds instances. The caller must make them enter a state, which sends the event and sets the timers.
pub fn launch(world: &mut World, key: &Key, launched: &Launched, now: Now) -> Vec<Instance> {
    let mut options = world.account(key).default_options();
    if world.account(key).enforces_tokens() {
        options.insert("HttpTokens".to_owned(), "required".to_owned());
    }
    options.extend(launched.options.clone());
    let reservation = format!("r-{}", world.next_hex());
    let visible_from = now.instant + world.settings.visibility_delay;
    let launch_time = launched.launch_time.unwrap_or(now.time);
    let mut instances = Vec::with_capacity(launched.count);
    for index in 0..launched.count {
        let instance = Instance {
            id: format!("i-{}", world.next_hex()),
            reservation: reservation.clone(),
            index,
            image: launched.image.clone(),
            instance_type: launched.instance_type.clone(),
            zone: format!("{}a", key.1),
            client_token: launched.client_token.clone(),
            launch_time,
            first_ran: launched.first_ran.unwrap_or(launch_time),
            visible_from,
            state: State::Pending,
            state_due: None,
            options: options.clone(),
            applied: false,
            applied_due: None,
            tags: launched.tags.clone(),
            operator: launched.operator.clone(),
        };
        world.account(key).add(instance.clone());
        instances.push(instance);
    }
    instances
}
