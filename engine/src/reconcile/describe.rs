//! One look at many instances.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use futures_util::stream;
use imds_core::ids::InstanceId;
use imds_core::instance::Instance;
use imds_core::outcome::{Call, Refusal};
use imds_core::trigger::Named;

use super::resolve::Sight;
use crate::aws::client::{Ec2, IDS_PER_DESCRIBE};
use crate::deadline::Times;

/// How many describes run at once: enough to hide their latency, far below EC2's bucket of 100.
pub(super) const DESCRIBES_AT_ONCE: usize = 4;

/// What EC2 showed; an id that is in neither map is one that EC2 does not show.
#[derive(Debug, Default)]
pub(super) struct Look {
    pub(super) shown: BTreeMap<InstanceId, Instance>,
    pub(super) refused: BTreeMap<InstanceId, Refusal>,
}

impl Look {
    /// What was seen of an instance, if EC2 showed it or refused to say.
    pub(super) fn take(&mut self, id: &InstanceId) -> Option<Sight> {
        let refused = |look: &mut Self| look.refused.remove(id).map(Sight::Refused);
        self.shown.remove(id).map(Sight::Shown).or_else(|| refused(self))
    }
}

/// Describes `ids`, in as few calls as EC2 allows.
pub(super) async fn look(ec2: &Ec2, times: &Times, ids: &[InstanceId]) -> Look {
    let mut look = Look::default();
    let chunks = stream::iter(ids.chunks(IDS_PER_DESCRIBE).map(<[InstanceId]>::to_vec));
    let mut answers = chunks
        .map(|chunk| async move {
            let named = Named::Ids(chunk.clone());
            (times.bound(Call::DescribeInstances, ec2.describe(&named)).await, chunk)
        })
        .buffer_unordered(DESCRIBES_AT_ONCE);
    while let Some((answer, chunk)) = answers.next().await {
        match answer {
            Ok(instances) => look.shown.extend(instances.into_iter().map(|i| (i.id.clone(), i))),
            Err(refusal) => look.refused.extend(chunk.into_iter().map(|id| (id, refusal.clone()))),
        }
    }
    look
}
