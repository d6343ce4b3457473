//! Malformed events and batches.

use std::collections::BTreeMap;
use std::time::Duration;

use ec2_sim::Launch;
use imds_core::policy::Policy;
use imds_core::selector::InstanceSelector;
use imds_core::trigger::{NoTrigger, Trigger};
use imds_enforcer::handler::Answer;
use serde_json::{Value, json};

use crate::ALONE;
use crate::support::*;

/// An event with a random defect.
fn mutated(events: &[Value]) -> String {
    let mut text = fastrand::choice(events).unwrap().to_string();
    match fastrand::u8(0..6) {
        0 => text.truncate(text.char_indices().nth(fastrand::usize(0..text.len())).map_or(0, |(at, _)| at)),
        1 => text = text.replacen("i-", "i", fastrand::usize(0..3)),
        2 => {
            text = text.replace("us-east-1", fastrand::choice(["", "*", "us-east-1/", "../../x-1"]).unwrap())
        }
        3 => text = text.replace("111122223333", fastrand::choice(["1", "null", "９99999999999"]).unwrap()),
        4 => {
            let mut bytes = text.into_bytes();
            for _ in 0..fastrand::usize(1..9) {
                let at = fastrand::usize(0..bytes.len());
                bytes[at] = fastrand::u8(32..127);
            }
            text = String::from_utf8_lossy(&bytes).into_owned();
        }
        _ => {
            // Replaces a field by a value of another type.
            let mut event: Value = serde_json::from_str(&text).unwrap();
            let key = fastrand::choice(["source", "detail", "resources", "time", "account", "detail-type"])
                .unwrap();
            event[key] =
                fastrand::choice([json!(null), json!(7), json!([]), json!({}), json!("x"), json!([[{}]])])
                    .unwrap();
            text = event.to_string();
        }
    }
    text
}

/// Whether the report's `unresolved` has an entry with this prefix.
fn is_said(answer: &Answer, beginning: &str) -> bool {
    answer.report.unresolved.iter().any(|why| why.starts_with(beginning))
}

#[tokio::test]
async fn of_10_000_poisoned_records_none_panics_and_none_is_lost() {
    let _alone = ALONE.lock().await;
    fastrand::seed(5);
    let scene = Scene::new(&[]).await;
    let account_region = scene.sim.account_region(ACCOUNT, REGION);
    let ids = account_region.launch(Launch { count: 20, ..with_options(&[("HttpTokens", "required")]) });
    account_region.tag(&ids[0], "imds:HttpTokens", "required");
    account_region.modify(&ids[1], &[("HttpTokens", "required")]);
    let mut events = scene.sim.take_events();
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/events")).unwrap();
    events.extend(
        files.map(|file| serde_json::from_slice(&std::fs::read(file.unwrap().path()).unwrap()).unwrap()),
    );
    let (mut records, mut failed) = (0, 0);
    while records < 10_000 {
        let bodies: Vec<String> = (0..100).map(|_| mutated(&events)).collect();
        // Leaves too little time for further describes of missing instances.
        let answer = scene.answer_within(batch(&bodies, 2), Duration::from_secs(1)).await;
        let failures = failures(&answer);
        let outcomes: BTreeMap<(&str, &str, &str), bool> = answer
            .report
            .outcomes
            .iter()
            .map(|r| {
                ((r.account.as_str(), r.region.as_str(), r.instance_id.as_str()), r.outcome.is_retryable())
            })
            .collect();
        for (number, body) in bodies.iter().enumerate() {
            let is_failed = failures.contains(&format!("m{number}"));
            let expected = match serde_json::from_str(body)
                .map(|event: Value| Trigger::from_event(&event, &Policy::default()))
            {
                Err(_) => true,
                Ok(Err(why)) => matches!(why, NoTrigger::Unreadable { .. }),
                Ok(Ok(Trigger { unreadable, .. })) if !unreadable.is_empty() => true,
                Ok(Ok(Trigger { instances: InstanceSelector::Ids(ids), account_region, .. })) => {
                    ids.iter().any(|id| {
                        outcomes
                            [&(account_region.account.as_str(), account_region.region.as_str(), id.as_str())]
                    })
                }
                Ok(Ok(Trigger { instances: InstanceSelector::All, .. })) => is_said(&answer, "the sweep"),
                // An instance that is not found is dropped 15 minutes after its event.
                Ok(Ok(Trigger { instances, time, .. })) => {
                    is_said(&answer, &instances.to_string()) && now() - time < time::Duration::minutes(15)
                }
            };
            assert_eq!(is_failed, expected, "{body}");
        }
        records += bodies.len();
        failed += failures.len();
    }
    println!("poison: {records} records, {failed} to be redelivered");
}

#[tokio::test]
async fn poisoned_envelopes_fail_as_a_whole_or_account_for_every_record() {
    let _alone = ALONE.lock().await;
    fastrand::seed(6);
    let scene = Scene::new(&[]).await;
    let ids = scene.launch(with_options(&[("HttpTokens", "required")]));
    let events: Vec<Value> = (0..5).map(|_| running_event(&ids[0], now())).collect();
    let bodies: Vec<String> = events.iter().map(Value::to_string).collect();
    let (mut whole, mut batches, mut others) = (0, 0, 0);
    for number in 0..5_000 {
        let payload = match number % 3 {
            0 => mutated(&[batch(&bodies, 1)]),
            1 => mutated(&events),
            _ => (0..fastrand::usize(1..200)).map(|_| fastrand::char(..)).collect(),
        };
        // The Lambda runtime refuses payloads that are not JSON before it calls the handler.
        let Ok(payload) = serde_json::from_str::<Value>(&payload) else { continue };
        let answer = scene.answer_within(payload.clone(), Duration::from_secs(1)).await;
        if payload.pointer("/Records/0/eventSource").and_then(Value::as_str) != Some("aws:sqs") {
            others += 1;
            continue;
        }
        if answer.response.is_err() {
            whole += 1;
            continue;
        }
        batches += 1;
        let failures = failures(&answer);
        for record in payload["Records"].as_array().unwrap() {
            let is_failed = failures.iter().any(|id| record["messageId"] == **id);
            let is_json = serde_json::from_str::<Value>(record["body"].as_str().unwrap_or_default()).is_ok();
            assert!(is_failed || is_json, "{record}");
        }
    }
    println!("poisoned envelopes: {whole} failed as a whole, {batches} batches, {others} single events");
    assert!(whole > 0 && batches > 500 && others > 500, "the test covers each kind");
}
