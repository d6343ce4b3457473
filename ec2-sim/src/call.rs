//! The processing of a call: parsing, faults, throttling, the action and the record.

use std::time::Duration;

use crate::actions::{self, Context};
use crate::api::Api;
use crate::clock::Now;
use crate::cloudwatch;
use crate::codec::Codec;
use crate::error::ApiError;
use crate::events;
use crate::fault::{FaultKind, Hidden};
use crate::instance::Key;
use crate::organizations;
use crate::request::{Message, Request, uuid};
use crate::response::{Reply, ReplyKind, Response};
use crate::world::{RecordedCall, Transition, World};
use crate::xml;

/// The effect of the faults on a call.
#[derive(Debug, Default)]
struct Fate {
    hidden: Hidden,
    /// The fault that prevents the call or truncates its response.
    end: Option<FaultKind>,
    /// How long the reply is delayed.
    delay: Duration,
    /// The last fault that applied, by its name in the record.
    fault: Option<&'static str>,
}

/// Processes a call.
pub fn call(world: &mut World, authorization: Option<&str>, message: Message<'_>) -> Reply {
    let now = Now::read();
    world.advance(now);
    let request = match Request::read(authorization, message, &world.sessions) {
        Ok(request) => request,
        Err((api, error)) => return Response::new(api, &uuid(), Err(error)).into(),
    };
    let ids = request.instance_ids();
    if let Some(error) = unknown_caller(world, &request, now) {
        return finish(world, request, ids, &Fate::default(), Err(error));
    }
    let key = (request.account.clone(), request.region.clone());
    let mut fate = fate(world, &request, &ids, &key, now);
    let unanswered = match &fate.end {
        Some(FaultKind::Hang(duration)) => Some(ReplyKind::Hang(*duration)),
        Some(FaultKind::Reset) => Some(ReplyKind::Reset),
        _ => None,
    };
    if let Some(kind) = unanswered {
        record(world, request, ids, fate.fault, None, None);
        return Reply { after: fate.delay, kind };
    }
    let answer = match refusal(world, &request, &key, fate.end.as_ref(), now) {
        None => document(world, &request, key, &mut fate, now),
        Some(error) => {
            if let Some(event) = events::refused(&request, &error, now.time) {
                world.emit(event);
            }
            Err(error)
        }
    };
    finish(world, request, ids, &fate, answer)
}

/// The error of a call whose credentials are not valid, or not valid in the Region. Such calls are neither subject to
/// faults nor recorded by CloudTrail.
fn unknown_caller(world: &World, request: &Request, now: Now) -> Option<ApiError> {
    if request.session.as_ref().is_some_and(|session| session.is_expired(now.time)) {
        return Some(request.api.expired());
    }
    let is_off = request.api.is_regional() && world.regions.refuse(&request.account, &request.region);
    is_off.then(|| request.api.unauthenticated())
}

/// Runs the action and writes the document of its response.
fn document(
    world: &mut World,
    request: &Request,
    key: Key,
    fate: &mut Fate,
    now: Now,
) -> Result<Vec<u8>, ApiError> {
    if let Api::CloudWatch(codec) = request.api {
        let (answer, fault) = cloudwatch::answer(world, request, &key, now);
        fate.fault = fault.or(fate.fault);
        return answer.map(|answer| codec.encode(&answer));
    }
    if request.api == Api::Organizations {
        let answer = organizations::answer(world.organization.as_ref(), request)?;
        return Ok(Codec::Json11.encode(&answer));
    }
    let answer = actions::answer(&mut Context { world, request, key, now, hidden: &fate.hidden })?;
    Ok(xml::response(request.api, &request.action, &request.id, &answer))
}

/// Records the call and writes its response.
fn finish(
    world: &mut World,
    request: Request,
    ids: Vec<String>,
    fate: &Fate,
    answer: Result<Vec<u8>, ApiError>,
) -> Reply {
    let code = answer.as_ref().err().map(|error| error.code.clone());
    let mut response = Response::new(request.api, &request.id, answer);
    let cut = fate.end.as_ref().and_then(|end| end.cut(&response.body));
    let is_complete = cut.is_none() && matches!(fate.end, Some(FaultKind::MalformedBefore(_)));
    let fault = fate.fault.filter(|_| !is_complete);
    record(world, request, ids, fault, Some(response.status), code);
    if let Some(length) = cut {
        response.body.truncate(length);
        response.is_cut_off = true;
    }
    Reply { after: fate.delay, kind: ReplyKind::Response(response) }
}

fn fate(world: &mut World, request: &Request, ids: &[String], key: &Key, now: Now) -> Fate {
    let mut fate = Fate::default();
    let mut transitions = Vec::new();
    for fault in &mut world.faults {
        let is_skipped = fate.end.is_some() || fault.kind.is_of_results();
        if is_skipped || !fault.happens(request, ids, &mut world.chance) {
            continue;
        }
        fate.fault = Some(fault.kind.name());
        match &fault.kind {
            FaultKind::Delay(delay) => fate.delay += *delay,
            FaultKind::NotVisible => fate.hidden.add(fault.instance.as_deref()),
            FaultKind::Terminate => transitions.push((Transition::Terminate, fault.victims(ids).to_vec())),
            FaultKind::Stop => transitions.push((Transition::Stop, fault.victims(ids).to_vec())),
            end => fate.end = Some(end.clone()),
        }
    }
    for (transition, victims) in transitions {
        for id in victims {
            // An instance whose state does not allow the transition stays as it is.
            let _ = world.transit(key, &id, transition, now);
        }
    }
    fate
}

/// The error that prevents the call, if there is one.
fn refusal(
    world: &mut World,
    request: &Request,
    key: &Key,
    end: Option<&FaultKind>,
    now: Now,
) -> Option<ApiError> {
    match end {
        Some(FaultKind::Throttle) => Some(request.api.throttled()),
        Some(FaultKind::Deny) => {
            Some(request.api.denied(&request.caller_arn(), &request.action, request.get("RoleArn")))
        }
        Some(FaultKind::ServerError) => Some(request.api.failed()),
        Some(FaultKind::Error { code, status, message }) => Some(ApiError::new(*status, code, message)),
        _ => {
            let buckets = world.settings.buckets?;
            let has_token = world.account(key).levels.take(&buckets, request, now.instant);
            (!has_token).then(|| request.api.throttled())
        }
    }
}

fn record(
    world: &mut World,
    request: Request,
    instance_ids: Vec<String>,
    fault: Option<&str>,
    status: Option<u16>,
    code: Option<String>,
) {
    let Request { action, account, region, parameters, session, .. } = request;
    world.calls.push(RecordedCall {
        action,
        account,
        region,
        instance_ids,
        parameters,
        status,
        code,
        fault: fault.map(str::to_owned),
        role: session.as_ref().map(|session| session.role.arn.clone()),
        session_name: session.map(|session| session.name.clone()),
    });
}
