//! The processing of a call: parsing, faults, throttling, the action and the record.

use std::time::Duration;

use crate::actions::{self, Answer, Context};
use crate::clock::Now;
use crate::error::ApiError;
use crate::events;
use crate::fault::{FaultKind, Hidden};
use crate::instance::Key;
use crate::request::{self, Api, Request, uuid};
use crate::world::{RecordedCall, Transition, World};
use crate::xml;

/// What the caller receives.
#[derive(Debug)]
pub enum Reply {
    /// This status and XML.
    Answer(u16, Vec<u8>),
    /// This status and the beginning of an XML document. The body ends with the connection.
    CutOff(u16, Vec<u8>),
    /// No response. The connection is reset after this time, or after an hour for `None`.
    Hang(Option<Duration>),
    /// A reset connection.
    Reset,
}

/// The effect of the faults on a call.
#[derive(Debug, Default)]
struct Fate {
    hidden: Hidden,
    /// The fault that prevents the call or truncates its response.
    end: Option<FaultKind>,
    /// The last fault that applied, by its name in the record.
    fault: Option<&'static str>,
}

/// Processes a call.
pub fn call(world: &mut World, authorization: Option<&str>, body: &[u8]) -> Reply {
    let now = Now::read();
    world.advance(now);
    let parameters = request::parameters(body);
    let api = Api::of(parameters.get("Action").map_or("", String::as_str));
    let request = match Request::read(authorization, parameters, &world.sessions) {
        Ok(request) => request,
        Err(error) => return Reply::Answer(error.status, xml::error(api, &error, &uuid())),
    };
    let ids = request.instance_ids();
    if request.session.as_ref().is_some_and(|session| session.is_expired(now.time)) {
        return finish(world, request, ids, &Fate::default(), Err(ApiError::expired()));
    }
    let key = (request.account.clone(), request.region.clone());
    let fate = fate(world, &request, &ids, &key, now);
    let unanswered = match &fate.end {
        Some(FaultKind::Hang(duration)) => Some(Reply::Hang(*duration)),
        Some(FaultKind::Reset) => Some(Reply::Reset),
        _ => None,
    };
    if let Some(reply) = unanswered {
        record(world, request, ids, fate.fault, None, None);
        return reply;
    }
    let answer = match refusal(world, &request, &key, fate.end.as_ref(), now) {
        None => actions::answer(&mut Context { world, request: &request, key, now, hidden: &fate.hidden }),
        Some(error) => {
            if let Some(event) = events::refused(&request, &error, now.time) {
                world.emit(event);
            }
            Err(error)
        }
    };
    finish(world, request, ids, &fate, answer)
}

/// Records the call and writes its response.
fn finish(world: &mut World, request: Request, ids: Vec<String>, fate: &Fate, answer: Answer) -> Reply {
    let api = request.api();
    let (status, mut document) = match &answer {
        Ok(content) => (200, xml::response(api, &request.action, &request.id, content)),
        Err(error) => (error.status, xml::error(api, error, &request.id)),
    };
    let cut = fate.end.as_ref().and_then(|end| end.cut(&document));
    let is_complete = cut.is_none() && matches!(fate.end, Some(FaultKind::MalformedBefore(_)));
    let fault = fate.fault.filter(|_| !is_complete);
    record(world, request, ids, fault, Some(status), answer.err().map(|error| error.code));
    match cut {
        None => Reply::Answer(status, document),
        Some(length) => {
            document.truncate(length);
            Reply::CutOff(status, document)
        }
    }
}

fn fate(world: &mut World, request: &Request, ids: &[String], key: &Key, now: Now) -> Fate {
    let mut fate = Fate::default();
    let mut transitions = Vec::new();
    for fault in &mut world.faults {
        if fate.end.is_some() || !fault.happens(request, ids, &mut world.chance) {
            continue;
        }
        fate.fault = Some(fault.kind.name());
        match &fault.kind {
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
    match (end, request.api()) {
        (Some(FaultKind::Throttle), Api::Ec2) => Some(ApiError::throttled()),
        (Some(FaultKind::Throttle), Api::Sts) => Some(ApiError::rate_exceeded()),
        (Some(FaultKind::Deny), Api::Ec2) => Some(ApiError::unauthorized()),
        (Some(FaultKind::Deny), Api::Sts) => {
            let role = request.get("RoleArn").unwrap_or_default();
            Some(ApiError::may_not_assume(&request.caller_arn(), role))
        }
        (Some(FaultKind::ServerError), Api::Ec2) => Some(ApiError::internal()),
        (Some(FaultKind::ServerError), Api::Sts) => Some(ApiError::internal_failure()),
        (Some(FaultKind::Error { code, status, message }), _) => Some(ApiError::new(*status, code, message)),
        _ => {
            let buckets = world.settings.buckets?;
            let has_token = world.account(key).levels.take(&buckets, request, now.instant);
            (!has_token).then(ApiError::throttled)
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
