//! An embedded EC2 endpoint, for demos and tests.
//!
//! It implements the part of the EC2 Query API that covers instances and their metadata options, for the AWS CLI, boto3
//! and the AWS SDKs. A change on a running instance is `pending` first and `applied` after a delay. A dry run changes
//! nothing. Invalid calls are refused with EC2's error codes. Each account (the access key, if it is an account id) and
//! Region (from the signature) has its own state. AssumeRole of STS returns a session that acts in the role's account.
//! CloudWatch's GetMetricData and PutMetricData, at the same endpoint, read and write metrics. Operations of AWS
//! Organizations list the accounts of an organization.
//! Calls are recorded and faults can be injected. The events that AWS would send to EventBridge can be read, posted to
//! a Lambda runtime emulator, or put on the bus of an EventBridge emulator.
//!
//! Requests are not authenticated. Let the simulator listen on the loopback interface only.

mod account_region;
mod actions;
mod api;
mod bucket;
mod call;
mod clock;
mod cloudwatch;
mod codec;
mod control;
mod deliver;
mod error;
mod events;
mod fault;
mod instance;
mod launch;
mod metrics;
mod organization;
mod organizations;
mod pattern;
mod regions;
mod request;
mod response;
mod server;
mod session;
mod settings;
mod template;
mod world;
mod xml;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub use account_region::{AccountRegion, InstanceView};
pub use bucket::{Bucket, Buckets};
pub use fault::{Fault, FaultKind, When};
pub use launch::Launch;
pub use organization::{AccountState, Organization, OrganizationAccount, OrganizationalUnit};
pub use settings::Settings;
pub use template::{Image, LaunchTemplate, LaunchTemplateVersion};
pub use world::RecordedCall;

use server::{Shared, lock};
use world::World;

/// A running simulator. It stops when it is dropped.
#[derive(Debug)]
pub struct Ec2Sim {
    address: SocketAddr,
    world: Shared,
    _tasks: JoinSet<()>,
}

impl Ec2Sim {
    /// Starts a simulator on the current tokio runtime.
    ///
    /// # Errors
    /// If it cannot listen at `settings.listen`, or if a delivery URL is not valid. See [`Settings`].
    pub async fn start(settings: Settings) -> io::Result<Self> {
        let listener = TcpListener::bind(settings.listen).await?;
        let address = listener.local_addr()?;
        let mut tasks = JoinSet::new();
        let deliveries = deliver::start(&settings, &mut tasks)?;
        let world = Arc::new(Mutex::new(World::new(settings, deliveries)));
        tasks.spawn(server::keep_time(Arc::clone(&world)));
        tasks.spawn(server::serve(listener, Arc::clone(&world)));
        Ok(Self { address, world, _tasks: tasks })
    }

    /// The endpoint's URL.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// One account in one Region.
    pub fn account_region(&self, account: &str, region: &str) -> AccountRegion {
        AccountRegion { world: Arc::clone(&self.world), key: (account.to_owned(), region.to_owned()) }
    }

    /// Sets the Regions that an account has on, such as `["us-east-1", "ap-east-1"]`. Calls of EC2 and CloudWatch in
    /// its other Regions are then refused. By default, an account has the Regions that need no opt-in, and calls in any
    /// Region succeed.
    ///
    /// # Panics
    /// If a Region is not one of AWS's commercial partition.
    pub fn set_regions(&self, account: &str, regions: &[&str]) {
        let set = lock(&self.world).regions.set(account, regions);
        set.unwrap_or_else(|error| panic!("the Regions of {account}: {error}"));
    }

    /// Sets up the organization that AWS Organizations has. Without one, no account is a member of an organization.
    ///
    /// # Panics
    /// If an id is not valid or occurs more than once, or if the management account is not one of the accounts.
    pub fn set_organization(&self, organization: Organization) {
        organization.check().unwrap_or_else(|error| panic!("an organization: {error}"));
        lock(&self.world).organization = Some(organization);
    }

    /// Every call so far, or since they were cleared.
    pub fn calls(&self) -> Vec<RecordedCall> {
        lock(&self.world).calls.clone()
    }

    /// Deletes the recorded calls.
    pub fn clear_calls(&self) {
        lock(&self.world).calls.clear();
    }

    /// Adds a fault.
    pub fn inject(&self, fault: Fault) {
        lock(&self.world).faults.push(fault);
    }

    /// Removes all faults.
    pub fn clear_faults(&self) {
        lock(&self.world).faults.clear();
    }

    /// Takes the events since the last call of this method, the oldest first.
    pub fn take_events(&self) -> Vec<Value> {
        let mut world = lock(&self.world);
        world.advance(clock::Now::read());
        world.take_events()
    }
}
