//! Launches without a call, for tests and demos.

use time::OffsetDateTime;

use crate::actions::{self, Launched};
use crate::clock::Now;
use crate::events;
use crate::instance::{Instance, Key, State};
use crate::request::Request;
use crate::world::World;

/// What to launch. The default is one running instance with IMDSv1 enabled and its options applied.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The number of instances.
    pub count: usize,
    /// Their image; `ami-12345678` by default.
    pub image: String,
    /// Their tags. Keys can begin with `aws:`, as tags that AWS creates do.
    pub tags: Vec<(String, String)>,
    /// The metadata options that differ from the account's defaults, with the API's names and values.
    pub options: Vec<(String, String)>,
    /// The client token of the launch.
    pub client_token: Option<String>,
    /// The principal of the service that manages them.
    pub operator: Option<String>,
    /// Whether they are in their final state at once, with their options applied. Otherwise they begin as `pending`.
    pub settled: bool,
    /// Their state after the launch; by default `running` if `settled` and `pending` otherwise.
    pub state: Option<String>,
    /// Their launch time, which a start renews; now by default.
    pub launch_time: Option<OffsetDateTime>,
    /// When they first ran, which is when their network interfaces were attached; their launch time by default.
    pub first_ran: Option<OffsetDateTime>,
    /// Whether the events of the launch and of the states are sent; `true` by default. Instances that ran before have
    /// sent theirs.
    pub sends_events: bool,
}

impl Default for Launch {
    fn default() -> Self {
        Self {
            count: 1,
            image: "ami-12345678".to_owned(),
            tags: Vec::new(),
            options: Vec::new(),
            client_token: None,
            operator: None,
            settled: true,
            state: None,
            launch_time: None,
            first_ran: None,
            sends_events: true,
        }
    }
}

/// The state of a launch is unknown.
#[derive(Debug, thiserror::Error)]
#[error("EC2 has no instance state {0}")]
pub struct UnknownState(String);

/// Launches instances and returns their ids.
pub fn launch(world: &mut World, key: &Key, launch: &Launch, now: Now) -> Result<Vec<String>, UnknownState> {
    let state = state(launch)?;
    let launched = launched(launch);
    let instances = actions::launch(world, key, &launched, now);
    if launch.sends_events {
        let request = request(key, &launched);
        let cut_off = world.settings.cloudtrail_cut_off;
        world.emit(events::run_instances(&request, Ok(&instances), cut_off, now.time));
    }
    for Instance { id, .. } in &instances {
        if launch.settled {
            settle(world, key, id, state);
            if launch.sends_events {
                world.emit(events::state_change(key, id, state, now.time));
            }
        } else {
            world.enter(key, id, state, now);
        }
    }
    Ok(instances.into_iter().map(|instance| instance.id).collect())
}

/// The state of the instances after the launch.
pub fn state(launch: &Launch) -> Result<State, UnknownState> {
    match &launch.state {
        Some(name) => State::from_name(name).ok_or_else(|| UnknownState(name.clone())),
        None if launch.settled => Ok(State::Running),
        None => Ok(State::Pending),
    }
}

fn settle(world: &mut World, key: &Key, id: &str, state: State) {
    if let Some(instance) = world.account(key).find_mut(id) {
        (instance.state, instance.applied) = (state, true);
    }
}

fn launched(launch: &Launch) -> Launched {
    Launched {
        count: launch.count,
        image: launch.image.clone(),
        instance_type: "m1.small".to_owned(),
        client_token: launch.client_token.clone().unwrap_or_default(),
        options: launch.options.iter().cloned().collect(),
        tags: launch.tags.iter().cloned().collect(),
        operator: launch.operator.clone(),
        launch_time: launch.launch_time,
        first_ran: launch.first_ran,
    }
}

/// The RunInstances call that corresponds to the launch.
fn request(key: &Key, launched: &Launched) -> Request {
    let count = &launched.count.to_string();
    let parameters = [
        ("MinCount", count),
        ("MaxCount", count),
        ("ImageId", &launched.image),
        ("InstanceType", &launched.instance_type),
        ("ClientToken", &launched.client_token),
    ];
    Request::of(key, "RunInstances", &parameters.map(|(name, value)| (name, value.as_str())))
}
