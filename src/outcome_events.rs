//! The outcome events of an invocation: put while it works.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use imds_core::outcome::InstanceOutcome;
use imds_engine::aws::event_bus::{EventBus, OutcomeEvent, Tally};
use imds_engine::deadline::Deadline;
use imds_engine::report::outcome_event;
use tokio::sync::mpsc::channel;
use tokio::time::{Instant, timeout_at};

/// How long an invocation waits at its end for events that are not put yet.
const PUT_WITHIN: Duration = Duration::from_secs(5);

/// How many events may wait to be put: their details take some 10 MB.
const WAITING: usize = 10_000;

/// Outcome events that were not put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotPut {
    /// How many.
    pub events: usize,
    /// Why, in one sentence.
    pub why: String,
}

/// Runs `work`, and puts outcome events on the bus while it runs. `work` gets a function, and calls it with each outcome.
/// `partition` is the partition of the instances. A failure to put does not change the result of `work`.
pub async fn during<T>(
    bus: &EventBus,
    partition: &str,
    deadline: &Deadline,
    work: impl AsyncFnOnce(&dyn Fn(&InstanceOutcome)) -> T,
) -> (T, Option<NotPut>) {
    let (sender, events) = channel(WAITING);
    let (offered, tally) = (Cell::new(0), Tally::default());
    let mut putting = pin!(bus.put(events, &tally));
    let result = {
        let offer = |instance: &InstanceOutcome| {
            if let Some(detail) = outcome_event::detail(instance, deadline.now) {
                offered.set(offered.get() + 1);
                // What does not fit is counted as not put.
                let _ = sender.try_send(OutcomeEvent { instance_arn: arn(partition, instance), detail });
            }
        };
        let mut working = pin!(work(&offer));
        poll_fn(|context| {
            let result = working.as_mut().poll(context);
            // It does not end before the channel is closed.
            let _ = putting.as_mut().poll(context);
            result
        })
        .await
    };
    drop(sender);
    let until = deadline.report_by.min(Instant::now() + PUT_WITHIN);
    // What is not put by then is counted as such.
    let _ = timeout_at(until, putting).await;
    (result, not_put(bus, offered.get(), &tally))
}

fn not_put(bus: &EventBus, offered: usize, tally: &Tally) -> Option<NotPut> {
    let events = offered - tally.put();
    let why = tally.why_not().unwrap_or_else(|| "EventBridge did not take them in time".to_owned());
    let bus = bus.name();
    let why = format!("{events} of {offered} outcome events were not put on the event bus {bus}: {why}");
    (events > 0).then_some(NotPut { events, why })
}

fn arn(partition: &str, instance: &InstanceOutcome) -> String {
    let InstanceOutcome { account, region, instance_id, .. } = instance;
    format!("arn:{partition}:ec2:{region}:{account}:instance/{instance_id}")
}
