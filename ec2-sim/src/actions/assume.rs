//! STS's AssumeRole: STS API reference, version 2011-06-15.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::context::{Answer, Context};
use crate::clock;
use crate::error::ApiError;
use crate::request::Request;
use crate::session::{Role, Session, is_name, random};
use crate::xml::Xml;

/// The range of `DurationSeconds`, and its default.
const SECONDS: RangeInclusive<u64> = 900..=43_200;
const DEFAULT_SECONDS: u64 = 3600;

/// The parameters of the call.
struct Asked {
    role: Role,
    name: String,
    lives: Duration,
}

pub fn assume(context: &mut Context<'_>) -> Answer {
    let Asked { role, name, lives } = read(context.request)?;
    let lives = context.world.settings.session_duration.unwrap_or(lives);
    let session = Session::begin(role, name, lives, context.now.time);
    let answer = result(&session);
    context.world.sessions.insert(session.access_key.clone(), Arc::new(session));
    Ok(answer)
}

fn read(request: &Request) -> Result<Asked, ApiError> {
    let arn = request.get("RoleArn").unwrap_or_default();
    let role = Role::from_arn(arn)
        .ok_or_else(|| invalid(arn, "roleArn", "arn:PARTITION:iam::ACCOUNT:role/[PATH/]NAME"))?;
    let name = request.get("RoleSessionName").unwrap_or_default();
    if !is_name(name, 2..=64) {
        return Err(invalid(name, "roleSessionName", r"2 to 64 of [\w+=,.@-]"));
    }
    let seconds = match request.get("DurationSeconds") {
        None => DEFAULT_SECONDS,
        Some(text) => text
            .parse()
            .ok()
            .filter(|seconds| SECONDS.contains(seconds))
            .ok_or_else(|| invalid(text, "durationSeconds", "900 to 43200"))?,
    };
    Ok(Asked { role, name: name.to_owned(), lives: Duration::from_secs(seconds) })
}

fn invalid(value: &str, parameter: &str, expected: &str) -> ApiError {
    let message = format!(
        "1 validation error detected: Value '{value}' at '{parameter}' failed to satisfy constraint: Member must \
         be {expected}"
    );
    ApiError::new(400, "ValidationError", message)
}

fn result(session: &Session) -> Xml {
    let credentials = vec![
        ("AccessKeyId", Xml::text(&session.access_key)),
        ("SecretAccessKey", Xml::text(random(40))),
        ("SessionToken", Xml::text(random(120))),
        ("Expiration", Xml::text(clock::milliseconds(session.expires))),
    ];
    let user = vec![("AssumedRoleId", Xml::text(session.id())), ("Arn", Xml::text(session.arn()))];
    let result = vec![("Credentials", Xml::Node(credentials)), ("AssumedRoleUser", Xml::Node(user))];
    Xml::Node(vec![("AssumeRoleResult", Xml::Node(result))])
}
