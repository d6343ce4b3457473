//! One call: read, faulted or throttled or carried out, and recorded.

use std::time::Duration;

use crate::actions::{self, Answer, Context};
use crate::clock::Now;
use crate::error::ApiError;
use crate::fault::FaultKind;
use crate::request::Request;
use crate::world::{Key, RecordedCall, Transition, World};
use crate::xml;

/// What the caller gets.
#[derive(Debug)]
pub enum Reply {
    /// This status and XML.
    Answer(u16, Vec<u8>),
    /// Nothing for so long, or ever; then the connection is closed.
    Hang(Option<Duration>),
    /// A reset connection.
    Reset,
}

/// What faults make of a call.
#[derive(Debug, Default)]
struct Fate {
    hidden: Vec<String>,
    end: Option<FaultKind>,
}

/// Takes a call.
pub fn call(world: &mut World, authorization: Option<&str>, body: &[u8]) -> Reply {
    let now = Now::read();
    world.advance(now);
    let request_id = format!("00000000-0000-4000-8000-{:012x}", world.next());
    let request = match Request::read(authorization, body) {
        Ok(request) => request,
        Err(error) => return Reply::Answer(error.status, xml::error(&error, &request_id)),
    };
    let key = (request.account.clone(), request.region.clone());
    let ids = request.instance_ids();
    let fate = fate(world, &request, &ids, &key, now);
    let answer = match &fate.end {
        Some(FaultKind::Hang(duration)) => {
            record(world, request, ids, None, None);
            return Reply::Hang(*duration);
        }
        Some(FaultKind::Reset) => {
            record(world, request, ids, None, None);
            return Reply::Reset;
        }
        Some(FaultKind::Throttle) => Err(ApiError::throttled()),
        Some(FaultKind::Deny) => Err(ApiError::unauthorized()),
        Some(FaultKind::ServerError) => Err(ApiError::internal()),
        Some(FaultKind::Error { code, status, message }) => Err(ApiError::new(*status, code, message)),
        _ => carry_out(world, &request, &key, &fate.hidden, now),
    };
    let (status, mut document) = match &answer {
        Ok(content) => (200, xml::response(&request.action, &request_id, content)),
        Err(error) => (error.status, xml::error(error, &request_id)),
    };
    if fate.end == Some(FaultKind::Malformed) {
        document.truncate(document.len() / 2);
    }
    record(world, request, ids, Some(status), answer.err().map(|error| error.code));
    Reply::Answer(status, document)
}

fn fate(world: &mut World, request: &Request, ids: &[String], key: &Key, now: Now) -> Fate {
    let mut fate = Fate::default();
    let mut transitions = Vec::new();
    for fault in &mut world.faults {
        if fate.end.is_some() || !fault.happens(request, ids, &mut world.chance) {
            continue;
        }
        match &fault.kind {
            FaultKind::NotVisible => fate.hidden.extend_from_slice(fault.victims(ids)),
            FaultKind::Terminate => transitions.push((Transition::Terminate, fault.victims(ids).to_vec())),
            FaultKind::Stop => transitions.push((Transition::Stop, fault.victims(ids).to_vec())),
            end => fate.end = Some(end.clone()),
        }
    }
    for (transition, victims) in transitions {
        for id in victims {
            // One that cannot make the transition is left as it is.
            let _ = world.transit(key, &id, transition, now);
        }
    }
    fate
}

fn carry_out(world: &mut World, request: &Request, key: &Key, hidden: &[String], now: Now) -> Answer {
    if let Some(buckets) = world.settings.buckets
        && !world.account(key).levels.take(&buckets, request, now.instant)
    {
        return Err(ApiError::throttled());
    }
    actions::answer(&mut Context { world, request, key: key.clone(), now, hidden })
}

fn record(
    world: &mut World,
    request: Request,
    instance_ids: Vec<String>,
    status: Option<u16>,
    code: Option<String>,
) {
    let Request { action, account, region, parameters } = request;
    world.calls.push(RecordedCall { action, account, region, instance_ids, parameters, status, code });
}
