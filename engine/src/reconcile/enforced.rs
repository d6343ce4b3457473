//! The result of a batch of deliveries, besides the outcomes of instances.

use std::collections::BTreeMap;

use imds_core::ids::AccountRegion;

use super::target::{Delivery, Retry, Unresolved};

/// The result of a batch of deliveries, besides the outcomes of instances.
#[derive(Debug, Default)]
pub struct Enforced {
    /// Why deliveries were not processed completely, one sentence each.
    pub unresolved: Vec<String>,
    /// The deliveries that must be redelivered, by their index in the batch.
    pub retry: BTreeMap<usize, Retry>,
    /// The accounts and Regions whose sweep is complete.
    pub swept: Vec<AccountRegion>,
    /// The accounts and Regions whose sweep sent no more changes, because as many failed as the policy allows.
    pub stopped: Vec<AccountRegion>,
    /// How many instances have an ID of a form that is not known, so that nobody acts on them.
    pub unknown_ids: usize,
}

impl Enforced {
    /// The result of deliveries whose processing met a defect of the function.
    pub(super) fn panicked(account_region: &AccountRegion, batch: &[(usize, &Delivery)], text: &str) -> Self {
        let AccountRegion { account, region } = account_region;
        Self {
            unresolved: vec![format!(
                "a defect of the function stopped the work in {account} {region}: {text}"
            )],
            retry: batch.iter().map(|(delivery, _)| (*delivery, Retry::AfterBackoff)).collect(),
            ..Self::default()
        }
    }

    /// Adds a delivery that was not processed completely.
    pub(super) fn note(&mut self, unresolved: Unresolved) {
        self.unresolved.push(unresolved.why);
        if unresolved.retry {
            self.retry.insert(unresolved.delivery, Retry::AfterBackoff);
        }
    }

    pub(super) fn and(mut self, other: Self) -> Self {
        self.unresolved.extend(other.unresolved);
        self.retry.extend(other.retry);
        self.swept.extend(other.swept);
        self.stopped.extend(other.stopped);
        self.unknown_ids += other.unknown_ids;
        self
    }
}
