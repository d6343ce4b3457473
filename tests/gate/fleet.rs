//! Random fleets, events and faults: no instance with calls is ever sent `HttpTokens=required`.

use std::collections::BTreeMap;
use std::time::Duration as Wait;

use ec2_sim::{Fault, FaultKind};
use fastrand::Rng;

use crate::follow::{GROUP, TEMPLATE};
use crate::limits::scene_with;
use crate::support::*;
use crate::*;

const POLICIES: [&str; 3] = [
    GATED,
    r#"{"baseline": {"HttpTokens": "required", "HttpPutResponseHopLimit": {"atMost": 2}}, "usageGate": {},
        "instanceTags": {"authority": "loosen", "exemptions": {"maxDays": 30}},
        "limits": {"changesPerSweep": 20, "failuresPerSweep": 10}}"#,
    r#"{"baseline": {"HttpTokens": "required"}, "usageGate": {"onUnknown": "enforce"}, "mode": "dry-run", "rules": [
        {"name": "pilot", "when": {"tags": {"App": "web"}}, "mode": "enforce"},
        {"name": "again", "when": {"tags": {"App": "*"}}, "usageGate": {"onUnknown": "enforce"}}]}"#,
];

/// What may be sent of an instance.
#[derive(Debug, Clone, Copy, PartialEq)]
enum May {
    /// It has calls and a history: never.
    Never,
    /// It has no calls, and data on enough days.
    Always,
    /// It is new, or too little is known.
    Unknown,
}

fn launch_one(scene: &Scene, rng: &mut Rng) -> (String, May) {
    let ages = [Duration::minutes(10), Duration::hours(3), Duration::days(10), Duration::days(400)];
    let age = ages[rng.usize(..ages.len())];
    let mut launch = ran_for(1, age);
    let tags = [
        ("App", "web"),
        ("imds:HttpTokens", "required"),
        ("imds:UsageGate", "false"),
        ("imds:ExemptUntil", "2000-01-01"),
        (GROUP, "group"),
        (TEMPLATE, "lt-0123456789abcdef0"),
    ];
    for (key, value) in tags {
        if rng.u8(..4) == 0 {
            launch = tagged(launch, key, value);
        }
    }
    let state = ["running", "running", "running", "stopped"][rng.usize(..4)];
    let image = if rng.bool() { "ami-0aaaaaaaaaaaaaaaa" } else { "ami-12345678" };
    let mut options = vec![];
    if rng.u8(..8) == 0 {
        options.push(("HttpTokens", "required"));
    }
    if rng.bool() {
        options.push(("HttpPutResponseHopLimit", "9"));
    }
    let options = with_options(&options).options;
    let launch = Launch { state: Some(state.to_owned()), image: image.to_owned(), options, ..launch };
    let ids = scene.launch(launch);
    let may = match rng.u8(..3) {
        _ if age < Duration::hours(6) => {
            in_use(scene, &ids);
            May::Unknown
        }
        0 => {
            unused(scene, &ids);
            used(scene, &ids, &[(rng.i64(0..=9), f64::from(rng.u32(1..500)))]);
            May::Never
        }
        1 => {
            unused(scene, &ids);
            May::Always
        }
        _ => May::Unknown,
    };
    (ids[0].clone(), may)
}

fn inject_faults(scene: &Scene, ids: &[String], rng: &mut Rng) {
    let kinds = [
        FaultKind::Forbidden,
        FaultKind::PartialData,
        FaultKind::InternalError,
        FaultKind::Throttle,
        FaultKind::Deny,
        FaultKind::Reset,
        FaultKind::Malformed,
        FaultKind::Delay(Wait::from_millis(50)),
    ];
    for _ in 0..rng.usize(..4) {
        let fault = Fault::new(kinds[rng.usize(..kinds.len())].clone()).on(METRICS);
        let fault = if rng.bool() { fault.of(&ids[rng.usize(..ids.len())]) } else { fault };
        scene.sim.inject(fault.with_probability(0.3));
    }
    for kind in [FaultKind::Reset, FaultKind::Throttle] {
        scene.sim.inject(Fault::new(kind).on(DESCRIBE).with_probability(0.05));
    }
    for kind in [FaultKind::Reset, FaultKind::Malformed, FaultKind::ServerError] {
        scene.sim.inject(Fault::new(kind).on(MODIFY).with_probability(0.05));
    }
}

/// A batch of events about these instances.
fn random_events(ids: &[String], rng: &mut Rng) -> Vec<Value> {
    let mut events = Vec::new();
    for _ in 0..rng.usize(1..6) {
        let some: Vec<String> = (0..rng.usize(1..8)).map(|_| ids[rng.usize(..ids.len())].clone()).collect();
        events.push(match rng.u8(..3) {
            0 => sweep_of(&rng.u64(..).to_string()),
            1 => launch_event(&some),
            _ => state_event(&some[0]),
        });
    }
    events
}

#[tokio::test]
async fn no_instance_with_calls_is_ever_sent_required_tokens() {
    futures_util::future::join_all((0..12).map(check)).await;
}

async fn check(seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let policy = POLICIES[rng.usize(..POLICIES.len())];
    let scene = scene_with(policy, &[]).await;
    let fleet: BTreeMap<String, May> = (0..60).map(|_| launch_one(&scene, &mut rng)).collect();
    let ids: Vec<String> = fleet.keys().cloned().collect();
    inject_faults(&scene, &ids, &mut rng);
    for _ in 0..3 {
        let receives = rng.u32(1..3);
        let bodies: Vec<String> = random_events(&ids, &mut rng).iter().map(Value::to_string).collect();
        let answer = scene.answer_within(batch(&bodies, receives), Wait::from_secs(20)).await;
        assert!(answer.response.is_ok(), "seed {seed}");
    }
    // Without faults, these sweeps are enough for the others.
    scene.sim.clear_faults();
    for number in 0..8 {
        scene.answer(sweep_of(&format!("last {number}"))).await;
    }
    let sent = tokens_sent(&scene);
    for (id, may) in &fleet {
        match may {
            May::Never => assert!(!sent.contains(id), "seed {seed}: {id}"),
            May::Always if policy != POLICIES[2] => {
                assert_eq!(http_tokens(&scene, id), "required", "seed {seed}: {id}");
            }
            May::Always | May::Unknown => {}
        }
    }
}
