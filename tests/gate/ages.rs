//! Which instances have a history.

use imds_engine::aws::clients::RegionClients;
use imds_engine::aws::rate_limit::RateLimit;
use imds_engine::aws::settings::for_simulator;

use crate::renaming_proxy::renaming;
use crate::support::*;
use crate::*;

/// A scene whose EC2 has `to` in place of `from` in its responses.
pub async fn renamed(policy: &str, from: &'static str, to: &'static str) -> Scene {
    let mut scene = Scene::new(&[("IMDS_POLICY", policy)]).await;
    let endpoint = renaming(&scene.sim.endpoint(), from, to).await;
    let limit = RateLimit { ceiling: 1000.0, burst: 1000 };
    let clients = RegionClients::new(for_simulator(&endpoint, ACCOUNT, REGION), limit, None);
    clients.invoked_as(&format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:tests"));
    let config =
        imds_enforcer::config::Config::from_lookup(|name| (name == "IMDS_POLICY").then(|| policy.to_owned()));
    scene.enforcer = config.unwrap().into_enforcer(clients);
    scene
}

/// A scene whose EC2 does not report when a network interface was attached.
pub async fn without_attach_time(policy: &str) -> Scene {
    renamed(policy, "attachTime>", "attachTImE>").await
}

#[tokio::test]
async fn gated_is_what_first_ran_more_than_60_minutes_ago_or_6_hours_after_a_launch() {
    let minutes = Duration::minutes;
    let rows = [
        ("sweep", minutes(59), "enforced"),
        ("sweep", minutes(61), "in-use"),
        ("state", minutes(59), "enforced"),
        ("state", minutes(61), "in-use"),
        ("launch", minutes(61), "enforced"),
        ("launch", minutes(359), "enforced"),
        ("launch", minutes(361), "in-use"),
        ("launch", Duration::days(300), "in-use"),
    ];
    for (event, age, expected) in rows {
        let scene = Scene::new(&[("IMDS_POLICY", GATED)]).await;
        let ids = scene.launch(ran_for(1, age));
        in_use(&scene, &ids);
        let event = match event {
            "sweep" => sweep_event(),
            "state" => state_event(&ids[0]),
            _ => launch_event(&ids),
        };
        let answer = scene.answer(event.clone()).await;
        assert_eq!(became(&answer, &ids[0]), expected, "{} after {age}", event["detail-type"]);
        let asked = usize::from(expected == "in-use");
        assert_eq!(asked_about(&scene).len(), asked, "{} after {age}", event["detail-type"]);
    }
}

#[tokio::test]
async fn a_launch_known_only_by_its_time_does_not_make_an_instance_new() {
    let scene = Scene::new(&[("IMDS_POLICY", GATED)]).await;
    // It was started again at the time of the launch.
    let restarted = scene.launch(Launch { launch_time: Some(now()), ..ran_for(1, Duration::hours(5)) });
    in_use(&scene, &restarted);
    let new = scene.launch(imdsv1(1));
    let event = api_call(json!({
        "eventName": "RunInstances", "eventTime": launch_event(&[])["time"].clone(),
        "requestParameters": {"omitted": true}, "responseElements": {"omitted": true},
    }));
    let answer = scene.answer(records(&[event])).await;
    assert_eq!((became(&answer, &restarted[0]), became(&answer, &new[0])), ("in-use", "enforced"));
    assert_eq!(tokens_sent(&scene), new);
}

#[tokio::test]
async fn a_launch_and_a_state_change_in_one_batch_are_a_launch() {
    let scene = Scene::new(&[("IMDS_POLICY", GATED)]).await;
    let ids = scene.launch(ran_for(1, Duration::hours(2)));
    in_use(&scene, &ids);
    let answer = scene.answer(records(&[state_event(&ids[0]), launch_event(&ids)])).await;
    assert_eq!((became(&answer, &ids[0]), asked_about(&scene).len()), ("enforced", 0));
}

#[tokio::test]
async fn a_stop_and_start_does_not_make_an_instance_new() {
    let scene = Scene::new(&[("IMDS_POLICY", GATED)]).await;
    let launch = Launch { launch_time: Some(now()), ..old(1) };
    let ids = scene.launch(launch);
    in_use(&scene, &ids);
    let answer = scene.answer(state_event(&ids[0])).await;
    assert_eq!(became(&answer, &ids[0]), "in-use", "its launch time is new, its network interface is not");
    let stopped = scene.launch(Launch { state: Some("stopped".to_owned()), ..old(1) });
    in_use(&scene, &stopped);
    scene.account_region.start(&stopped[0]);
    let answer = scene.answer(state_event(&stopped[0])).await;
    assert_eq!(became(&answer, &stopped[0]), "in-use");
}

#[tokio::test]
async fn an_instance_whose_age_is_not_known_is_gated() {
    let scene = without_attach_time(GATED).await;
    let ids = scene.launch(imdsv1(2));
    in_use(&scene, &ids[..1]);
    unused(&scene, &ids[1..]);
    for event in [launch_event(&ids), sweep_event()] {
        let answer = scene.answer(event).await;
        assert_eq!(became(&answer, &ids[0]), "in-use");
        assert!(["enforced", "compliant"].contains(&became(&answer, &ids[1])), "its days are looked at");
    }
    assert_eq!(tokens_sent(&scene), ids[1..]);
    let asked = scene.calls(METRICS).remove(0).parameters["StartTime"].parse::<f64>().unwrap();
    assert_eq!(asked as i64, day(14).midnight().assume_utc().unix_timestamp(), "the whole lookback");
}
