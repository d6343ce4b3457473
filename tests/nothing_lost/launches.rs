//! How soon launched instances are enforced while EC2 fails in several ways, on the template's own queue settings.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ec2_sim::{AccountRegion, Ec2Sim, Settings};

use crate::chaos::chaos;
use crate::support::lambda::Lambda;
use crate::support::queue::Queue;
use crate::support::*;

/// The settings of the queue of events in template.yaml: its visibility timeout in seconds and its maximum number of receives, and
/// the batch size of its event source mapping.
const QUEUE: (u64, u32, usize) = (1081, 12, 100);

const LAUNCHES: usize = 10;
const INSTANCES: usize = 10;

#[test]
fn the_queue_is_that_of_the_template() {
    let template = include_str!("../../template.yaml");
    let (visibility, receives, batch) = QUEUE;
    for setting in [
        format!("VisibilityTimeout: {visibility}"),
        format!("maxReceiveCount: {receives}"),
        format!("BatchSize: {batch}"),
    ] {
        assert!(template.contains(&format!(" {setting}\n")), "{setting}");
    }
}

/// The time since its launch at which each instance was first seen as required, with its options applied.
struct Enforced(Mutex<BTreeMap<String, (Instant, Option<Duration>)>>);

impl Enforced {
    fn look(&self, account_region: &AccountRegion) {
        for instance in account_region.instances() {
            let is_enforced =
                instance.options["HttpTokens"] == "required" && instance.options_state == "applied";
            if let Some((launched, took @ None)) = self.0.lock().unwrap().get_mut(&instance.id)
                && is_enforced
            {
                *took = Some(launched.elapsed());
            }
        }
    }

    fn is_complete(&self) -> bool {
        let instances = self.0.lock().unwrap();
        instances.len() == LAUNCHES * INSTANCES && instances.values().all(|(_, took)| took.is_some())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ninety_nine_of_a_hundred_are_enforced_within_a_minute_of_their_launch() {
    let settings = Settings { apply_delay: Duration::from_millis(200), seed: 9, ..Settings::default() };
    let sim = Ec2Sim::start(settings).await.unwrap();
    chaos(&sim);
    let account_region = sim.account_region(ACCOUNT, REGION);
    let (visibility, receives, batch_size) = QUEUE;
    let queue = Arc::new(Mutex::new(Queue::new(Duration::from_secs(visibility), receives)));
    let url = sqs::serve(Arc::clone(&queue)).await;
    let enforced = Enforced(Mutex::default());

    let launches = async {
        for _ in 0..LAUNCHES {
            let launched = account_region.launch(imdsv1(INSTANCES));
            enforced.0.lock().unwrap().extend(launched.into_iter().map(|id| (id, (Instant::now(), None))));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let watch = async {
        while !enforced.is_complete() || !queue.lock().unwrap().is_empty() {
            sim.take_events().iter().for_each(|event| queue.lock().unwrap().send(event));
            enforced.look(&account_region);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let function = async |_| {
        // Ten times the template's rate: throttles at random would keep the rate low, and a test of its own holds the pace.
        let rate = ("IMDS_MODIFY_RATE", "40");
        let variables = [rate, ("IMDS_MODIFY_BURST", "40"), ("AWS_ENDPOINT_URL_SQS", &*url)];
        let mut lambda = Lambda::start(&sim, &variables).await;
        while !enforced.is_complete() || !queue.lock().unwrap().is_empty() {
            let batch = queue.lock().unwrap().receive(batch_size);
            let Some(batch) = batch else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let answer =
                lambda.invoke(batch.clone(), Duration::from_secs(180)).await.expect("in time").unwrap();
            queue.lock().unwrap().answered(&batch, &answer);
        }
    };
    // The template runs two processes.
    let functions = futures_util::future::join_all((0..2).map(function));
    tokio::time::timeout(Duration::from_secs(170), async { tokio::join!(launches, watch, functions) })
        .await
        .expect("all is enforced, and the queue empty");

    let mut took: Vec<Duration> = enforced.0.lock().unwrap().values().filter_map(|(_, took)| *took).collect();
    took.sort();
    let at = |share: usize| took[took.len() * share / 100 - 1];
    println!(
        "launch to applied under faults: half within {:.1?}, 99 % within {:.1?}, all within {:.1?}",
        at(50),
        at(99),
        at(100)
    );
    assert!(at(99) < Duration::from_secs(60), "{:?}", at(99));
    assert_eq!(queue.lock().unwrap().dead.len(), 0);
}
