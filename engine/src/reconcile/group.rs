//! Whether the older instances of a launched instance's group are held back.

use std::collections::BTreeMap;
use std::sync::Arc;

use imds_core::call_error::{Call, CallError};
use imds_core::decide::{Decision, Group, GroupUse, HeldBack, Needed, Reason, Verdict};
use imds_core::instance::Instance;
use imds_core::metadata::{HttpTokens, OptionName, OptionValue};
use imds_core::selector::InstanceSelector;
use imds_core::trigger::TriggerKind;
use time::Duration;
use tokio::sync::{Mutex, OnceCell};

use super::decide::DecisionContext;
use super::target::{Observation, Target};
use crate::aws::client::RegionClient;
use crate::deadline::Deadline;

/// How many instances of a group are looked at.
const LOOKED_AT: usize = 20;

/// Whether an instance of a group is held back, once that was asked.
type Answer = OnceCell<Result<GroupUse, CallError>>;

/// The groups that were looked at in a batch, each once. One that does not answer delays no other.
#[derive(Debug, Default)]
pub(super) struct Groups(Mutex<BTreeMap<Group, Arc<Answer>>>);

impl Groups {
    /// Returns whether an instance of `group` is held back. Describes the group and asks for the use of IMDSv1 once.
    /// `context` is one in which nothing was asked.
    ///
    /// # Errors
    /// Those of DescribeInstances and of GetMetricData.
    pub(super) async fn ask(
        &self,
        group: &Group,
        context: DecisionContext<'_>,
        client: &RegionClient,
        deadline: &Deadline,
    ) -> Result<GroupUse, CallError> {
        let answer = Arc::clone(self.0.lock().await.entry(group.clone()).or_default());
        answer.get_or_init(|| look_at(group, context, client, deadline)).await.clone()
    }
}

async fn look_at(
    group: &Group,
    mut context: DecisionContext<'_>,
    client: &RegionClient,
    deadline: &Deadline,
) -> Result<GroupUse, CallError> {
    let selector = InstanceSelector::Tagged { key: group.kind.tag_key(), value: group.id.clone() };
    let listed = deadline.bound(Call::DescribeInstances, client.describe(&selector)).await?;
    let observations: Vec<(Target, Observation)> = oldest(listed.instances).map(observed).collect();
    let questions = context.questions(&observations);
    if let Some(since) = questions.since {
        let (ids, now) = (&questions.usage_of, context.now);
        context.usage = client.calls_without_token(ids, since, now, deadline).await;
    }
    let mut error = None;
    for (_, observation) in observations {
        let Observation::Shown(instance) = observation else { continue };
        let decision = context.decide(KIND, &instance);
        if let Some(why) = held_back(&decision) {
            return Ok(GroupUse::HeldBack { instance: instance.id, why });
        }
        // An instance that is as new itself says nothing about the group.
        if let Verdict::NeedsUsage(needed @ Needed::Usage { .. }) = &decision.verdict {
            error = error.or_else(|| context.usage_error(&instance.id, needed).cloned());
        }
    }
    error.map_or(Ok(GroupUse::Free), Err)
}

/// An instance is as new as one that a record of its launch names, whatever names it.
const KIND: TriggerKind = TriggerKind::Launch;

fn observed(instance: Instance) -> (Target, Observation) {
    (Target::new(instance.id.clone(), KIND, Duration::ZERO), Observation::Shown(instance))
}

/// Returns the oldest live instances with optional tokens. One whose age is unknown counts as older.
fn oldest(mut instances: Vec<Instance>) -> impl Iterator<Item = Instance> {
    const OPTIONAL: OptionValue = OptionValue::HttpTokens(HttpTokens::Optional);
    instances.retain(|instance| {
        instance.options.get(OptionName::HttpTokens) == Some(OPTIONAL)
            && instance.state.is_some_and(|state| !state.is_final())
    });
    instances.sort_by(|one, other| (one.first_ran, &one.id).cmp(&(other.first_ran, &other.id)));
    instances.into_iter().take(LOOKED_AT)
}

fn held_back(decision: &Decision) -> Option<HeldBack> {
    decision.verdict.reasons().iter().find_map(|reason| match reason {
        Reason::HeldBack(why) => Some(why.clone()),
        _ => None,
    })
}
