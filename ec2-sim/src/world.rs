//! The state of the simulator: instances by account and Region, timers, faults, recorded calls and events.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use serde::Serialize;
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;

use crate::bucket::Levels;
use crate::clock::Now;
use crate::error::ApiError;
use crate::events;
use crate::fault::Fault;
use crate::instance::{Instance, Key, OPTIONS, Options, State};
use crate::metrics::Metrics;
use crate::organization::Organization;
use crate::regions::Regions;
use crate::session::Sessions;
use crate::settings::Settings;
use crate::template::{Image, LaunchTemplate};

/// A recorded call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordedCall {
    /// The action.
    pub action: String,
    /// The caller's account.
    pub account: String,
    /// The Region.
    pub region: String,
    /// The instances that the call named, in the order of its parameters. For CloudWatch, those in the dimension
    /// `InstanceId` of its queries or metrics; none for AWS Organizations.
    pub instance_ids: Vec<String>,
    /// All its parameters. For CloudWatch and AWS Organizations, the members of the input that are text or numbers,
    /// such as `NextToken`; for CloudWatch, the number of `MetricDataQueries` or `MetricData`, and the
    /// `Namespace`, `MetricName`, `Period` and `Stat` that all of them have in common.
    pub parameters: BTreeMap<String, String>,
    /// The HTTP status of the response; `None` if there was no response.
    pub status: Option<u16>,
    /// The error code of the response.
    pub code: Option<String>,
    /// The `kind` of the fault that affected the call.
    pub fault: Option<String>,
    /// The ARN of the role whose session made the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The name of that session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_name: Option<String>,
}

/// A change that a timer causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    State(State),
    Applied,
}

/// One account in one Region.
#[derive(Debug, Default)]
pub struct Account {
    /// In launch order.
    pub instances: Vec<Instance>,
    by_id: HashMap<String, usize>,
    pub defaults: BTreeMap<String, String>,
    /// The exception message of the declarative policy that manages the defaults, if one does.
    pub managed_defaults: Option<String>,
    /// The parameters of RunInstances calls by their client tokens.
    pub launches: HashMap<String, BTreeMap<String, String>>,
    pub levels: Levels,
    /// By id, as are the images.
    pub templates: BTreeMap<String, LaunchTemplate>,
    pub images: BTreeMap<String, Image>,
    pub metrics: Metrics,
}

impl Account {
    /// The position of the instance in `instances`, which never changes.
    pub fn position(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    pub fn find(&self, id: &str) -> Option<&Instance> {
        self.position(id).map(|position| &self.instances[position])
    }

    pub fn find_mut(&mut self, id: &str) -> Option<&mut Instance> {
        self.position(id).map(|position| &mut self.instances[position])
    }

    pub fn add(&mut self, instance: Instance) {
        self.by_id.insert(instance.id.clone(), self.instances.len());
        self.instances.push(instance);
    }

    /// The options of instances whose launch does not set them.
    pub fn default_options(&self) -> Options {
        let value = |(name, _, old): (&str, _, &str)| {
            let default = self.defaults.get(name).filter(|value| *value != "no-preference" && *value != "-1");
            (name.to_owned(), default.cloned().unwrap_or(old.to_owned()))
        };
        OPTIONS.into_iter().map(value).collect()
    }

    pub fn enforces_tokens(&self) -> bool {
        self.defaults.get("HttpTokensEnforced").is_some_and(|value| value == "enabled")
    }
}

/// The state of the simulator.
#[derive(Debug)]
pub struct World {
    pub settings: Settings,
    pub accounts: BTreeMap<Key, Account>,
    pub calls: Vec<RecordedCall>,
    pub faults: Vec<Fault>,
    /// The sessions, including expired ones.
    pub sessions: Sessions,
    pub regions: Regions,
    pub organization: Option<Organization>,
    pub chance: fastrand::Rng,
    events: Vec<Value>,
    /// The queue of each delivery target.
    deliveries: Vec<UnboundedSender<Value>>,
    timers: BTreeSet<(Instant, u64, Key, String, Due)>,
    sequence: u64,
}

impl World {
    pub fn new(settings: Settings, deliveries: Vec<UnboundedSender<Value>>) -> Self {
        Self {
            chance: fastrand::Rng::with_seed(settings.seed),
            settings,
            accounts: BTreeMap::new(),
            calls: Vec::new(),
            faults: Vec::new(),
            sessions: Sessions::new(),
            regions: Regions::default(),
            organization: None,
            events: Vec::new(),
            deliveries,
            timers: BTreeSet::new(),
            sequence: 0,
        }
    }

