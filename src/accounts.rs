//! (account, Region) → EC2.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use aws_config::SdkConfig;
use imds_core::ids::{Place, Region};

use crate::ec2::Ec2;

/// Clients, made at first use and kept: connections and credentials outlive an invocation.
#[derive(Debug)]
pub struct Accounts {
    shared: SdkConfig,
    clients: Mutex<HashMap<Region, Ec2>>,
}

impl Accounts {
    /// Reaches EC2 with the credentials and settings of `shared`.
    pub fn new(shared: SdkConfig) -> Self {
        Self { shared, clients: Mutex::default() }
    }

    /// EC2 at `place`. The function's own credentials serve every account.
    pub fn ec2(&self, place: &Place) -> Ec2 {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let client = clients.entry(place.region.clone());
        client.or_insert_with(|| Ec2::new(&self.shared, &place.region)).clone()
    }
}
