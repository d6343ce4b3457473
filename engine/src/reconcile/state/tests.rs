use imds_core::instance::{Missing, Words};
use imds_core::metadata::{MetadataOptions, OptionName};

use super::*;

fn change(options: &[(OptionName, &str)]) -> Change {
    let values = options.iter().map(|(name, value)| name.parse(value).expect("a value of the option"));
    Change::new(values.collect::<MetadataOptions>()).expect("an option")
}

fn instance(state: &str, tokens: &str, options_state: &str) -> Instance {
    Instance::try_from(Words {
        id: "i-01234567",
        state: Some(state),
        options: vec![(OptionName::HttpTokens, tokens.into())],
        options_state: Some(options_state),
        ..Words::default()
    })
    .expect("an instance")
}

fn rejected(outcome: Outcome) -> Answer {
    Answer::Rejected { outcome, why: format!("why {outcome}") }
}

const AGAIN: Outcome = Outcome::Failed { retry: true };
const FOR_GOOD: Outcome = Outcome::Failed { retry: false };
const ACCEPTED: Answer = Answer::Accepted(Some(OptionsState::Pending));

fn required() -> Change {
    change(&[(OptionName::HttpTokens, "required")])
}

#[test]
fn an_answer_to_the_whole_change_has_one_next_state() {
    let rows = [
        (ACCEPTED, State::Verifying(Outcome::Enforced), None),
        (rejected(Outcome::WouldEnforce), State::Ended(Outcome::WouldEnforce), None),
        (rejected(Outcome::NotReady), State::Refused(Outcome::NotReady), Some("why not-ready")),
        (rejected(Outcome::Blocked), State::Ended(Outcome::Blocked), Some("why blocked")),
        (rejected(Outcome::Denied), State::Ended(Outcome::Denied), Some("why denied")),
        (rejected(Outcome::Gone), State::Ended(Outcome::Gone), Some("why gone")),
        (rejected(Outcome::Throttled), State::Ended(Outcome::Throttled), Some("why throttled")),
        (rejected(Outcome::Unreachable), State::Ended(Outcome::Unreachable), Some("why unreachable")),
        (rejected(AGAIN), State::Ended(AGAIN), Some("why failed")),
        (rejected(FOR_GOOD), State::Ended(FOR_GOOD), Some("why failed")),
        (Answer::TooLate, State::Ended(Outcome::Throttled), Some(TOO_LATE)),
    ];
    for (answer, next, reason) in rows {
        let mut record = Record::default();
        let state = State::Due(required()).answered(answer.clone(), &mut record);
        assert_eq!(state, next, "{answer:?}");
        assert_eq!(record.reasons.first().map(String::as_str), reason, "{answer:?}");
        assert!(record.warnings.is_empty() && record.change.is_none(), "{answer:?}");
    }
}

#[test]
fn a_description_has_one_next_state() {
    let (verifying, refused) = (State::Verifying(Outcome::Enforced), State::Refused(Outcome::NotReady));
    let ended = |outcome| State::Ended(outcome);
    let rows = [
        (&verifying, Some(instance("running", "required", "applied")), ended(Outcome::Enforced)),
        (&verifying, Some(instance("running", "required", "pending")), verifying.clone()),
        (&verifying, Some(instance("stopped", "required", "pending")), ended(Outcome::Enforced)),
        // Another change was made in between, or the description is older than our change.
        (&verifying, Some(instance("running", "optional", "applied")), verifying.clone()),
        (&verifying, Some(instance("stopped", "optional", "applied")), verifying.clone()),
        (&verifying, Some(instance("shutting-down", "required", "applied")), ended(Outcome::Gone)),
        (&verifying, Some(instance("", "required", "applied")), verifying.clone()),
        (&verifying, Some(instance("stopped", "", "applied")), verifying.clone()),
        (&verifying, None, verifying.clone()),
        (&refused, Some(instance("pending", "optional", "applied")), ended(Outcome::NotReady)),
        (&refused, Some(instance("terminated", "optional", "applied")), ended(Outcome::Gone)),
        (&refused, None, ended(Outcome::NotReady)),
    ];
    for (state, shown, next) in rows {
        let mut record = Record { change: Some(required()), ..Record::default() };
        assert_eq!(state.clone().described(shown.as_ref(), &mut record), next, "{state:?} {shown:?}");
    }
}

#[test]
fn without_a_further_description_nothing_is_reported_as_verified() {
    let rows = [
        (State::Verifying(Outcome::Enforced), State::Ended(Outcome::Pending)),
        (State::Verifying(Outcome::Compliant), State::Ended(Outcome::Pending)),
        (State::Refused(Outcome::NotReady), State::Ended(Outcome::NotReady)),
        (State::Ended(Outcome::Denied), State::Ended(Outcome::Denied)),
        (State::Due(required()), State::Due(required())),
    ];
    for (state, next) in rows {
        let mut record = Record::default();
        assert_eq!(state.clone().gave_up(Some("no answer".to_owned()), &mut record), next, "{state:?}");
        assert_eq!(record.reasons.is_empty(), state == next && !state.is_awaiting_description());
    }
    for state in
        [State::Due(required()), State::Verifying(Outcome::Enforced), State::Refused(Outcome::NotReady)]
    {
        assert_eq!(state.outcome(), AGAIN, "{state:?} is not an end state");
    }
}

