//! The controls that set up state: instances that ran before, tags as AWS sets them, and metrics.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::{Value, json};
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, Duration, OffsetDateTime};

use crate::actions;
use crate::clock::Now;
use crate::error::ApiError;
use crate::instance::{Key, Options, State, check_options, check_tags};
use crate::launch::{self, Launch};
use crate::metrics::Metric;
use crate::organization::InvalidOrganization;
use crate::regions::UnknownRegion;
use crate::request::DEFAULT_ACCOUNT;
use crate::world::World;

/// The maximum number of instances per request.
const MOST_INSTANCES: usize = 100_000;

const DAY: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]");

/// Why a control is refused.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    #[error("{0}")]
    Ec2(#[from] ApiError),
    #[error("{0}")]
    State(#[from] launch::UnknownState),
    #[error("{0}")]
    Region(#[from] UnknownRegion),
    #[error("{0}")]
    Organization(#[from] InvalidOrganization),
    #[error("count must be 1 to {MOST_INSTANCES}")]
    Count,
    #[error("{0:?} is not a time of RFC 3339, and not an age in seconds")]
    Time(Value),
    #[error("firstRan must not be after launchTime")]
    Order,
    #[error("{0:?} is not a day, not a time of RFC 3339, and not a number of days before today")]
    Day(String),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Instances {
    account: Option<String>,
    region: String,
    count: Option<usize>,
    image: Option<String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    #[serde(default)]
    options: Options,
    operator: Option<String>,
    state: Option<String>,
    launch_time: Option<Value>,
    first_ran: Option<Value>,
    #[serde(default)]
    send_events: bool,
}

/// Adds the instances of one launch or of a list of them, of all or of none. Returns their ids by launch.
pub fn instances(world: &mut World, body: &[u8], now: Now) -> Result<Value, Refused> {
    let body: Value = serde_json::from_slice(body)?;
    let is_list = body.is_array();
    let asked = if is_list { Vec::deserialize(body)? } else { vec![Instances::deserialize(body)?] };
    let launches = asked.into_iter().map(|asked| asked.checked(world, now));
    let launches = launches.collect::<Result<Vec<_>, Refused>>()?;
    let total = launches.iter().map(|(_, launch)| launch.count).fold(0, usize::saturating_add);
    if total > MOST_INSTANCES || launches.iter().any(|(_, launch)| launch.count == 0) {
        return Err(Refused::Count);
    }
    let ids = launches
        .iter()
        .map(|(key, launch)| Ok(json!({"instanceIds": launch::launch(world, key, launch, now)?})));
    let mut ids = ids.collect::<Result<Vec<Value>, Refused>>()?;
    Ok(if is_list { ids.into() } else { ids.pop().unwrap_or_default() })
}

impl Instances {
    /// The account and Region, and the launch.
    fn checked(mut self, world: &mut World, now: Now) -> Result<(Key, Launch), Refused> {
        let key = key(self.account.take(), std::mem::take(&mut self.region));
        check_options(&self.options)?;
        let mut options = world.account(&key).default_options();
        options.extend(self.options.clone());
        check_tags(&self.tags, &options)?;
        let launch = self.launch(now)?;
        launch::state(&launch)?;
        Ok((key, launch))
    }

    fn launch(self, now: Now) -> Result<Launch, Refused> {
        let (launch_time, first_ran) = times(self.launch_time, self.first_ran, now)?;
        let state = self.state.as_deref().and_then(State::from_name);
        let launch = Launch {
            count: self.count.unwrap_or(1),
            tags: self.tags.into_iter().collect(),
            options: self.options.into_iter().collect(),
            operator: self.operator,
            // An instance in a transitional state enters the next one.
            settled: state.is_none_or(|state| state.next().is_none()),
            state: self.state,
            launch_time: Some(launch_time),
            first_ran: Some(first_ran),
            sends_events: self.send_events,
            ..Launch::default()
        };
        Ok(Launch { image: self.image.unwrap_or(launch.image), ..launch })
    }
}

/// The account of a control.
pub fn account(account: Option<String>) -> String {
    account.unwrap_or_else(|| DEFAULT_ACCOUNT.to_owned())
}

/// The account and the Region of a control.
pub fn key(account: Option<String>, region: String) -> Key {
    (self::account(account), region)
}

/// The launch time, and when the instances first ran. Each is the other by default, and both are now without either.
fn times(
    launch_time: Option<Value>,
    first_ran: Option<Value>,
    now: Now,
) -> Result<(OffsetDateTime, OffsetDateTime), Refused> {
    let read = |time: Option<Value>| time.map(|time| moment(time, now)).transpose();
    let (launch_time, first_ran) = (read(launch_time)?, read(first_ran)?);
    let launch_time = launch_time.or(first_ran).unwrap_or(now.time);
    let first_ran = first_ran.unwrap_or(launch_time);
    if first_ran > launch_time { Err(Refused::Order) } else { Ok((launch_time, first_ran)) }
}

/// A time in RFC 3339, or an age in seconds.
fn moment(value: Value, now: Now) -> Result<OffsetDateTime, Refused> {
    let time = match &value {
        Value::String(text) => OffsetDateTime::parse(text, &Rfc3339).ok(),
        value => value.as_u64().and_then(|age| ago(now, Duration::seconds(i64::try_from(age).ok()?))),
    };
    // EC2's times are in UTC.
    time.map(|time| time.to_offset(time::UtcOffset::UTC)).ok_or(Refused::Time(value))
}

fn ago(now: Now, age: Duration) -> Option<OffsetDateTime> {
    now.time.checked_sub(age)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Tags {
    account: Option<String>,
    region: String,
    instances: Vec<String>,
    tags: BTreeMap<String, String>,
}

/// Adds tags to all of the instances or to none. Keys can begin with `aws:`.
pub fn tags(world: &mut World, body: &[u8], now: Now) -> Result<(), Refused> {
    let asked: Tags = serde_json::from_slice(body)?;
    let key = key(asked.account, asked.region);
    let tags: Vec<(String, String)> = asked.tags.into_iter().collect();
    for id in &asked.instances {
        let instance = world.account(&key).find(id).ok_or_else(|| ApiError::not_found(&[id.to_owned()]))?;
        instance.clone().tag(&tags)?;
    }
    for id in &asked.instances {
        actions::tag(world, &key, id, &tags, now)?;
    }
    Ok(())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Metrics {
    account: Option<String>,
    region: String,
    instances: Vec<String>,
    metric: String,
    sums: HashMap<String, Option<f64>>,
}

enum When {
    Day(Date),
    Minute(OffsetDateTime),
}

/// Sets the sums of a metric of instances.
pub fn metrics(world: &mut World, body: &[u8], now: Now) -> Result<(), Refused> {
    let asked: Metrics = serde_json::from_slice(body)?;
    let key = key(asked.account, asked.region);
    let sums = asked.sums.into_iter().map(|(time, sum)| Ok((when(&time, now)?, sum)));
    let mut sums = sums.collect::<Result<Vec<_>, Refused>>()?;
    // A sum of a day replaces the minutes of the day, so that days come first.
    sums.sort_by_key(|(when, _)| matches!(when, When::Minute(_)));
    let metrics = &mut world.account(&key).metrics;
    for id in &asked.instances {
        for (when, sum) in &sums {
            let metric = Metric::of_instance(id, &asked.metric);
            match when {
                When::Day(day) => metrics.set_day(metric, *day, *sum),
                When::Minute(time) => metrics.set_minute(metric, *time, *sum),
            }
        }
    }
    Ok(())
}

/// A day, `2026-03-17` or a number of days before today (UTC), or a time.
fn when(text: &str, now: Now) -> Result<When, Refused> {
    let days_ago = || {
        let days = text.parse::<u16>().ok()?;
        Some(When::Day(ago(now, Duration::days(days.into()))?.date()))
    };
    let day = || Date::parse(text, DAY).ok().map(When::Day);
    let time = || OffsetDateTime::parse(text, &Rfc3339).ok().map(When::Minute);
    days_ago().or_else(day).or_else(time).ok_or_else(|| Refused::Day(text.to_owned()))
}
