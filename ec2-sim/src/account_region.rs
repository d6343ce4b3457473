//! One account in one Region, for tests and demos in the same process.

use std::collections::BTreeMap;

use time::{Date, OffsetDateTime};

use crate::actions::{self, Context};
use crate::clock::Now;
use crate::fault::Hidden;
use crate::instance::{Instance, Key};
use crate::launch::{self, Launch};
use crate::metrics::Metric;
use crate::request::Request;
use crate::server::{Shared, lock};
use crate::template::{Image, LaunchTemplate};
use crate::world::{Transition, World};

/// One account in one Region. Its methods are not recorded as calls, are not throttled and are not affected by faults.
/// Their events are sent.
#[derive(Debug, Clone)]
pub struct AccountRegion {
    pub(crate) world: Shared,
    pub(crate) key: Key,
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

impl AccountRegion {
    /// Launches instances and returns their ids.
    ///
    /// # Panics
    /// If `launch.state` is not a state of EC2.
    pub fn launch(&self, launch: Launch) -> Vec<String> {
        let launched = self.with(|world, now| launch::launch(world, &self.key, &launch, now));
        launched.unwrap_or_else(|error| panic!("a launch: {error}"))
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

    /// Adds a tag to an instance as AWS services do: the key can begin with `aws:`.
    pub fn tag_as_aws(&self, id: &str, key: &str, value: &str) {
        let tags = [(key.to_owned(), value.to_owned())];
        let tagged = self.with(|world, now| actions::tag(world, &self.key, id, &tags, now));
        tagged.unwrap_or_else(|error| panic!("{key} for {id}: {error}"));
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

    /// Changes the account's defaults of metadata options, such as `("HttpTokens", "required")`.
    ///
    /// # Panics
    /// If a declarative policy manages them.
    pub fn set_defaults(&self, defaults: &[(&str, &str)]) {
        self.call("ModifyInstanceMetadataDefaults", defaults);
    }

    /// Lets a declarative policy with this exception message, which can be empty, manage the account's defaults. They
    /// keep their values, and calls that change them are refused.
    pub fn set_defaults_managed(&self, message: &str) {
        self.with(|world, _| world.account(&self.key).managed_defaults = Some(message.to_owned()));
    }

    /// Sets up a launch template. It replaces the one with the same id.
    ///
    /// # Panics
    /// If the id or an option is not valid, if there is no version, if the numbers of versions do not increase, or if
    /// the default version does not exist.
    pub fn set_launch_template(&self, template: LaunchTemplate) {
        let template = template.numbered().unwrap_or_else(|error| panic!("a launch template: {error}"));
        self.with(|world, _| world.account(&self.key).templates.insert(template.id.clone(), template));
    }

    /// Sets up an image that calls find. It replaces the one with the same id. Launches accept any image.
    ///
    /// # Panics
    /// If the id or `imds_support` is not valid.
    pub fn set_image(&self, image: Image) {
        image.check().unwrap_or_else(|error| panic!("an image: {error}"));
        self.with(|world, _| world.account(&self.key).images.insert(image.id.clone(), image));
    }

    /// Sets the sums of a metric of instances, such as `MetadataNoToken`, on days in UTC. A sum replaces all data of its
    /// day; `None` deletes them. The instances need not exist.
    pub fn set_daily_sums(&self, ids: &[String], metric: &str, sums: &[(Date, Option<f64>)]) {
        self.with(|world, _| {
            let metrics = &mut world.account(&self.key).metrics;
            for id in ids {
                for (day, sum) in sums {
                    metrics.set_day(Metric::of_instance(id, metric), *day, *sum);
                }
            }
        });
    }

    /// Sets the sum of a metric of an instance in a minute. It replaces all data of the minute; `None` deletes them.
    pub fn set_sum(&self, id: &str, metric: &str, time: OffsetDateTime, sum: Option<f64>) {
        self.with(|world, _| {
            world.account(&self.key).metrics.set_minute(Metric::of_instance(id, metric), time, sum);
        });
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

    fn call(&self, action: &str, parameters: &[(&str, &str)]) {
        let request = Request::of(&self.key, action, parameters);
        let key = self.key.clone();
        let answer = self.with(|world, now| {
            actions::answer(&mut Context { world, request: &request, key, now, hidden: &Hidden::default() })
        });
        answer.unwrap_or_else(|error| panic!("{action} with {parameters:?}: {error}"));
    }
}
