//! When records that failed are delivered again.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ec2_sim::{Ec2Sim, Fault, FaultKind, Settings};
use serde_json::{Value, json};

use crate::support::lambda::Lambda;
use crate::support::queue::Queue;
use crate::support::*;
use crate::{DESCRIBE, MODIFY, outcomes};

/// A function whose records come from a queue.
struct Queued {
    sim: Ec2Sim,
    queue: Arc<Mutex<Queue>>,
    lambda: Lambda,
}

impl Queued {
    async fn new(variables: &[(&str, &str)]) -> Self {
        let sim =
            Ec2Sim::start(Settings { apply_delay: Duration::ZERO, ..Settings::default() }).await.unwrap();
        let queue = Arc::new(Mutex::new(Queue::new(Duration::from_secs(1081), 12)));
        let url = sqs::serve(Arc::clone(&queue)).await;
        let lambda = Lambda::start(&sim, &[&[("AWS_ENDPOINT_URL_SQS", &*url)], variables].concat()).await;
        Self { sim, queue, lambda }
    }

    fn launch(&self, count: usize) -> Vec<String> {
        self.sim.account_region(ACCOUNT, REGION).launch(imdsv1(count))
    }

    fn send(&self, event: &Value) {
        self.queue.lock().unwrap().send(event);
    }

    /// Gives the visible records to the function. Returns how many failed.
    async fn deliver(&mut self, allowed: Duration) -> usize {
        let batch = self.queue.lock().unwrap().receive(100).unwrap();
        let answer = self.lambda.invoke(batch.clone(), allowed).await.expect("in time").unwrap();
        self.queue.lock().unwrap().answered(&batch, &answer);
        answer["batchItemFailures"].as_array().unwrap().len()
    }

    fn timeouts(&self) -> Vec<(u32, Duration)> {
        self.queue.lock().unwrap().timeouts.clone()
    }
}

fn wrong_state() -> FaultKind {
    let message = "The instance is not in the right state".to_owned();
    FaultKind::Error { code: "IncorrectInstanceState".to_owned(), status: 400, message }
}

#[tokio::test]
async fn a_record_returns_after_ten_seconds_then_after_twice_as_long() {
    let mut queued = Queued::new(&[]).await;
    let ids = queued.launch(2);
    queued.sim.inject(Fault::new(wrong_state()).on(MODIFY).of(&ids[0]).times(2));
    ids.iter().for_each(|id| queued.send(&running_event(id, now())));
    assert_eq!(queued.deliver(Duration::from_secs(60)).await, 1, "only the one that is not ready");
    let (receives, first) = queued.timeouts()[0];
    assert!(receives == 1 && (8.0..=12.0).contains(&first.as_secs_f64()), "{first:?}");

    queued.queue.lock().unwrap().show_all();
    assert_eq!(queued.deliver(Duration::from_secs(60)).await, 1);
    let (receives, second) = queued.timeouts()[1];
    assert!(receives == 2 && (16.0..=24.0).contains(&second.as_secs_f64()), "{second:?}");
}

#[tokio::test]
async fn an_unreadable_record_is_kept_and_told_and_its_neighbors_are_done() {
    let mut queued = Queued::new(&[]).await;
    let ids = queued.launch(1);
    let mut timeless = running_event(&ids[0], now());
    timeless["time"] = json!(null);
    queued.send(&timeless);
    queued.send(&running_event(&ids[0], now()));
    assert_eq!(queued.deliver(Duration::from_secs(60)).await, 1);
    assert_eq!(queued.timeouts(), [(1, Duration::from_secs(900))]);
    assert_eq!(queued.queue.lock().unwrap().done, 1, "the neighbor");
    let log = queued.lambda.last_log().await;
    let metric = log.iter().find(|line| line.get("UnreadableEvents").is_some()).expect("the metric");
    assert_eq!(metric["UnreadableEvents"], 1);
    assert_eq!(metric["_aws"]["CloudWatchMetrics"][0]["Dimensions"], json!([[]]));
    let done = log.last().unwrap();
    assert_eq!(done["level"], "WARN");
    assert!(done["unresolved"][0].as_str().unwrap().contains("time is missing or malformed"), "{done}");
}

