//! One account in one Region, for tests and demos in the same process.

use std::collections::BTreeMap;

use time::OffsetDateTime;

use crate::actions::{self, Context, Launched};
use crate::clock::Now;
use crate::events;
use crate::fault::Hidden;
use crate::instance::{Instance, Key, State};
use crate::request::{Request, uuid};
use crate::server::{Shared, lock};
use crate::world::{Transition, World};

/// One account in one Region. Its methods are not recorded as calls, are not throttled and are not affected by faults.
/// Their events are sent.
#[derive(Debug, Clone)]
pub struct AccountRegion {
    pub(crate) world: Shared,
    pub(crate) key: Key,
}

/// What to launch. The default is one running instance with IMDSv1 enabled and its options applied.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The number of instances.
    pub count: usize,
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
}

impl Default for Launch {
    fn default() -> Self {
        Self {
            count: 1,
            tags: Vec::new(),
            options: Vec::new(),
            client_token: None,
            operator: None,
            settled: true,
            state: None,
            launch_time: None,
            first_ran: None,
        }
    }
}

/// The current state of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceView {
    /// Its id.
    pub id: String,
    /// Its state, such as `running`.
    pub state: String,
    /// Its metadata options, with the API's names and values.
    pub options: BTreeMap<String, String>,
    /// `pending` or `applied`.
    pub options_state: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

impl From<&Instance> for InstanceView {
    fn from(instance: &Instance) -> Self {
        Self {
            id: instance.id.clone(),
            state: instance.state.name().to_owned(),
            options: instance.options.clone(),
            options_state: instance.options_state().to_owned(),
            tags: instance.tags.clone(),
        }
    }
}

fn launched(launch: &Launch) -> Launched {
    Launched {
        count: launch.count,
        image: "ami-12345678".to_owned(),
        instance_type: "m1.small".to_owned(),
        client_token: launch.client_token.clone().unwrap_or_default(),
        options: launch.options.iter().cloned().collect(),
        tags: launch.tags.iter().cloned().collect(),
        operator: launch.operator.clone(),
        launch_time: launch.launch_time,
        first_ran: launch.first_ran,
    }
}

impl AccountRegion {
    /// Launches instances and returns their ids.
    ///
    /// # Panics
    /// If `launch.state` is not a state of EC2.
    pub fn launch(&self, launch: Launch) -> Vec<String> {
        let state = launch.state.as_deref().map(|name| State::from_name(name).expect("a state of EC2's"));
        let launched = launched(&launch);
        self.with(|world, now| {
            let instances = actions::launch(world, &self.key, &launched, now);
            let request = self.launch_request(&launched);
            let cut_off = world.settings.cloudtrail_cut_off;
            let event = events::run_instances(&request, Ok(&instances), cut_off, now.time);
            world.emit(event);
            for Instance { id, .. } in &instances {
                if launch.settled {
                    self.settle(world, id, state.unwrap_or(State::Running), now);
                } else {
                    world.enter(&self.key, id, state.unwrap_or(State::Pending), now);
                }
            }
            instances.into_iter().map(|instance| instance.id).collect()
        })
    }

    /// The RunInstances call that corresponds to the launch.
    fn launch_request(&self, launched: &Launched) -> Request {
        let count = &launched.count.to_string();
        let parameters = [
            ("MinCount", count),
            ("MaxCount", count),
            ("ImageId", &launched.image),
            ("InstanceType", &launched.instance_type),
            ("ClientToken", &launched.client_token),
        ];
        self.request("RunInstances", &parameters.map(|(name, value)| (name, value.as_str())))
    }

    fn settle(&self, world: &mut World, id: &str, state: State, now: Now) {
        if let Some(instance) = world.account(&self.key).find_mut(id) {
            (instance.state, instance.applied) = (state, true);
            let event = events::state_change(&self.key, id, state, now.time);
            world.emit(event);
        }
    }

    /// Starts a stopped instance.
    ///
    /// # Panics
    /// If EC2 would refuse the change. This applies to all methods that change something.
    pub fn start(&self, id: &str) {
        self.transit(id, Transition::Start);
    }

    /// Stops a running instance.
    pub fn stop(&self, id: &str) {
        self.transit(id, Transition::Stop);
    }

    /// Terminates an instance.
    pub fn terminate(&self, id: &str) {
        self.transit(id, Transition::Terminate);
    }

    fn transit(&self, id: &str, transition: Transition) {
        let result = self.with(|world, now| world.transit(&self.key, id, transition, now));
        result.unwrap_or_else(|error| panic!("{transition:?} of {id}: {error}"));
    }

    /// Adds a tag to an instance.
    pub fn tag(&self, id: &str, key: &str, value: &str) {
        self.call("CreateTags", &[("ResourceId.1", id), ("Tag.1.Key", key), ("Tag.1.Value", value)]);
    }

    /// Removes a tag from an instance.
    pub fn untag(&self, id: &str, key: &str) {
        self.call("DeleteTags", &[("ResourceId.1", id), ("Tag.1.Key", key)]);
    }

    /// Changes metadata options, as another user would.
    pub fn modify(&self, id: &str, options: &[(&str, &str)]) {
        let parameters: Vec<_> = [("InstanceId", id)].into_iter().chain(options.iter().copied()).collect();
        self.call("ModifyInstanceMetadataOptions", &parameters);
    }

    /// Sets whether the account's defaults enforce tokens.
    pub fn set_tokens_enforced(&self, enforced: bool) {
        let value = if enforced { "enabled" } else { "disabled" };
        self.call("ModifyInstanceMetadataDefaults", &[("HttpTokensEnforced", value)]);
    }

    /// The instance, if it exists.
    pub fn instance(&self, id: &str) -> Option<InstanceView> {
        self.with(|world, _| world.account(&self.key).find(id).map(InstanceView::from))
    }

    /// Every instance, in launch order.
    pub fn instances(&self) -> Vec<InstanceView> {
        self.with(|world, _| world.account(&self.key).instances.iter().map(InstanceView::from).collect())
    }

    fn with<T>(&self, work: impl FnOnce(&mut World, Now) -> T) -> T {
        let (mut world, now) = (lock(&self.world), Now::read());
        world.advance(now);
        work(&mut world, now)
    }

    fn request(&self, action: &str, parameters: &[(&str, &str)]) -> Request {
        let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let (account, region) = self.key.clone();
        Request {
            id: uuid(),
            action: action.to_owned(),
            account,
            region,
            parameters: parameters.collect(),
            session: None,
        }
    }

    fn call(&self, action: &str, parameters: &[(&str, &str)]) {
        let request = self.request(action, parameters);
        let key = self.key.clone();
        let answer = self.with(|world, now| {
            actions::answer(&mut Context { world, request: &request, key, now, hidden: &Hidden::default() })
        });
        answer.unwrap_or_else(|error| panic!("{action} with {parameters:?}: {error}"));
    }
}
