//! DescribeInstances: filters and pages.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod wire;

use std::time::{Duration, Instant};

use ec2_sim::{Ec2Sim, Launch, Settings};
use time::macros::datetime;

use wire::{ACCOUNT, REGION, call, ids, next_token, start};

/// The ids that DescribeInstances returns for these parameters.
async fn found(sim: &Ec2Sim, parameters: &str) -> Vec<String> {
    let (status, answer) = call(sim, &format!("Action=DescribeInstances{parameters}")).await.unwrap();
    assert_eq!(status, 200, "{parameters}: {answer}");
    ids(&answer)
}

/// Filters with one value each.
type Filters<'a> = &'a [(&'a str, &'a str)];

fn filters(filters: Filters<'_>) -> String {
    let filter = |(n, (name, value)): (usize, &(&str, &str))| {
        format!("&Filter.{n}.Name={name}&Filter.{n}.Value.1={value}", n = n + 1)
    };
    filters.iter().enumerate().map(filter).collect()
}

#[tokio::test]
async fn filters_return_matching_instances() {
    let sim = start(Settings::default()).await;
    let account_region = sim.account_region(ACCOUNT, REGION);
    let first = account_region.launch(Launch {
        tags: vec![("Name".into(), "web*1".into()), ("Team".into(), "".into())],
        options: vec![
            ("HttpTokens".into(), "required".into()),
            ("HttpPutResponseHopLimit".into(), "3".into()),
        ],
        client_token: Some("first".into()),
        launch_time: Some(datetime!(2026-03-17 00:59:42.123 UTC)),
        ..Launch::default()
    });
    let second = account_region.launch(Launch {
        tags: vec![("Name".into(), "web21".into())],
        operator: Some("eks.amazonaws.com".into()),
        state: Some("stopped".into()),
        launch_time: Some(datetime!(2026-03-18 08:00:00 UTC)),
        ..Launch::default()
    });
    let (one, other, both) = (first.clone(), second.clone(), [first, second].concat());
    let none = Vec::new();
    let rows: &[(Filters<'_>, &Vec<String>)] = &[
        (&[("instance-id", &one[0])], &one),
        (&[("instance-id", "i-*")], &both),
        (&[("instance-state-name", "running")], &one),
        (&[("instance-state-name", "s*")], &other),
        (&[("instance-state-code", "80")], &other),
        (&[("tag:Name", "web*1")], &both),
        (&[("tag:Name", r"web\*1")], &one),
        (&[("tag:Name", "web?1")], &both),
        (&[("tag:Name", "WEB*")], &none),
        (&[("tag:Team", "")], &one),
        (&[("tag-key", "Team")], &one),
        (&[("client-token", "first")], &one),
        (&[("launch-time", "2026-03-17T*")], &one),
        (&[("launch-time", "2026-03-17T00:59:42.123Z")], &one),
        (&[("metadata-options.http-tokens", "optional")], &other),
        (&[("metadata-options.http-put-response-hop-limit", "3")], &one),
        (&[("metadata-options.http-endpoint", "enabled")], &both),
        (&[("metadata-options.state", "pending")], &none),
        (&[("operator.managed", "true")], &other),
        (&[("operator.principal", "eks*")], &other),
        (&[("instance-state-name", "running"), ("tag-key", "Name")], &one),
        (&[("instance-id", &one[0]), ("instance-id", &other[0])], &none),
    ];
    for (wanted, expected) in rows {
        assert_eq!(&found(&sim, &filters(wanted)).await, *expected, "{wanted:?}");
    }
    let unknown =
        format!("&Filter.1.Name=instance-id&Filter.1.Value.1={}&Filter.1.Value.2=i-00000000", one[0]);
    assert_eq!(found(&sim, &unknown).await, one, "an unknown id in a filter is no error");
}

/// The content of the first element with this name.
fn element<'a>(answer: &'a str, name: &str) -> &'a str {
    let found =
        answer.split_once(&format!("<{name}>")).and_then(|(_, rest)| rest.split_once(&format!("</{name}>")));
    found.map_or("", |(content, _)| content)
}

#[tokio::test]
async fn a_restart_renews_the_launch_time_and_keeps_the_attach_time() {
    let sim =
        start(Settings { start_delay: Duration::ZERO, state_delay: Duration::ZERO, ..Settings::default() })
            .await;
    let account_region = sim.account_region(ACCOUNT, REGION);
    let launched = datetime!(2026-03-17 00:59:42 UTC);
    let rows = [
        (Some(launched), None, "2026-03-17"),
        (None, Some(launched - time::Duration::days(9)), "2026-03-08"),
    ];
    for (launch_time, first_ran, attached) in rows {
        let id = &account_region.launch(Launch { launch_time, first_ran, ..Launch::default() })[0];
        account_region.stop(id);
        account_region.start(id);
        let (_, answer) = call(&sim, &format!("Action=DescribeInstances&InstanceId.1={id}")).await.unwrap();
        let interface = element(&answer, "networkInterfaceSet");
        assert_eq!(element(interface, "deviceIndex"), "0", "{interface}");
        assert!(element(interface, "attachTime").starts_with(attached), "{attached}: {interface}");
        assert!(element(&answer, "launchTime") > "2026-03-18", "{attached}: {answer}");
        account_region.terminate(id);
        let (_, answer) = call(&sim, &format!("Action=DescribeInstances&InstanceId.1={id}")).await.unwrap();
        assert!(answer.contains("<networkInterfaceSet") && !answer.contains("attachTime"), "{answer}");
    }
}

