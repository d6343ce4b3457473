//! One function for many accounts and Regions, with a role session for each member account.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use ec2_sim::{Ec2Sim, Fault, FaultKind, RecordedCall, Settings};
use imds_enforcer::handler::Answer;
use serde_json::Value;
use support::lambda::Lambda;
use support::*;

/// The function's own account and three member accounts.
const ACCOUNTS: [&str; 4] = [ACCOUNT, "444455556666", "777788889999", "888899990000"];
const REGIONS: [&str; 2] = [REGION, "eu-west-1"];
const MEMBER_ROLE: (&str, &str) = ("IMDS_MEMBER_ROLE", "imds-enforcer-member");

/// Launches an instance in an account and Region. Returns its id and the event.
fn launch(sim: &Ec2Sim, account: &str, region: &str) -> (String, Value) {
    let id = sim.account_region(account, region).launch(imdsv1(1)).remove(0);
    let mut event = running_event(&id, now());
    (event["account"], event["region"]) = (account.into(), region.into());
    (id, event)
}

fn is_required(sim: &Ec2Sim, account: &str, region: &str, id: &str) -> bool {
    sim.account_region(account, region).instance(id).unwrap().options["HttpTokens"] == "required"
}

fn assumptions(calls: &[RecordedCall]) -> Vec<String> {
    let mut roles: Vec<String> = calls
        .iter()
        .filter(|call| call.action == "AssumeRole")
        .map(|call| call.parameters["RoleArn"].clone())
        .collect();
    roles.sort();
    roles
}

fn outcomes(answer: &Answer) -> BTreeMap<String, &'static str> {
    answer.report.outcomes.iter().map(|r| (r.account.to_string(), r.outcome.as_str())).collect()
}

#[tokio::test]
async fn each_instance_is_changed_in_its_account_and_region_with_one_session_an_account() {
    let settings = Settings { apply_delay: Duration::ZERO, ..Settings::default() };
    let scene = Scene::with(settings, &[MEMBER_ROLE]).await;
    let account_regions: Vec<(&str, &str)> =
        ACCOUNTS.iter().flat_map(|account| REGIONS.map(|region| (*account, region))).collect();
    let launched: Vec<_> =
        account_regions.iter().map(|(account, region)| launch(&scene.sim, account, region)).collect();
    let bodies: Vec<String> = launched.iter().map(|(_, event)| event.to_string()).collect();

    let answer = scene.answer(batch(&bodies, 1)).await;

    assert_eq!((answer.report.counts.clone(), failures(&answer)), ([("enforced", 8)].into(), vec![]));
    let calls = scene.sim.calls();
    let role = |account: &str| format!("arn:aws:iam::{account}:role/imds-enforcer-member");
    assert_eq!(
        assumptions(&calls),
        [role(ACCOUNTS[1]), role(ACCOUNTS[2]), role(ACCOUNTS[3])],
        "one for each member account, and none for the function's own"
    );
    for ((account, region), (id, _)) in account_regions.iter().zip(&launched) {
        assert!(is_required(&scene.sim, account, region, id), "{account} {region}");
        let changes: Vec<_> = calls
            .iter()
            .filter(|call| call.action == "ModifyInstanceMetadataOptions" && call.instance_ids.contains(id))
            .collect();
        assert_eq!(changes.len(), 1, "{account} {region}");
        assert_eq!((&*changes[0].account, &*changes[0].region), (*account, *region));
        let expected = (*account != ACCOUNT).then(|| role(account));
        assert_eq!(changes[0].role, expected, "{account} {region}");
    }
    let name = calls.iter().find_map(|call| call.session_name.as_deref()).unwrap();
    assert_eq!(name, "enforces-metadata-options.tests");
    let asked = calls.iter().find(|call| call.action == "AssumeRole").unwrap();
    assert_eq!(asked.parameters["DurationSeconds"], "900");
}