#[tokio::test]
async fn what_can_be_read_of_a_record_is_done_and_the_record_is_kept() {
    let mut queued = Queued::new(&[]).await;
    let ids = queued.launch(1);
    let items = json!([{"instanceId": ids[0]}, {"instanceId": "i-\u{202e}new"}]);
    let event = json!({"eventName": "RunInstances", "responseElements": {"instancesSet": {"items": items}}});
    queued.send(&api_call(event));
    assert_eq!(queued.deliver(Duration::from_secs(60)).await, 1);
    let instance = queued.sim.account_region(ACCOUNT, REGION).instance(&ids[0]).unwrap();
    assert_eq!(instance.options["HttpTokens"], "required");
    assert_eq!(queued.timeouts(), [(1, Duration::from_secs(900))]);
}

#[tokio::test]
async fn a_sweep_that_got_on_goes_on_at_once_and_another_waits() {
    let mut queued = Queued::new(&[("IMDS_MODIFY_RATE", "1")]).await;
    queued.launch(300);
    queued.send(&sweep_event());
    assert_eq!(queued.deliver(Duration::from_secs(4)).await, 1, "not all have their turn in 4 s");
    assert_eq!(queued.timeouts(), [(1, Duration::ZERO)]);

    let mut queued = Queued::new(&[]).await;
    queued.launch(1);
    queued.sim.inject(Fault::new(FaultKind::Hang(None)).on(DESCRIBE));
    queued.send(&sweep_event());
    assert_eq!(queued.deliver(Duration::from_secs(4)).await, 1);
    let (_, timeout) = queued.timeouts()[0];
    assert!((8.0..=12.0).contains(&timeout.as_secs_f64()), "{timeout:?}");
}

#[tokio::test]
async fn a_queue_that_does_not_respond_delays_only_the_retry() {
    // It accepts connections and never responds.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("http://{}", listener.local_addr().unwrap());
    for url in ["http://127.0.0.1:9", &silent] {
        let mut queued = Queued::new(&[("AWS_ENDPOINT_URL_SQS", url)]).await;
        let ids = queued.launch(1);
        queued.sim.inject(Fault::new(wrong_state()).on(MODIFY));
        queued.send(&running_event(&ids[0], now()));
        assert_eq!(
            queued.deliver(Duration::from_secs(30)).await,
            1,
            "{url}: the record is reported as failed"
        );
        let log = queued.lambda.last_log().await;
        let is_warning = |line: &&Value| {
            line["message"].as_str().is_some_and(|m| m.contains("sqs:ChangeMessageVisibility"))
        };
        let warning = log.iter().find(is_warning).unwrap_or_else(|| panic!("{url}: a warning"));
        assert_eq!(warning["level"], "WARN", "{url}");
    }
}

#[tokio::test]
async fn an_instance_that_is_not_visible_delays_no_other() {
    let scene = Scene::new(&[]).await;
    let ids = scene.launch(imdsv1(2));
    scene.sim.inject(Fault::new(FaultKind::NotVisible).on(DESCRIBE).of(&ids[1]));
    let bodies: Vec<String> = ids.iter().map(|id| running_event(id, now()).to_string()).collect();
    let answer = scene.answer(batch(&bodies, 1)).await;
    assert_eq!(outcomes(&answer), [(ids[0].clone(), "enforced"), (ids[1].clone(), "not-ready")]);
    assert_eq!(failures(&answer), ["m1"]);
    let calls = scene.sim.calls();
    let changed = calls.iter().position(|call| call.action == MODIFY).unwrap();
    let is_again =
        |call: &ec2_sim::RecordedCall| call.action == DESCRIBE && call.instance_ids == [ids[1].clone()];
    let again = calls.iter().position(is_again).expect("it is described again");
    assert!(changed < again, "the visible instance is changed before the pause: {changed} {again}");
}

#[tokio::test]
async fn a_failure_with_an_unknown_code_is_retried() {
    let scene = Scene::new(&[]).await;
    let ids = scene.launch(imdsv1(1));
    let unknown = FaultKind::Error { code: "Novelty".to_owned(), status: 400, message: "m".to_owned() };
    scene.sim.inject(Fault::new(unknown).on(MODIFY));
    let answer = scene.answer(batch(&[running_event(&ids[0], now()).to_string()], 1)).await;
    assert_eq!((outcomes(&answer)[0].1, failures(&answer)), ("failed", vec!["m0".to_owned()]));
    assert_eq!(scene.calls(MODIFY).len(), 1, "and not tried again within the invocation");
}