    /// Deletes all state except the settings and the events that wait for delivery.
    pub fn reset(&mut self) {
        *self = Self::new(self.settings.clone(), std::mem::take(&mut self.deliveries));
    }

    pub fn account(&mut self, key: &Key) -> &mut Account {
        self.accounts.entry(key.clone()).or_default()
    }

    /// A number that this method has not returned before.
    pub fn next(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// 17 hexadecimal digits in the form of EC2's ids, which this method has not returned before.
    pub fn next_hex(&mut self) -> String {
        let sequence = self.next();
        format!("{:09x}{:08x}", self.chance.u64(..) & 0xf_ffff_ffff, sequence)
    }

    pub fn emit(&mut self, event: Value) {
        for queue in &self.deliveries {
            // Sending fails only while the simulator stops.
            let _ = queue.send(event.clone());
        }
        self.events.push(event);
    }

    pub fn events(&self) -> &[Value] {
        &self.events
    }

    pub fn take_events(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.events)
    }

    /// Puts an instance in a state, emits the event, and sets the timers of the changes that follow.
    pub fn enter(&mut self, key: &Key, id: &str, state: State, now: Now) {
        let Some(instance) = self.account(key).find_mut(id) else { return };
        instance.state = state;
        instance.state_due = None;
        self.emit(events::state_change(key, id, state, now.time));
        let delay = match state {
            State::Pending => self.settings.start_delay,
            _ => self.settings.state_delay,
        };
        if let Some(next) = state.next() {
            self.set_timer(now.instant + delay, key, id, Due::State(next));
        }
        if state == State::Running {
            self.await_applied(key, id, now);
        }
        self.advance(now);
    }

    /// Sets the timer after which the options are applied, if the instance is running.
    pub fn await_applied(&mut self, key: &Key, id: &str, now: Now) {
        let is_awaited = self
            .account(key)
            .find(id)
            .is_some_and(|instance| instance.state == State::Running && !instance.applied);
        if is_awaited {
            self.set_timer(now.instant + self.settings.apply_delay, key, id, Due::Applied);
        }
    }

    /// Sets a timer. It replaces an earlier timer of the same kind.
    fn set_timer(&mut self, at: Instant, key: &Key, id: &str, due: Due) {
        let Some(instance) = self.account(key).find_mut(id) else { return };
        match due {
            Due::State(_) => instance.state_due = Some(at),
            Due::Applied => instance.applied_due = Some(at),
        }
        let sequence = self.next();
        self.timers.insert((at, sequence, key.clone(), id.to_owned(), due));
    }

    /// Makes the changes that are due.
    pub fn advance(&mut self, now: Now) {
        while self.timers.first().is_some_and(|timer| timer.0 <= now.instant) {
            let Some((at, _, key, id, due)) = self.timers.pop_first() else { return };
            let Some(instance) = self.account(&key).find_mut(&id) else { continue };
            match due {
                Due::State(state) if instance.state_due == Some(at) => self.enter(&key, &id, state, now),
                Due::Applied if instance.applied_due == Some(at) => {
                    instance.applied |= instance.state == State::Running;
                }
                _ => {}
            }
        }
    }

    /// Starts, stops or terminates an instance if its state allows it. Returns the previous state.
    pub fn transit(&mut self, key: &Key, id: &str, action: Transition, now: Now) -> Result<State, ApiError> {
        let instance = self.account(key).find_mut(id).ok_or_else(|| ApiError::not_found(&[id.to_owned()]))?;
        let before = instance.state;
        if let Some(state) = action.entered_from(id, before)? {
            if action == Transition::Start {
                // In EC2, a start renews the launch time.
                instance.launch_time = now.time;
            }
            self.enter(key, id, state, now);
        }
        Ok(before)
    }
}

/// A change of state that a caller can request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    Start,
    Stop,
    Terminate,
}

impl Transition {
    fn name(self) -> &'static str {
        match self {
            Self::Start => "StartInstances",
            Self::Stop => "StopInstances",
            Self::Terminate => "TerminateInstances",
        }
    }

    /// The next state, or `None` if there is nothing to do.
    pub fn entered_from(self, id: &str, state: State) -> Result<Option<State>, ApiError> {
        use State::*;
        match (self, state) {
            (Self::Start, Stopped) => Ok(Some(Pending)),
            (Self::Start, Pending | Running) => Ok(None),
            (Self::Stop, Running | Pending) => Ok(Some(Stopping)),
            (Self::Stop, Stopping | Stopped) => Ok(None),
            (Self::Terminate, ShuttingDown | Terminated) => Ok(None),
            (Self::Terminate, _) => Ok(Some(ShuttingDown)),
            _ => Err(ApiError::wrong_state(id, self.name(), state.name())),
        }
    }
}