#[tokio::test]
async fn a_role_is_assumed_with_its_path() {
    for role in ["/platform/security/imds-enforcer-member", "platform/security/imds-enforcer-member"] {
        let scene = Scene::new(&[("IMDS_MEMBER_ROLE", role)]).await;
        let (id, event) = launch(&scene.sim, ACCOUNTS[1], REGION);
        let answer = scene.answer(event).await;
        assert_eq!(outcomes(&answer), [(ACCOUNTS[1].to_owned(), "enforced")].into(), "{role}");
        assert!(is_required(&scene.sim, ACCOUNTS[1], REGION, &id), "{role}");
        let expected = format!("arn:aws:iam::{}:role/platform/security/imds-enforcer-member", ACCOUNTS[1]);
        assert_eq!(assumptions(&scene.sim.calls()), [expected], "{role}");
    }
}

#[tokio::test]
async fn a_session_is_renewed_before_it_expires() {
    let settings = Settings {
        apply_delay: Duration::ZERO,
        // The SDK renews credentials ten seconds or more before they expire.
        session_duration: Some(Duration::from_secs(17)),
        ..Settings::default()
    };
    let scene = Scene::with(settings, &[MEMBER_ROLE]).await;
    let started = Instant::now();
    let mut answers = 0;
    while started.elapsed() < Duration::from_secs(20) {
        let (_, event) = launch(&scene.sim, ACCOUNTS[1], REGION);
        let answer = scene.answer(event).await;
        assert_eq!(outcomes(&answer), [(ACCOUNTS[1].to_owned(), "enforced")].into());
        answers += 1;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let assumed = assumptions(&scene.sim.calls()).len();
    assert!((2..answers / 2).contains(&assumed), "{assumed} sessions for {answers} events");
}

#[tokio::test]
async fn a_missing_role_does_not_delay_other_accounts() {
    let scene = Scene::new(&[MEMBER_ROLE]).await;
    let bodies: Vec<String> =
        ACCOUNTS.map(|account| launch(&scene.sim, account, REGION).1.to_string()).to_vec();
    let refused = Fault::new(FaultKind::Deny).on("AssumeRole");
    scene.sim.inject(Fault { account: Some(ACCOUNTS[1].to_owned()), ..refused });

    let answer = scene.answer(batch(&bodies, 1)).await;
    let outcome = |account: &str| if account == ACCOUNTS[1] { "unreachable" } else { "enforced" };
    assert_eq!(outcomes(&answer), ACCOUNTS.map(|account| (account.to_owned(), outcome(account))).into());
    assert_eq!(failures(&answer), ["m1"]);
    let report = answer.report.outcomes.iter().find(|r| r.account.as_str() == ACCOUNTS[1]).unwrap();
    let reason = report.reasons.last().unwrap();
    assert!(reason.starts_with("sts:AssumeRole returned AccessDenied: "), "{reason}");

    scene.sim.clear_faults();
    // The failure is cached for a second; a retry comes after some ten.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let answer = scene.answer(batch(&bodies[1..2], 2)).await;
    assert_eq!((outcomes(&answer)[ACCOUNTS[1]], failures(&answer)), ("enforced", vec![]));
}

#[tokio::test]
async fn an_sts_timeout_does_not_delay_other_accounts() {
    let scene = Scene::new(&[MEMBER_ROLE]).await;
    let launched = ACCOUNTS.map(|account| launch(&scene.sim, account, REGION));
    let bodies: Vec<String> = launched.iter().map(|(_, event)| event.to_string()).collect();
    // The first member account in the order of account ids.
    let hangs = Fault::new(FaultKind::Hang(None)).on("AssumeRole");
    scene.sim.inject(Fault { account: Some(ACCOUNTS[1].to_owned()), ..hangs });
    let others = async {
        let started = Instant::now();
        let is_done = |(account, (id, _)): (&&str, &(String, Value))| {
            *account == ACCOUNTS[1] || is_required(&scene.sim, account, REGION, id)
        };
        while !ACCOUNTS.iter().zip(&launched).all(is_done) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        started.elapsed()
    };
    let started = Instant::now();
    let answer =
        async { (scene.answer_within(batch(&bodies, 1), Duration::from_secs(60)).await, started.elapsed()) };
    let ((answer, took), others) = tokio::join!(answer, others);
    assert!(took < Duration::from_secs(10), "STS has a timeout of its own: {took:?}");
    assert_eq!(outcomes(&answer)[ACCOUNTS[1]], "unreachable");
    assert!(others < Duration::from_secs(2), "{others:?}");
    assert_eq!(failures(&answer), ["m1"], "{:?}", answer.report);
}

#[tokio::test]
async fn a_malformed_account_or_region_reaches_no_role_and_no_host() {
    let scene = Scene::new(&[MEMBER_ROLE]).await;
    let (_, event) = launch(&scene.sim, ACCOUNTS[1], REGION);
    for (key, value) in [
        ("account", "4444/role"),
        ("account", "44445555666*"),
        ("region", "us-east-1.example.com/"),
        ("region", "../../x-1"),
    ] {
        let mut event = event.clone();
        event[key] = value.into();
        let answer = scene.answer(event).await;
        assert_eq!(answer.unreadable, 1, "{key} {value}");
        assert!(answer.response.is_err(), "{key} {value}: the event is kept");
    }
    assert!(scene.sim.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_accounts_take_bounded_memory_and_connections() {
    let sim = Ec2Sim::start(Settings { apply_delay: Duration::ZERO, ..Settings::default() }).await.unwrap();
    let accounts: Vec<String> =
        (0..1000).map(|number| format!("{:012}", 100_000_000_000_u64 + number)).collect();
    let mut lambda = Lambda::start(&sim, &[MEMBER_ROLE]).await;
    let (mut ids, mut figures) = (Vec::new(), Vec::new());
    for hundred in accounts.chunks(100) {
        let launched: Vec<_> = hundred.iter().map(|account| launch(&sim, account, REGION)).collect();
        let bodies: Vec<String> = launched.iter().map(|(_, event)| event.to_string()).collect();
        let answer = lambda.invoke(batch(&bodies, 1), Duration::from_secs(60)).await.unwrap().unwrap();
        assert_eq!(answer["batchItemFailures"].as_array().unwrap().len(), 0);
        ids.extend(hundred.iter().cloned().zip(launched.into_iter().map(|(id, _)| id)));
        figures.push((lambda.peak_memory(), lambda.open_files()));
    }
    println!("a thousand accounts, by hundreds: MB and open files {figures:.0?}");
    assert!(ids.iter().all(|(account, id)| is_required(&sim, account, REGION, id)));
    assert_eq!(assumptions(&sim.calls()).into_iter().collect::<BTreeSet<_>>().len(), 1000);
    let (memory, files) = figures[9];
    assert!(memory < 60.0, "{memory:.1} MB");
    assert!(memory - figures[4].0 < 8.0, "memory is constant once the client cache is full: {figures:.0?}");
    assert!(files < 300, "{files} open files");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_changes_in_many_accounts_take_bounded_connections() {
    let settings = Settings { apply_delay: Duration::from_millis(200), ..Settings::default() };
    let sim = Ec2Sim::start(settings).await.unwrap();
    let mut lambda = Lambda::start(&sim, &[MEMBER_ROLE]).await;
    let accounts = (0..100_u64).map(|number| format!("{:012}", 100_000_000_000 + number));
    let bodies: Vec<String> = accounts
        .map(|account| {
            let ids = sim.account_region(&account, REGION).launch(imdsv1(30));
            let mut event = launch_event(&ids);
            event["account"] = account.into();
            event.to_string()
        })
        .collect();
    let (files, most) = (lambda.files(), Cell::new(0));
    let watch = async {
        loop {
            most.set(most.get().max(std::fs::read_dir(&files).map_or(0, Iterator::count)));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let answer = tokio::select! {
        answer = lambda.invoke(batch(&bodies, 1), Duration::from_secs(120)) => answer.unwrap().unwrap(),
        () = watch => unreachable!("it watches until the function responds"),
    };
    assert_eq!(answer["batchItemFailures"].as_array().unwrap().len(), 0);
    let (most, memory) = (most.get(), lambda.peak_memory());
    println!("3,000 changes in 100 accounts at once: at most {most} open files, {memory:.0} MB");
    assert!((50..450).contains(&most), "200 calls to EC2 and the calls to STS: {most} open files");
    assert!(memory < 80.0, "{memory:.1} MB");
}
