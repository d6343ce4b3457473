//! The watch after enforcement: which calls without a token were refused.

use std::collections::BTreeMap;

use imds_core::call_error::CallError;
use imds_core::ids::InstanceId;
use imds_core::instance::Instance;
use imds_core::metadata::{HttpTokens, OptionName, OptionValue};

use crate::aws::client::RegionClient;
use crate::deadline::Deadline;

/// Returns the calls without a token that were refused in the last 24 hours, for instances that require tokens, and the
/// first error of those for which they are not known.
pub(super) async fn rejected_calls(
    client: &RegionClient,
    deadline: &Deadline,
    watched: &[InstanceId],
) -> (BTreeMap<InstanceId, u64>, Option<CallError>) {
    let (mut known, mut error) = (BTreeMap::new(), None);
    if watched.is_empty() {
        return (known, error);
    }
    for (id, answer) in client.rejected_calls(watched, deadline.now, deadline).await {
        match answer {
            Ok(calls) => _ = known.insert(id, calls),
            Err(failed) => error = error.or(Some(failed)),
        }
    }
    (known, error)
}

/// Returns the instances that require tokens.
pub(super) fn watched(instances: &[Instance]) -> Vec<InstanceId> {
    let watched = instances.iter().filter(|instance| is_watched(instance));
    watched.map(|instance| instance.id.clone()).collect()
}

fn is_watched(instance: &Instance) -> bool {
    const REQUIRED: OptionValue = OptionValue::HttpTokens(HttpTokens::Required);
    instance.options.get(OptionName::HttpTokens) == Some(REQUIRED)
        && instance.state.is_none_or(|state| !state.is_final())
}
