//! Whether the older instances of a launched instance's group are held back.

use std::collections::BTreeMap;
use std::sync::Arc;

use imds_core::call_error::{Call, CallError};
use imds_core::decide::{Group, GroupUse, HeldBack, Needed, Verdict, is_new};
use imds_core::instance::Instance;
use imds_core::selector::InstanceSelector;
use imds_core::trigger::TriggerKind;
use time::Duration;
use tokio::sync::{Mutex, OnceCell};

use super::decide::{DecisionContext, Questions};
use super::target::{Observation, Target};
use super::usage::UsageReader;
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
        usage: &UsageReader,
        client: &RegionClient,
        deadline: &Deadline,
    ) -> Result<GroupUse, CallError> {
        let answer = Arc::clone(self.0.lock().await.entry(group.clone()).or_default());
        answer.get_or_init(|| look_at(group, context, usage, client, deadline)).await.clone()
    }
}

async fn look_at(
    group: &Group,
    mut context: DecisionContext<'_>,
    usage: &UsageReader,
    client: &RegionClient,
    deadline: &Deadline,
) -> Result<GroupUse, CallError> {
    let selector = InstanceSelector::Tagged { key: group.kind.tag_key(), value: group.id.clone() };
    let (mut oldest, mut token) = (Vec::new(), None);
    loop {
        let page = deadline.bound(Call::DescribeInstances, client.page(&selector, token)).await?;
        oldest.extend(page.listed.instances);
        keep_oldest(&mut oldest);
        token = page.next;
        if token.is_none() {
            break;
        }
    }
    let observations: Vec<(Target, Observation)> = oldest.into_iter().map(observed).collect();
    let mut questions = Questions::default();
    observations.iter().for_each(|observed| questions.add(context.questions(observed)));
    if let Some(since) = questions.since {
        context.usage = usage.calls_without_token(&questions.usage_of, since).await;
    }
    let mut error = None;
    for (_, observation) in observations {
        let Observation::Shown(instance) = observation else { continue };
        let decision = context.decide(false, &instance);
        match (decision.verdict.held_back(), &decision.verdict) {
            // It has too little data because it may itself be one of a launch whose record is delivered late.
            (Some(HeldBack::TooLittleData { .. }), _) if is_new(&instance, true, context.now) => {}
            (Some(why), _) => return Ok(GroupUse::HeldBack { instance: instance.id, why: why.clone() }),
            (None, Verdict::NeedsUsage(needed @ Needed::Usage { .. })) => {
                error = error.or_else(|| context.usage_error(&instance.id, needed).cloned());
            }
            (None, Verdict::Incomplete { .. }) => {
                let why = format!("it did not report what the decision on {} depends on", instance.id);
                error = error.or_else(|| Some(CallError::without_response(Call::DescribeInstances, why)));
            }
            _ => {}
        }
    }
    error.map_or(Ok(GroupUse::Free), Err)
}

fn observed(instance: Instance) -> (Target, Observation) {
    (Target::new(instance.id.clone(), TriggerKind::Sweep, Duration::ZERO), Observation::Shown(instance))
}

/// Keeps the oldest live instances whose tokens are not known to be required. One whose age is unknown counts as older.
fn keep_oldest(instances: &mut Vec<Instance>) {
    instances.retain(|instance| !instance.options.require_tokens() && !instance.is_ending());
    instances.sort_by(|one, other| (one.first_ran, &one.id).cmp(&(other.first_ran, &other.id)));
    instances.truncate(LOOKED_AT);
}
