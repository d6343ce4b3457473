//! (account, Region) → EC2.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use aws_config::SdkConfig;
use imds_core::ids::Place;
use imds_core::outcome::Call;

use crate::ec2::{Count, Ec2};
use crate::pace::Pacer;

/// Clients, made at first use and kept: connections, credentials and pace outlive an invocation.
#[derive(Debug)]
pub struct Accounts {
    shared: SdkConfig,
    modify_rate: f64,
    reached: Mutex<HashMap<Place, Reach>>,
}

/// EC2 in one account and Region, and how fast we may change things there.
#[derive(Debug, Clone)]
pub struct Reach {
    /// EC2.
    pub ec2: Ec2,
    /// The pace of changes.
    pub pacer: Arc<Pacer>,
}

impl Accounts {
    /// Reaches EC2 with the credentials and settings of `shared`; `modify_rate` is changes a second, per account and
    /// Region.
    pub fn new(shared: SdkConfig, modify_rate: f64) -> Self {
        Self { shared, modify_rate, reached: Mutex::default() }
    }

    /// EC2 at `place`. The function's own credentials serve every account.
    pub fn reach(&self, place: &Place) -> Reach {
        let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        let reach = || Reach {
            ec2: Ec2::new(&self.shared, &place.region),
            pacer: Arc::new(Pacer::new(self.modify_rate)),
        };
        reached.entry(place.clone()).or_insert_with(reach).clone()
    }

    /// The calls since this was last asked for, where there were any.
    pub fn take_counts(&self) -> Vec<(Place, BTreeMap<Call, Count>)> {
        let reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = reached.iter().map(|(place, reach)| (place.clone(), reach.ec2.take_counts()));
        counts.filter(|(_, counts)| !counts.is_empty()).collect()
    }
}
