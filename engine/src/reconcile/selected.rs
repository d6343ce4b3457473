//! The changes that a sweep with a limit makes: those with the lowest hashes of event and instance, so that the same
//! instances are not always the last.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use imds_core::ids::InstanceId;

use super::reconciliation::Reconciliation;

/// The instances selected so far, at most `most`.
#[derive(Debug)]
pub(super) struct Selected<'a> {
    event_id: &'a str,
    most: usize,
    by_hash: BTreeMap<(u64, InstanceId), Reconciliation>,
}

impl<'a> Selected<'a> {
    /// Selects up to `most` instances in the order that the event determines.
    pub(super) fn new(event_id: &'a str, most: usize) -> Self {
        Self { event_id, most, by_hash: BTreeMap::new() }
    }

    /// Takes an instance. Returns the one that is selected no longer, or this one.
    pub(super) fn offer(&mut self, reconciliation: Reconciliation) -> Option<Reconciliation> {
        let id = reconciliation.target.id.clone();
        self.by_hash.insert((hash(self.event_id, &id), id), reconciliation);
        if self.by_hash.len() <= self.most {
            return None;
        }
        self.by_hash.pop_last().map(|(_, reconciliation)| reconciliation)
    }

    /// Returns the IDs of the selected instances.
    pub(super) fn into_ids(self) -> impl Iterator<Item = InstanceId> {
        self.by_hash.into_keys().map(|(_, id)| id)
    }
}

fn hash(event_id: &str, id: &InstanceId) -> u64 {
    let mut hasher = DefaultHasher::new();
    (event_id, id).hash(&mut hasher);
    hasher.finish()
}
