//! A sweep that times out repeatedly.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ec2_sim::{Ec2Sim, Launch, Settings};

use crate::support::lambda::Lambda;
use crate::support::queue::Queue;
use crate::support::*;
use crate::{ALONE, MODIFY};

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_of_10_000_continues_with_retries_and_changes_each_once() {
    let _alone = ALONE.lock().await;
    let sim = Ec2Sim::start(Settings { apply_delay: Duration::ZERO, ..Settings::default() }).await.unwrap();
    let account_region = sim.account_region(ACCOUNT, REGION);
    account_region.launch(Launch { count: 10_000, ..Launch::default() });
    sim.take_events();
    // The template's visibility timeout and number of receives.
    let queue = Arc::new(Mutex::new(Queue::new(Duration::from_secs(5400), 100)));
    queue.lock().unwrap().send(&sweep_event());
    let url = sqs::serve(Arc::clone(&queue)).await;
    let variables = [("IMDS_MODIFY_RATE", "1000"), ("AWS_ENDPOINT_URL_SQS", &*url)];
    let mut lambda = Lambda::start(&sim, &variables).await;
    let (started, mut tries, mut first) = (Instant::now(), 0, None);
    while !queue.lock().unwrap().is_empty() {
        let batch = queue.lock().unwrap().receive(1).expect("the sweep goes on at once");
        let answer = lambda.invoke(batch.clone(), Duration::from_secs(8)).await.expect("in time").unwrap();
        queue.lock().unwrap().answered(&batch, &answer);
        first.get_or_insert(lambda.peak_memory());
        tries += 1;
    }
    let (first, last) = (first.unwrap(), lambda.peak_memory());
    println!(
        "a sweep of 10000: {tries} tries of 8 s, {:.0?}, {first:.1} MB at first, {last:.1} MB at last",
        started.elapsed()
    );
    assert!(tries > 1, "the sweep reached the deadline");
    let queue = queue.lock().unwrap();
    assert_eq!((queue.done, queue.done_again, queue.dead.len()), (1, 0, 0));
    let left =
        account_region.instances().into_iter().filter(|i| i.options["HttpTokens"] != "required").count();
    assert_eq!(left, 0);
    let mut changed: Vec<String> =
        sim.calls().into_iter().filter(|c| c.action == MODIFY).flat_map(|c| c.instance_ids).collect();
    changed.sort();
    let calls = changed.len();
    changed.dedup();
    assert_eq!((changed.len(), calls), (10_000, 10_000), "no instance is changed twice");
    assert!(last - first < 10.0, "memory is constant: {first:.1} MB, then {last:.1} MB");
}
