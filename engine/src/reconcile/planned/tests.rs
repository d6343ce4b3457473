use imds_core::decide::{HeldBack, Reason};

use super::*;

type Pairs<'a> = &'a [(&'a str, &'a str)];

const TOKENS: (&str, &str) = ("HttpTokens", "required");
const OPTIONAL: (&str, &str) = ("HttpTokens", "optional");
const ONE_HOP: (&str, &str) = ("HttpPutResponseHopLimit", "1");
const TWO_HOPS: (&str, &str) = ("HttpPutResponseHopLimit", "2");

fn options(pairs: Pairs<'_>) -> MetadataOptions {
    let value = |(name, text): &(&str, &str)| OptionName::from_name(name)?.parse(text);
    pairs.iter().map(|pair| value(pair).expect("an option")).collect()
}

fn due(pairs: Pairs<'_>) -> Verdict {
    Verdict::Change { change: Change::new(options(pairs)).expect("an option"), reasons: Vec::new() }
}

fn changed(what: &str) -> Held {
    Held::Changed(what.to_owned())
}

/// A change of both options to `required` and 1 hop.
fn planned(accepted: Pairs<'_>, may_be_made: bool) -> Planned {
    let change = Change::new(options(&[TOKENS, ONE_HOP])).expect("an option");
    Planned { change, accepted: options(accepted), may_be_made }
}

#[test]
fn only_what_remains_of_the_plan_is_sent() {
    let rows: [(&str, Pairs<'_>, bool, Pairs<'_>, Pairs<'_>, Held); 13] = [
        ("as planned", &[], false, &[OPTIONAL, TWO_HOPS], &[TOKENS, ONE_HOP], Held::Decided),
        (
            "only a part is due",
            &[],
            false,
            &[TOKENS, TWO_HOPS],
            &[ONE_HOP],
            changed("HttpTokens=required is not due"),
        ),
        ("the part that is not due may be made", &[], true, &[TOKENS, TWO_HOPS], &[ONE_HOP], Held::Decided),
        (
            "a part is neither due nor made",
            &[],
            true,
            &[OPTIONAL, TWO_HOPS],
            &[ONE_HOP],
            changed("HttpTokens=required is not due"),
        ),
        ("nothing was made after all", &[], true, &[OPTIONAL, TWO_HOPS], &[TOKENS, ONE_HOP], Held::Decided),
        ("a part was accepted", &[TOKENS], false, &[TOKENS, TWO_HOPS], &[ONE_HOP], Held::Decided),
        (
            "an accepted part was changed again",
            &[TOKENS],
            false,
            &[OPTIONAL, TWO_HOPS],
            &[TOKENS, ONE_HOP],
            changed("HttpTokens=required was set before and is due again"),
        ),
        (
            "an accepted part was changed again and is required no longer",
            &[TOKENS],
            false,
            &[OPTIONAL, TWO_HOPS],
            &[ONE_HOP],
            changed("HttpTokens=required is not due"),
        ),
        (
            "all was accepted and changed again",
            &[TOKENS, ONE_HOP],
            false,
            &[OPTIONAL, ONE_HOP],
            &[TOKENS],
            changed("HttpTokens=required was set before and is due again"),
        ),
        (
            "another value",
            &[],
            false,
            &[OPTIONAL, ONE_HOP],
            &[TOKENS, TWO_HOPS],
            changed("HttpPutResponseHopLimit=2 is due, not 1"),
        ),
        (
            "another value is due after it may be made",
            &[],
            true,
            &[TOKENS, ONE_HOP],
            &[TWO_HOPS],
            changed("HttpPutResponseHopLimit=2 is due, not 1"),
        ),
        (
            "one more option",
            &[],
            false,
            &[OPTIONAL, TWO_HOPS],
            &[TOKENS, ("HttpEndpoint", "disabled"), ONE_HOP],
            changed("HttpEndpoint=disabled is due as well"),
        ),
        (
            "all differs",
            &[],
            false,
            &[OPTIONAL, TWO_HOPS],
            &[("HttpEndpoint", "disabled")],
            changed(
                "HttpTokens=required is not due, HttpEndpoint=disabled is due as well, HttpPutResponseHopLimit=1 is not due",
            ),
        ),
    ];
    for (name, accepted, may_be_made, present, due_options, held) in rows {
        let planned = planned(accepted, may_be_made);
        assert_eq!(planned.hold(&due(due_options), Mode::Enforce, &options(present)), held, "{name}");
    }
    let dry_run =
        planned(&[], false).hold(&due(&[TOKENS, ONE_HOP]), Mode::DryRun, &MetadataOptions::default());
    assert_eq!(dry_run, changed("the policy now asks for dry runs only"));
}

#[test]
fn an_instance_that_is_as_planned_was_changed_by_the_plan_only_if_an_attempt_was_made() {
    let why = HeldBack::UsageRefused { why: "no".to_owned() };
    let compliant = || Verdict::Compliant { reasons: Vec::new() };
    let in_use = || Verdict::InUse { reasons: vec![Reason::HeldBack(why.clone())] };
    let blocked = || Verdict::Blocked { reasons: Vec::new() };
    let exempt = || Verdict::Exempt { reasons: Vec::new() };
    let out_of_scope = || Verdict::OutOfScope { reasons: Vec::new() };
    let incomplete = || Verdict::Incomplete { missing: Vec::new() };
    let not_due = || changed("HttpTokens=required, HttpPutResponseHopLimit=1 is not due");
    let (made, other): (Pairs<'_>, Pairs<'_>) = (&[TOKENS, ONE_HOP], &[TOKENS, TWO_HOPS]);
    let rows = [
        ("compliant", compliant(), Held::Decided, Held::Made, Held::Decided),
        ("in use", in_use(), not_due(), Held::Made, not_due()),
        ("blocked", blocked(), not_due(), Held::Made, not_due()),
        ("exempt", exempt(), not_due(), Held::Made, not_due()),
        (
            "out of scope",
            out_of_scope(),
            changed("the instance must not be changed"),
            changed("the instance must not be changed"),
            changed("the instance must not be changed"),
        ),
        ("incomplete", incomplete(), Held::Decided, Held::Decided, Held::Decided),
    ];
    for (name, verdict, without, begun, differs) in rows {
        let hold = |planned: Planned, present| planned.hold(&verdict, Mode::Enforce, &options(present));
        assert_eq!(hold(planned(&[], false), made), without, "{name}: nobody tried");
        assert_eq!(hold(planned(&[], true), made), begun, "{name}: it may be made");
        assert_eq!(hold(planned(&[TOKENS], false), made), begun, "{name}: a part was accepted");
        assert_eq!(hold(planned(&[TOKENS, ONE_HOP], true), other), differs, "{name}: not as planned");
    }
}

#[test]
fn an_attempt_may_be_made_until_its_result_says_otherwise() {
    let change = Change::new(options(&[TOKENS])).expect("an option");
    let rows = [
        ("accepted", true, false, vec![TOKENS], false),
        ("no answer", false, true, vec![], true),
        ("refused", false, false, vec![], false),
    ];
    for (name, is_accepted, may_be_made, accepted, expected) in rows {
        let mut wanted = Wanted::Planned(planned(&[], false));
        assert!(!wanted.take_attempt(), "{name}: none before");
        assert_eq!(wanted, Wanted::Planned(planned(&[], true)), "{name}: it is under way");
        wanted.take_result(&change, is_accepted, may_be_made);
        assert_eq!(wanted, Wanted::Planned(planned(&accepted, expected)), "{name}");
    }
}
