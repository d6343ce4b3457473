use super::*;

use imds_core::ids::{AccountId, InstanceId, Region};
use imds_core::instance::Words;
use imds_core::metadata::OptionName;
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

fn with_context<T>(work: impl FnOnce(&DecisionContext<'_>) -> T) -> T {
    let account = AccountId::new("111122223333").unwrap();
    let account_region = &AccountRegion { account, region: Region::new("us-east-1").unwrap() };
    let policy = &Policy::default();
    work(&DecisionContext::new(policy, account_region, NOW, Mode::Enforce))
}

fn open(target: Target, instance: Instance) -> Reconciliation {
    with_context(|context| Reconciliation::open(target, Observation::Shown(instance), context))
}

#[test]
fn an_incomplete_instance_is_not_ready_and_says_what_is_missing() {
    let incomplete = Instance::try_from(Words { id: "i-01234567", ..Words::default() }).unwrap();
    let opened = open(target(), incomplete);
    assert_eq!((opened.state, opened.record.change), (State::Ended(Outcome::NotReady), None));
    assert_eq!(opened.record.reasons, ["EC2 did not report State.Name, MetadataOptions.HttpTokens"]);
}

#[test]
fn a_change_whose_response_was_lost_is_reported_as_made() {
    for (may_be_changed, redelivered, state, change) in [
        (true, false, State::Verifying(Outcome::Enforced), true),
        (true, true, State::Verifying(Outcome::Enforced), true),
        // Somebody else made it.
        (false, false, State::Ended(Outcome::Compliant), false),
        (false, true, State::Verifying(Outcome::Compliant), false),
    ] {
        let mut opened = open(Target { redelivered, ..target() }, instance("optional", "applied"));
        opened.target.may_be_changed = may_be_changed;
        with_context(|context| opened.reopen(Observation::Shown(instance("required", "pending")), context));
        assert_eq!((&opened.state, opened.record.change.is_some()), (&state, change), "{may_be_changed}");
        let before = opened.instance.as_ref().and_then(|before| before.options.get(OptionName::HttpTokens));
        assert_eq!(
            before == Some(OptionValue::TOKENS_REQUIRED),
            !change,
            "{may_be_changed}: the options before"
        );
    }
}

#[test]
fn an_instance_that_is_not_shown_again_keeps_its_mode_and_its_use() {
    let mut opened = open(target(), instance("optional", "applied"));
    let used = Use { calls: 3, last_day: None, days: 14, observed_days: 14 };
    (opened.mode, opened.usage) = (Mode::DryRun, Some(used));
    with_context(|context| opened.reopen(Observation::NotShown, context));
    assert_eq!(opened.state, State::Ended(Outcome::NotReady));
    assert_eq!((opened.mode, opened.usage), (Mode::DryRun, Some(used)));
}

#[test]
fn an_attempt_that_failed_before_the_time_ran_out_is_the_reason() {
    let failed = (Outcome::Failed { retry: true }, "no response".to_owned());
    for (failure, outcome, reason) in [
        (Some(failed), Outcome::Failed { retry: true }, "no response"),
        (None, Outcome::Throttled, "rate limit"),
    ] {
        let mut opened = open(target(), instance("optional", "applied"));
        opened.target.failure = failure;
        opened.take_too_late();
        assert_eq!(opened.state, State::Ended(outcome));
        assert!(opened.record.reasons.iter().any(|why| why.contains(reason)), "{:?}", opened.record.reasons);
    }
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
        let found = opened.unlogged.is_pending_too_long;
        assert_eq!(found, expected, "redelivered {redelivered}, {age} after the event, tokens {tokens}");
    }
}

#[test]
fn launch_to_applied_ends_with_the_delivery_that_sees_the_change_applied() {
    let retried = || Target { redelivered: true, is_retried: true, ..target() };
    let neighbor_is_retried = || Target { redelivered: true, ..target() };
    let state_change = || Target { kind: TriggerKind::StateChange, ..retried() };
    let drift = || Target { kind: TriggerKind::Drift, ..retried() };
    let seconds = |opened: &Reconciliation| opened.unlogged.launch_to_applied.map(Duration::whole_seconds);
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
        ("a stop, weeks after the launch", state_change(), launched_before(Duration::weeks(3)), None),
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