#[tokio::test]
async fn an_instance_without_tags_has_no_tag_set() {
    let sim = start(Settings::default()).await;
    let account_region = sim.account_region(ACCOUNT, REGION);
    let id = &account_region.launch(Launch::default())[0];
    assert!(!call(&sim, "Action=DescribeInstances").await.unwrap().1.contains("tagSet"));
    account_region.tag(id, "App", "web");
    assert!(call(&sim, "Action=DescribeInstances").await.unwrap().1.contains("<tagSet><item><key>App</key>"));
}

#[tokio::test]
async fn realistic_instances_have_6_to_7_kb_and_no_id_twice() {
    let sim = start(Settings { realistic: true, ..Settings::default() }).await;
    let tags = (0..10).map(|n| (format!("company:tag-{n}"), "an ordinary value".to_owned())).collect();
    sim.account_region(ACCOUNT, REGION).launch(Launch { count: 1_500, tags, ..Launch::default() });
    let (mut resources, mut bytes, mut token) = (Vec::new(), 0, String::new());
    for _ in 0..2 {
        let body = format!("Action=DescribeInstances&MaxResults=1000{token}");
        let (_, answer) = call(&sim, &body).await.unwrap();
        bytes += answer.len();
        for name in ["instanceId", "volumeId", "networkInterfaceId", "attachmentId", "macAddress"] {
            let start = format!("<{name}>");
            let found = answer.split(&start).skip(1).filter_map(|rest| rest.split_once('<'));
            resources.extend(found.map(|(id, _)| id.to_owned()));
        }
        token = next_token(&answer).map(|token| format!("&NextToken={token}")).unwrap_or_default();
    }
    let each = bytes / 1_500;
    assert!((6_000..7_000).contains(&each), "{each} bytes an instance");
    // An instance, two volumes, and two network interfaces with an attachment and a MAC address each.
    assert_eq!(resources.len(), 1_500 * 9);
    resources.sort();
    resources.dedup();
    assert_eq!(resources.len(), 1_500 * 9, "each id is unique");
}

/// Reads all pages with 5 instances each, and calls `between` after each page.
async fn pages(sim: &Ec2Sim, parameters: &str, mut between: impl FnMut()) -> Vec<Vec<String>> {
    let (mut pages, mut token) = (Vec::new(), String::new());
    loop {
        let body = format!("Action=DescribeInstances&MaxResults=5{parameters}{token}");
        let (_, answer) = call(sim, &body).await.unwrap();
        pages.push(ids(&answer));
        between();
        match next_token(&answer) {
            Some(next) => token = format!("&NextToken={next}"),
            None => return pages,
        }
    }
}

#[tokio::test]
async fn pages_show_every_instance_once() {
    let sim = start(Settings::default()).await;
    let launched = sim.account_region(ACCOUNT, REGION).launch(Launch { count: 10, ..Launch::default() });
    let pages = pages(&sim, "", || ()).await;
    assert_eq!(pages.len(), 2, "no empty page follows");
    assert_eq!(pages.concat(), launched);
}

#[tokio::test]
async fn pages_skip_none_when_others_leave_the_filter() {
    let sim = start(Settings::default()).await;
    let account_region = sim.account_region(ACCOUNT, REGION);
    let launched = account_region.launch(Launch { count: 20, ..Launch::default() });
    let mut leaving = launched.iter();
    let running = filters(&[("instance-state-name", "running")]);
    let pages = pages(&sim, &running, || account_region.terminate(leaving.next().unwrap())).await;
    assert_eq!(pages.concat(), launched, "the first page already had the instances that left the filter");
}

#[tokio::test]
async fn two_hundred_ids_are_found_quickly_among_thousands() {
    let sim = start(Settings::default()).await;
    let launched = sim.account_region(ACCOUNT, REGION).launch(Launch { count: 5_000, ..Launch::default() });
    let wanted = &launched[4_000..4_200];
    let values: String = (1..).zip(wanted).map(|(n, id)| format!("&Filter.1.Value.{n}={id}")).collect();
    let began = Instant::now();
    for _ in 0..20 {
        assert_eq!(found(&sim, &format!("&Filter.1.Name=instance-id{values}")).await, wanted);
    }
    assert!(began.elapsed() < Duration::from_secs(5), "20 calls took {:?}", began.elapsed());
}
