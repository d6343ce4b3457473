//! Log lines of the function → the changes that they report.

use anyhow::{Context, Result, ensure};
use imds_core::ids::{AccountId, AccountRegion, InstanceId, Region};
use imds_core::metadata::{Change, MetadataOptions};
use serde::Deserialize;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::fields;

/// The changes of an instance, together.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    /// Where it is.
    pub account_region: AccountRegion,
    /// The options as they were set last.
    pub set: MetadataOptions,
    /// The options before they were set first.
    pub before: MetadataOptions,
}

/// Outcomes of a change that EC2 accepted, if the line has the change. `in-use`: `HttpTokens` was held back, and another
/// option was set.
const ACCEPTED: [&str; 3] = ["enforced", "pending", "in-use"];

/// What the AWS CLI prints of log events.
#[derive(Deserialize)]
struct Events {
    events: Vec<Event>,
    /// That of `aws logs filter-log-events --max-items`, or of a page.
    #[serde(alias = "NextToken", alias = "nextToken")]
    next_token: Option<String>,
}

#[derive(Deserialize)]
struct Event {
    message: String,
}

/// The parts of a line that matter.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    #[serde(deserialize_with = "fields::account")]
    account: AccountId,
    #[serde(deserialize_with = "fields::region")]
    region: Region,
    #[serde(deserialize_with = "fields::instance_id")]
    instance_id: InstanceId,
    #[serde(deserialize_with = "fields::options")]
    before: MetadataOptions,
    #[serde(deserialize_with = "fields::change")]
    change: Change,
}

/// Returns the changes that the lines report, the oldest first.
///
/// # Errors
/// The first line that reports a change and is wrong.
pub fn changes(text: &str) -> Result<Vec<(InstanceId, Changed)>> {
    let mut changes = Vec::new();
    let mut take = |number: usize, line: &str| -> Result<()> {
        let change = change(line).with_context(|| format!("line {number}"))?;
        changes.extend(change);
        Ok(())
    };
    match serde_json::from_str::<Events>(text) {
        Ok(Events { events, next_token }) => {
            ensure!(
                next_token.is_none(),
                "it is only a part of the log, as it has a NextToken: export all of it, without --max-items"
            );
            events.iter().enumerate().try_for_each(|(place, event)| take(place + 1, &event.message))?;
        }
        Err(_) => text.lines().enumerate().try_for_each(|(place, line)| take(place + 1, line))?,
    }
    // Lines without a readable time come first, in their order.
    changes.sort_by_key(|(at, _, _)| *at);
    Ok(changes.into_iter().map(|(_, id, changed)| (id, changed)).collect())
}

/// Returns the change that a line reports, and when, if it reports one.
fn change(line: &str) -> Result<Option<(Option<OffsetDateTime>, InstanceId, Changed)>> {
    let Some(begin) = line.find('{') else { return Ok(None) };
    let line = &line[begin..];
    let Ok(value) = serde_json::from_str::<Value>(line) else {
        ensure!(!line.contains("\"instanceId\""), "it is cut off, or not JSON");
        return Ok(None);
    };
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    let is_accepted = text("outcome").is_some_and(|outcome| ACCEPTED.contains(&outcome));
    let has = |key: &str| value.get(key).is_some_and(Value::is_object);
    if !is_accepted || text("mode") == Some("dry-run") || !has("before") || !has("change") {
        return Ok(None);
    }
    let at = text("timestamp").and_then(|at| OffsetDateTime::parse(at, &Rfc3339).ok());
    let Line { account, region, instance_id, before, change } = serde_json::from_value(value)?;
    let set = *change.options();
    let before = before.iter().filter(|value| set.get(value.name()).is_some()).collect();
    Ok(Some((at, instance_id, Changed { account_region: AccountRegion { account, region }, set, before })))
}