/// Sends the change. `first` is the answer to the whole change, `answers` those to its options one by one.
fn sent(change: Change, first: Outcome, answers: &[Answer]) -> (State, Record) {
    let mut record = Record { change: Some(change), ..Record::default() };
    let mut state = State::Due(change).answered(rejected(first), &mut record);
    for answer in answers {
        assert!(state.due().is_some(), "no change is due for {answer:?}: {state:?}");
        state = state.answered(answer.clone(), &mut record);
    }
    assert!(state.due().is_none(), "a change is still due: {state:?}");
    (state, record)
}

#[test]
fn options_sent_one_by_one_have_one_outcome() {
    let (tokens, hops) = (OptionName::HttpTokens, OptionName::HttpPutResponseHopLimit);
    let optional_and_2 = change(&[(tokens, "optional"), (hops, "2")]);
    let required_and_2 = change(&[(tokens, "required"), (hops, "2")]);
    let (optional, two) = (change(&[(tokens, "optional")]), change(&[(hops, "2")]));
    let no = |outcome| rejected(outcome);
    let rows = [
        // EC2 refuses one option, or both.
        (
            optional_and_2,
            Outcome::Blocked,
            vec![no(Outcome::Blocked), ACCEPTED],
            Outcome::Enforced,
            true,
            two,
            1,
        ),
        (
            optional_and_2,
            Outcome::Blocked,
            vec![no(Outcome::Blocked), no(Outcome::Blocked)],
            Outcome::Blocked,
            false,
            optional_and_2,
            2,
        ),
        // A guard denies optional tokens: the other option decides. It denies both: the outcome is denied.
        (
            optional_and_2,
            Outcome::Denied,
            vec![no(Outcome::Denied), ACCEPTED],
            Outcome::Enforced,
            true,
            two,
            1,
        ),
        (
            optional_and_2,
            Outcome::Denied,
            vec![no(Outcome::Denied), no(Outcome::Denied)],
            Outcome::Denied,
            false,
            optional_and_2,
            2,
        ),
        // A maximum in an IAM policy denies the hop limit.
        (
            required_and_2,
            Outcome::Denied,
            vec![ACCEPTED, no(Outcome::Denied)],
            Outcome::Denied,
            true,
            required(),
            1,
        ),
        // No guard denies required tokens: no change is permitted, and the hop limit is not sent.
        (
            required_and_2,
            Outcome::Denied,
            vec![no(Outcome::Denied)],
            Outcome::Denied,
            false,
            required_and_2,
            0,
        ),
        // A retry sends the remaining options.
        (
            optional_and_2,
            Outcome::Blocked,
            vec![ACCEPTED, no(Outcome::Throttled)],
            Outcome::Throttled,
            true,
            optional,
            0,
        ),
        (
            optional_and_2,
            Outcome::Blocked,
            vec![Answer::TooLate],
            Outcome::Throttled,
            false,
            optional_and_2,
            0,
        ),
        // A dry run is not verified.
        (
            optional_and_2,
            Outcome::Blocked,
            vec![no(Outcome::WouldEnforce), no(Outcome::Blocked)],
            Outcome::WouldEnforce,
            false,
            optional,
            1,
        ),
    ];
    for (change, first, answers, outcome, is_verified, reported, warnings) in rows {
        let (state, record) = sent(change, first, &answers);
        let end = if is_verified { State::Verifying(outcome) } else { State::Ended(outcome) };
        assert_eq!(state, end, "{answers:?}");
        assert_eq!(record.change, Some(reported), "{answers:?}");
        assert_eq!(record.warnings.len(), warnings, "{answers:?}: {:?}", record.warnings);
    }
}

#[test]
fn a_change_that_enables_imds_is_not_split() {
    let on = change(&[(OptionName::HttpEndpoint, "enabled"), (OptionName::HttpTokens, "required")]);
    let mut record = Record::default();
    let state = State::Due(on).answered(rejected(Outcome::Blocked), &mut record);
    assert_eq!(state, State::Ended(Outcome::Blocked));
}

#[test]
fn a_redelivery_verifies_what_an_earlier_delivery_may_have_changed() {
    let compliant = Verdict::Compliant { reasons: Vec::new() };
    let rows = [
        ("running", "pending", true, State::Verifying(Outcome::Compliant)),
        ("running", "pending", false, State::Ended(Outcome::Compliant)),
        ("running", "applied", true, State::Ended(Outcome::Compliant)),
        ("stopped", "pending", true, State::Ended(Outcome::Compliant)),
    ];
    for (state, options_state, is_redelivered, first) in rows {
        let instance = instance(state, "required", options_state);
        assert_eq!(State::decided(&compliant, &instance, is_redelivered), first, "{state} {options_state}");
    }
    let pending = instance("running", "optional", "pending");
    let exempt = Verdict::Exempt { reasons: Vec::new() };
    assert_eq!(State::decided(&exempt, &pending, true), State::Ended(Outcome::Exempt));
    let due = Verdict::Change { change: required(), reasons: Vec::new() };
    assert_eq!(State::decided(&due, &pending, true), State::Due(required()));
}

#[test]
fn what_is_not_decided_is_retried_whatever_was_delivered() {
    let incomplete = Verdict::Incomplete { missing: vec![Missing::State] };
    for is_redelivered in [false, true] {
        let state = State::decided(&incomplete, &instance("", "optional", "pending"), is_redelivered);
        assert_eq!(state, State::Ended(Outcome::NotReady), "redelivered: {is_redelivered}");
        assert!(state.due().is_none() && state.outcome().is_retryable());
    }
}
