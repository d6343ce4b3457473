//! Instance IDs → descriptions.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use futures_util::stream;
use imds_core::call_error::{Call, CallError};
use imds_core::ids::InstanceId;
use imds_core::instance::Instance;
use imds_core::selector::InstanceSelector;

use super::target::Observation;
use crate::aws::client::{IDS_PER_DESCRIBE, RegionClient};
use crate::deadline::Deadline;

/// The maximum number of concurrent describe calls: enough to hide their latency, far below EC2's token bucket of 100.
pub(super) const DESCRIBES_AT_ONCE: usize = 4;

/// The result of describing instances. EC2 does not return an instance whose ID is in neither map.
#[derive(Debug, Default)]
pub(super) struct Described {
    pub(super) shown: BTreeMap<InstanceId, Instance>,
    pub(super) failed: BTreeMap<InstanceId, CallError>,
}

impl Described {
    /// Removes and returns the observation of an instance, if EC2 returned it or the call failed.
    pub(super) fn take(&mut self, id: &InstanceId) -> Option<Observation> {
        let failed = |described: &mut Self| described.failed.remove(id).map(Observation::Failed);
        self.shown.remove(id).map(Observation::Shown).or_else(|| failed(self))
    }
}

/// Describes `ids`, in as few calls as EC2 allows.
pub(super) async fn describe(client: &RegionClient, deadline: &Deadline, ids: &[InstanceId]) -> Described {
    let mut described = Described::default();
    let chunks = stream::iter(ids.chunks(IDS_PER_DESCRIBE).map(<[InstanceId]>::to_vec));
    let mut answers = chunks
        .map(|chunk| async move {
            let selector = InstanceSelector::Ids(chunk.clone());
            (deadline.bound(Call::DescribeInstances, client.describe(&selector)).await, chunk)
        })
        .buffer_unordered(DESCRIBES_AT_ONCE);
    while let Some((answer, chunk)) = answers.next().await {
        match answer {
            Ok(listed) => described.shown.extend(listed.instances.into_iter().map(|i| (i.id.clone(), i))),
            Err(error) => described.failed.extend(chunk.into_iter().map(|id| (id, error.clone()))),
        }
    }
    described
}
