//! An embedded EC2 endpoint, for demo and tests.
//!
//! It speaks EC2's Query API over HTTP as far as instances and their metadata options go: to the AWS CLI, to boto3
//! and to the SDKs. What a running instance is asked for is `pending` first and `applied` after a delay, a dry run
//! changes nothing, and what EC2 refuses is refused with EC2's codes. State is kept apart by account (the access
//! key, where it is an account id) and Region (that of the signature). STS's AssumeRole answers with a session that
//! acts in the role's account. Calls are recorded, faults happen on demand, and the events that AWS would send to
//! EventBridge can be taken, posted to a Lambda runtime emulator, or put on the bus of an EventBridge emulator.
//!
//! Nothing here authenticates anyone: it is meant to listen on the loopback interface.

mod account_region;
mod actions;
mod bucket;
mod call;
mod clock;
mod control;
mod deliver;
mod error;
mod events;
mod fault;
mod instance;
mod pattern;
mod request;
mod server;
mod session;
mod settings;
mod world;
mod xml;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub use account_region::{AccountRegion, InstanceView, Launch};
pub use bucket::{Bucket, Buckets};
pub use fault::{Fault, FaultKind, When};
pub use settings::Settings;
pub use world::RecordedCall;

use server::{Shared, lock};
use world::World;

/// A simulator that is listening. It stops when it is dropped.
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
    /// If it cannot listen at `settings.listen`, or a URL to deliver to is not valid: see [`Settings`].
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

    /// Every call so far, or since they were cleared.
    pub fn calls(&self) -> Vec<RecordedCall> {
        lock(&self.world).calls.clone()
    }

    /// Forgets the calls so far.
    pub fn clear_calls(&self) {
        lock(&self.world).calls.clear();
    }

    /// Lets something go wrong, beside what does already.
    pub fn inject(&self, fault: Fault) {
        lock(&self.world).faults.push(fault);
    }

    /// Lets nothing go wrong any more.
    pub fn clear_faults(&self) {
        lock(&self.world).faults.clear();
    }

    /// The events since they were last taken, the oldest first.
    pub fn take_events(&self) -> Vec<Value> {
        let mut world = lock(&self.world);
        world.advance(clock::Now::read());
        world.take_events()
    }
}
