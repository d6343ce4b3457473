//! Responses that end too early. HTTP does not show it: they end with the connection.

use ec2_sim::{Fault, FaultKind, Launch};
use futures_util::future::join_all;

use crate::support::*;
use crate::{DESCRIBE, MODIFY, outcomes};

/// A policy under which an instance's tags decide.
const POLICY: &str = r#"{
    "baseline": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
    "rules": [
        {"name": "pods", "when": {"tags": {"eks:cluster-name": "*"}}, "require": {"HttpPutResponseHopLimit": 2}},
        {"name": "payroll", "when": {"tags": {"App": "payroll"}}, "exempt": {"until": "9999-12-31"}}
    ]
}"#;

/// Makes every description end just before this text.
fn cut_off_before(text: &str) -> Fault {
    Fault::new(FaultKind::MalformedBefore(text.to_owned())).on(DESCRIBE)
}

fn tagged(key: &str, value: &str) -> Launch {
    Launch { tags: [(key.to_owned(), value.to_owned())].into(), ..imdsv1(1) }
}

#[tokio::test]
async fn an_instance_whose_tags_are_missing_is_not_changed() {
    // At once, as each is tried again for some 15 s.
    let rows = [(("App", "payroll"), "1"), (("eks:cluster-name", "blue"), "2")].map(async |(tag, hops)| {
        let scene = Scene::new(&[("IMDS_POLICY", POLICY)]).await;
        let id = scene.launch(tagged(tag.0, tag.1)).remove(0);
        scene.account_region.modify(&id, &[("HttpPutResponseHopLimit", hops)]);
        scene.sim.inject(cut_off_before("<tagSet>"));
        let answer = scene.answer(batch(&[running_event(&id, now()).to_string()], 1)).await;
        assert_eq!(outcomes(&answer), [(id.clone(), "not-ready")], "{tag:?}");
        assert_eq!(failures(&answer), ["m0"], "{tag:?}");
        assert_eq!(scene.calls(MODIFY).len(), 0, "{tag:?}");
        let reason = answer.report.outcomes[0].reasons.join("; ");
        assert!(reason.contains("the response is cut off: its closing tag is missing"), "{tag:?}: {reason}");
    });
    join_all(rows).await;
}

#[tokio::test]
async fn a_cut_off_response_is_asked_for_again() {
    let scene = Scene::new(&[("IMDS_POLICY", POLICY)]).await;
    let ids = scene.launch(tagged("App", "payroll"));
    scene.sim.inject(cut_off_before("<tagSet>").times(2));
    let answer = scene.answer(batch(&[running_event(&ids[0], now()).to_string()], 1)).await;
    assert_eq!(outcomes(&answer), [(ids[0].clone(), "exempt")]);
    assert_eq!(scene.calls(DESCRIBE).len(), 3);
}

#[tokio::test]
async fn a_live_instance_is_not_gone() {
    let scene = Scene::new(&[]).await;
    let id = scene.launch(imdsv1(1)).remove(0);
    scene.sim.inject(cut_off_before("<item>"));
    let event = running_event(&id, now() - time::Duration::minutes(16)).to_string();
    let answer = scene.answer(batch(&[event], 2)).await;
    assert_eq!((outcomes(&answer), failures(&answer)), (vec![(id, "not-ready")], vec!["m0".to_owned()]));
}

#[tokio::test]
async fn a_sweep_is_not_done_after_a_part_of_the_instances() {
    // The second instance, and the token of the next page, are missing.
    let rows = ["</item></reservationSet>", "</reservationSet>"].map(async |text| {
        let scene = Scene::new(&[]).await;
        scene.launch(imdsv1(3));
        scene.sim.inject(cut_off_before(text));
        let answer = scene.answer(batch(&[sweep_event().to_string()], 1)).await;
        assert_eq!((answer.swept.len(), failures(&answer)), (0, vec!["m0".to_owned()]), "{text}");
        assert_eq!(scene.calls(MODIFY).len(), 0, "{text}: nothing that it says is believed");
        assert!(answer.report.unresolved[0].contains("cut off"), "{:?}", answer.report.unresolved);
    });
    join_all(rows).await;
}

#[tokio::test]
async fn a_change_whose_response_is_cut_off_is_verified() {
    let scene = Scene::new(&[]).await;
    let id = scene.launch(imdsv1(1)).remove(0);
    scene.sim.inject(
        Fault::new(FaultKind::MalformedBefore("<instanceMetadataOptions>".to_owned())).on(MODIFY).times(1),
    );
    let answer = scene.answer(launch_event(std::slice::from_ref(&id))).await;
    assert_eq!(outcomes(&answer), [(id, "enforced")]);
    assert_eq!(scene.calls(MODIFY).len(), 2, "EC2 may or may not have made the change: it is sent again");
}
