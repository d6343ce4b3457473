use super::*;

use imds_core::ids::{AccountId, InstanceId, Region};
use imds_core::instance::Words;
use imds_core::policy::Policy;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

const NOW: OffsetDateTime = datetime!(2026-03-17 00:00 UTC);

/// An instance that was launched a minute ago.
fn instance(tokens: &str, options_state: &str) -> Instance {
    let words = Words {
        id: "i-01234567",
        state: Some("running"),
        launched: Some(NOW - Duration::minutes(1)),
        options: vec![(OptionName::HttpTokens, tokens.into())],
        options_state: Some(options_state),
        ..Words::default()
    };
    Instance::try_from(words).unwrap()
}

fn launched_before(age: Duration) -> Instance {
    Instance { launched: Some(NOW - age), ..instance("required", "applied") }
}

fn target() -> Target {
    let id = InstanceId::new("i-01234567").unwrap();
    Target { deliveries: [0].into(), ..Target::new(id, TriggerKind::Launch, Duration::ZERO) }
}

fn open(target: Target, instance: Instance) -> Reconciliation {
    let account = AccountId::new("111122223333").unwrap();
    let account_region = &AccountRegion { account, region: Region::new("us-east-1").unwrap() };
    let policy = &Policy::default();
    let context = DecisionContext { policy, account_region, now: NOW, tokens_enforced: None };
    Reconciliation::open(target, Observation::Shown(instance), &context)
}

#[test]
fn an_incomplete_instance_is_not_ready_and_says_what_is_missing() {
    let incomplete = Instance::try_from(Words { id: "i-01234567", ..Words::default() }).unwrap();
    let opened = open(target(), incomplete);
    assert_eq!((opened.state, opened.record.change), (State::Ended(Outcome::NotReady), None));
    assert_eq!(opened.record.reasons, ["EC2 did not report State.Name, MetadataOptions.HttpTokens"]);
}

#[test]
fn pending_too_long_is_pending_on_a_redelivery_a_quarter_of_an_hour_after_the_event() {
    let (young, old) = (Duration::minutes(15), Duration::minutes(16));
    for (redelivered, age, tokens, expected) in [
        (true, old, "required", true),
        (true, young, "required", false),
        (false, old, "required", false),
        // This delivery makes the change.
        (true, old, "optional", false),
    ] {
        let mut opened = open(Target { redelivered, age, ..target() }, instance(tokens, "pending"));
        opened.take_answer(Answer::Accepted(Some(OptionsState::Pending)));
        opened.take_description(Some(&instance("required", "pending")), NOW);
        opened.give_up(None);
        let found = opened.metric_fields.is_pending_too_long;
        assert_eq!(found, expected, "redelivered {redelivered}, {age} after the event, tokens {tokens}");
    }
}

#[test]
fn launch_to_applied_ends_with_the_delivery_that_sees_the_change_applied() {
    let retried = || Target { redelivered: true, is_retried: true, ..target() };
    let neighbor_is_retried = || Target { redelivered: true, ..target() };
    let drift = || Target { kind: TriggerKind::Drift, ..retried() };
    let seconds =
        |opened: &Reconciliation| opened.metric_fields.launch_to_applied.map(Duration::whole_seconds);
    for (name, target, first, expected) in [
        ("applied at a later delivery", retried(), instance("required", "applied"), Some(60)),
        ("compliant from the start", target(), instance("required", "applied"), None),
        (
            "done before, of a record with others",
            neighbor_is_retried(),
            instance("required", "applied"),
            None,
        ),
        ("not a launch", drift(), instance("required", "applied"), None),
        ("a stop, weeks after the launch", retried(), launched_before(Duration::weeks(3)), None),
    ] {
        assert_eq!(seconds(&open(target, first)), expected, "{name}");
    }
    // Changed in this delivery, or pending since an earlier one, and applied 5 s later.
    for (target, first) in
        [(target(), instance("optional", "applied")), (retried(), instance("required", "pending"))]
    {
        let mut opened = open(target, first);
        opened.take_answer(Answer::Accepted(Some(OptionsState::Pending)));
        assert_eq!(seconds(&opened), None, "not yet");
        opened.take_description(Some(&instance("required", "applied")), NOW + Duration::seconds(5));
        assert_eq!(seconds(&opened), Some(65));
    }
}
