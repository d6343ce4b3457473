//! What `imdsctl policy check` says of usage gates, modes, limits and what belongs to them.

use super::warnings::warnings;
use super::*;

#[test]
fn gates_and_modes_that_are_probably_not_meant_have_a_warning() {
    let tokens = r#""baseline": {"HttpTokens": "required"}"#;
    let limits = r#""limits": {"changesPerSweep": 200}"#;
    let policy = |rest: &str| format!("{{{tokens}, {rest}}}");
    let gate = |gate: &str| policy(&format!(r#""usageGate": {gate}, {limits}"#));
    // The rules under a gate with all defaults.
    let gated = |rules: &str| policy(&format!(r#""usageGate": {{}}, {limits}, "rules": [{rules}]"#));
    let rule =
        |name: u8, when: &str, effect: &str| format!(r#"{{"name": "{name}", "when": {{{when}}}, {effect}}}"#);
    let (app, aws) = (r#""tags": {"App": "x"}"#, r#""tags": {"aws:autoscaling:groupName": "x"}"#);
    let account = r#""accounts": "111122223333""#;
    let (open, false_gate) = (r#""usageGate": {"onUnknown": "enforce"}"#, r#""usageGate": false"#);
    let (enforce, dry_run) = (r#""mode": "enforce""#, r#""mode": "dry-run""#);
    let ending = |day: &str| format!(r#""mode": "dry-run", "until": "{day}""#);
    let no_gate = "usageGate: there is no usage gate, so HttpTokens=required also reaches instances that still use \
                   IMDSv1, and breaks what uses it";
    let same = |number: u8| {
        format!("rules[{number}]: never has an effect, because the same applies without the rule")
    };
    let by_app = |number: u8| {
        format!(
            "rules[{number}].usageGate: holds back less than without the rule, and anyone who may set the tag \"App\" \
             can cause an outage by it"
        )
    };
    let many = "is more than 5 calls a day";
    let rows: Vec<(String, Vec<String>)> = vec![
        // No gate.
        (policy(r#""mode": "enforce""#), vec![no_gate.to_owned()]),
        (policy(&format!(r#""rules": [{}]"#, rule(0, account, r#""usageGate": {}"#))), vec![no_gate.to_owned()]),
        (policy(&format!(r#""rules": [{}]"#, rule(0, "", r#""usageGate": {}"#))), vec![]),
        (
            r#"{"rules": [{"name": "a", "require": {"HttpTokens": "required"}}]}"#.to_owned(),
            vec![no_gate.to_owned()],
        ),
        (r#"{"baseline": {"HttpEndpoint": "disabled"}}"#.to_owned(), vec![]),
        (
            r#"{"baseline": {"HttpEndpoint": "disabled"}, "usageGate": {}, "instanceTags": {"authority": "none"}}"#
                .to_owned(),
            vec!["usageGate: never holds anything back".to_owned()],
        ),
        // A tag can require tokens.
        (r#"{"baseline": {"HttpEndpoint": "disabled"}, "usageGate": {}}"#.to_owned(), vec![]),
        // The end of a gate.
        (gate(r#"{"until": "2026-03-17"}"#), vec![]),
        (
            gate(r#"{"until": "2026-03-16"}"#),
            vec!["usageGate.until: the usage gate ended on 2026-03-16, and holds nothing back".to_owned()],
        ),
        (gate(r#"{"until": "2027-03-18"}"#), vec![]),
        (gate(r#"{"until": "2027-03-19"}"#), vec!["usageGate.until: is more than a year ahead".to_owned()]),
        (
            gated(&rule(0, account, r#""usageGate": {"until": "2026-03-16"}"#)),
            vec!["rules[0].usageGate.until: the usage gate ended on 2026-03-16, and holds nothing back".to_owned()],
        ),
        // Calls that are tolerated.
        (gate(r#"{"toleratedCalls": 70}"#), vec![]),
        (gate(r#"{"toleratedCalls": 71}"#), vec![format!("usageGate.toleratedCalls: {many}")]),
        (
            gated(&rule(0, account, r#""usageGate": {"lookbackDays": 1, "toleratedCalls": 6}"#)),
            vec![format!("rules[0].usageGate.toleratedCalls: {many}")],
        ),
        // Gates that a tag can open.
        (gated(&rule(0, app, false_gate)), vec![by_app(0)]),
        (gated(&rule(0, &format!("{app}, {account}"), false_gate)), vec![by_app(0)]),
        (gated(&rule(0, app, open)), vec![by_app(0)]),
        (gated(&rule(0, app, r#""usageGate": {"toleratedCalls": 1}"#)), vec![by_app(0)]),
        (gated(&rule(0, app, r#""usageGate": {"launches": "enforce"}"#)), vec![by_app(0)]),
        (gated(&rule(0, app, r#""usageGate": {"lookbackDays": 13}"#)), vec![by_app(0)]),
        (gated(&rule(0, app, r#""usageGate": {"minDays": 6}"#)), vec![by_app(0)]),
        (gated(&rule(0, app, r#""usageGate": {"until": "2026-12-31"}"#)), vec![by_app(0)]),
        (gated(&rule(0, app, r#""usageGate": {"lookbackDays": 30, "minDays": 9}"#)), vec![]),
        (gated(&rule(0, aws, false_gate)), vec![]),
        (gated(&rule(0, account, open)), vec![]),
        // The gate that the tag opens is that of an earlier rule.
        (
            policy(&format!(
                r#""rules": [{}, {}]"#,
                rule(0, account, r#""usageGate": {}"#),
                rule(1, app, false_gate)
            )),
            vec![no_gate.to_owned(), by_app(1)],
        ),
        // Gates and modes that change nothing.
        (gated(&rule(0, account, r#""usageGate": {}"#)), vec![same(0)]),
        (
            policy(&format!(r#""rules": [{}]"#, rule(0, account, false_gate))),
            vec![no_gate.to_owned(), same(0)],
        ),
        (gated(&rule(0, account, enforce)), vec![same(0)]),
        (gated(&rule(0, account, dry_run)), vec![]),
        (policy(&format!(r#""usageGate": {{}}, "mode": "dry-run", "rules": [{}]"#, rule(0, account, dry_run))), vec![same(0)]),
        (policy(&format!(r#""usageGate": {{}}, "mode": "dry-run", "rules": [{}]"#, rule(0, account, enforce))), vec![]),
        // Overridden by a later rule, or a default by any.
        (
            gated(&[rule(0, account, dry_run), rule(1, "", enforce)].join(", ")),
            vec!["rules[0]: never has an effect, because rules[1] overrides it".to_owned()],
        ),
        (
            gated(&[rule(0, account, false_gate), rule(1, account, open)].join(", ")),
            vec!["rules[0]: never has an effect, because rules[1] overrides it".to_owned()],
        ),
        (gated(&[rule(0, account, dry_run), rule(1, account, false_gate)].join(", ")), vec![]),
        (
            policy(&format!(
                r#""usageGate": {{}}, "mode": "dry-run", "rules": [{}, {}]"#,
                rule(0, account, enforce),
                rule(1, "", &ending("2026-04-01"))
            )),
            vec![],
        ),
        (
            policy(&format!(r#""usageGate": {{}}, "mode": "dry-run", "rules": [{}]"#, rule(0, "", enforce))),
            vec!["mode: never has an effect, because rules[0] overrides it".to_owned()],
        ),
        (
            gated(&rule(0, "", open)),
            vec!["usageGate: never has an effect, because rules[0] overrides it".to_owned()],
        ),
        // Dry runs that have ended, end far ahead, or apply by tags that anyone can set.
        (
            gated(&rule(0, account, &ending("2026-03-16"))),
            vec!["rules[0].until: the dry run ended on 2026-03-16".to_owned()],
        ),
        (
            gated(&rule(0, account, &ending("2028-03-18"))),
            vec!["rules[0].until: is more than two years ahead".to_owned()],
        ),
        (
            gated(&rule(0, app, &ending("2026-04-01"))),
            vec![r#"rules[0].when.tags: anyone who may set the tag "App" exempts the instance"#.to_owned()],
        ),
        (
            policy(&format!(r#""usageGate": {{}}, "mode": "dry-run", "rules": [{}]"#, rule(0, app, enforce))),
            vec![r#"rules[0].when.tags: anyone who may set the tag "App" has the instance changed"#.to_owned()],
        ),
        (gated(&rule(0, aws, dry_run)), vec![]),
        // Exemptions of everything, and of what the new conditions name.
        (
            gated(&rule(0, r#""instanceIds": "i-*""#, r#""exempt": {"until": "2026-04-01"}"#)),
            vec!["rules[0].when.tags: the rule exempts every instance".to_owned()],
        ),
        (gated(&rule(0, r#""instanceIds": "i-0a*""#, r#""exempt": {"until": "2026-04-01"}"#)), vec![]),
        (gated(&rule(0, r#""images": "ami-0123456789abcdef0""#, r#""exempt": {"until": "2026-04-01"}"#)), vec![]),
        (gated(&rule(0, r#""launchedBefore": "2025-01-01""#, r#""exempt": {"until": "2026-04-01"}"#)), vec![]),
    ];
    for (document, expected) in rows {
        assert_eq!(warnings(&document), expected, "{document}");
    }
}

#[test]
fn of_two_that_are_equal_only_the_later_is_to_be_removed() {
    let (gate, other) = (r#""usageGate": {}"#, r#""usageGate": {"minDays": 8}"#);
    let (enforce, dry_run) = (r#""mode": "enforce""#, r#""mode": "dry-run""#);
    let same = |number: u8| {
        format!("rules[{number}]: never has an effect, because the same applies without the rule")
    };
    let overrides = |place: &str, number: u8| {
        format!("{place}: never has an effect, because rules[{number}] overrides it")
    };
    let rows: [(&str, &[&str], Vec<String>); 8] = [
        (gate, &[gate], vec![same(0)]),
        (gate, &[gate, gate], vec![same(0), same(1)]),
        (gate, &[gate, other], vec![overrides("usageGate", 1), same(0), overrides("rules[0]", 1)]),
        (gate, &[other], vec![overrides("usageGate", 0)]),
        (gate, &[other, other], vec![overrides("usageGate", 0), same(1)]),
        (dry_run, &[dry_run], vec![same(0)]),
        (dry_run, &[enforce, enforce], vec![overrides("mode", 0), same(1)]),
        (enforce, &[enforce], vec![same(0)]),
    ];
    for (default, effects, expected) in rows {
        let rules: Vec<String> = effects
            .iter()
            .enumerate()
            .map(|(name, effect)| format!(r#"{{"name": "{name}", {effect}}}"#))
            .collect();
        let gate = if default == gate { String::new() } else { format!("{gate}, ") };
        let document = format!(
            r#"{{{gate}{default}, "baseline": {{"HttpTokens": "required"}}, "rules": [{}]}}"#,
            rules.join(", ")
        );
        assert_eq!(warnings(&document), expected, "{document}");
    }
}

#[test]
fn a_day_that_is_still_to_come_is_no_condition() {
    let exempt = r#""exempt": {"until": "2026-04-01"}"#;
    let (none, other) = (r#""usageGate": false"#, r#""usageGate": {"minDays": 8}"#);
    let exempts = "rules[0].when.tags: the rule exempts every instance";
    let opens = "rules[0].usageGate: the rule opens the usage gate for every instance";
    let rows = [
        (r#""launchedBefore": "2026-03-17""#, exempt, None),
        (r#""launchedBefore": "2026-03-18""#, exempt, Some(exempts)),
        (r#""launchedBefore": "9999-12-31", "accounts": "*""#, exempt, Some(exempts)),
        (r#""launchedBefore": "9999-12-31", "accounts": "111122223333""#, exempt, None),
        (r#""launchedBefore": "2026-03-17""#, none, None),
        (r#""launchedBefore": "2026-03-18""#, none, Some(opens)),
        (r#""launchedBefore": "9999-12-31", "regions": "eu-*""#, none, None),
        (r#""launchedBefore": "9999-12-31", "tags": {"aws:autoscaling:groupName": "x"}"#, none, None),
        (r#""regions": "*""#, none, Some(opens)),
        (r#""launchedBefore": "9999-12-31""#, other, None),
        ("", none, Some("usageGate: never has an effect, because rules[0] overrides it")),
    ];
    for (when, effect, expected) in rows {
        let document = format!(
            r#"{{"baseline": {{"HttpTokens": "required"}}, "usageGate": {{}},
                "rules": [{{"name": "a", "when": {{{when}}}, {effect}}}]}}"#
        );
        assert_eq!(warnings(&document), expected.as_slice(), "{document}");
    }
}

#[test]
fn a_staged_policy_has_a_summary() {
    let policy = Policy::parse(
        r#"{
          "mode": "dry-run",
          "baseline": {"HttpTokens": "required"},
          "usageGate": {"until": "2026-12-31"},
          "rules": [
            {"name": "here", "when": {"regions": "eu-*"}, "mode": "enforce"},
            {"name": "not yet", "when": {"accounts": "111122223333"}, "mode": "dry-run", "until": "2026-12-31"},
            {"name": "old", "when": {"instanceIds": "i-0a*"}, "mode": "dry-run", "until": "2026-03-16"},
            {"name": "stacks", "when": {"tags": {"aws:cloudformation:stack-name": "x"}}, "mode": "dry-run"},
            {"name": "images", "when": {"images": ["ami-0b*"], "launchedBefore": "2025-01-01"}, "usageGate": false},
            {"name": "new", "usageGate": {"lookbackDays": 1, "toleratedCalls": 1, "launches": "enforce",
              "onUnknown": "enforce"}},
            {"name": "over", "usageGate": {"until": "2026-03-16", "toleratedCalls": 3}}
          ],
          "instanceTags": {"authority": "loosen", "options": ["HttpPutResponseHopLimit", "HttpEndpoint"]},
          "limits": {"changesPerSweep": 200, "failuresPerSweep": 1}
        }"#,
    );
    let expected = [
        "Every instance must have HttpTokens=required.",
        "By default, nothing is changed: EC2 is asked whether it would make each change (dry run).",
        "Usage gate: HttpTokens=required is held back through 2026-12-31 (UTC) from an instance that made a call without \
         a token in 14 days, or has data on fewer than 7 days. A new instance is held back while an older instance of \
         its Auto Scaling group or launch template is.",
        "The usage gate concerns only the change of HttpTokens from optional to required while the endpoint stays \
         enabled. It holds back no change of HttpEndpoint, HttpPutResponseHopLimit, HttpProtocolIpv6 or \
         InstanceMetadataTags.",
        r#"Rule "here": an instance in Region "eu-*" is changed."#,
        "Rule \"not yet\": an instance in account \"111122223333\" is not changed, only dry runs are sent, through \
         2026-12-31 (UTC).",
        "Rule \"old\": an instance with the id \"i-0a*\" got only dry runs through 2026-03-16 (UTC); this dry run has \
         ended.",
        "Rule \"stacks\": an instance whose tag \"aws:cloudformation:stack-name\" is \"x\" is not changed, only dry runs \
         are sent.",
        "Rule \"images\": an instance launched from image \"ami-0b*\" and that first ran before 2025-01-01 (UTC) has no \
         usage gate: HttpTokens=required reaches it even if it still uses IMDSv1.",
        "Rule \"new\": every instance has its own usage gate: HttpTokens=required is held back from an instance that \
         made more than 1 call without a token in 1 day. An instance with too little data is enforced. A new instance \
         is enforced.",
        "Rule \"over\": every instance has its own usage gate: HttpTokens=required was held back through 2026-03-16 \
         (UTC); this gate has ended and holds nothing back.",
        "A tag such as imds:HttpEndpoint=disabled overrides these requirements and can also loosen them.",
        "Tags can set only HttpEndpoint and HttpPutResponseHopLimit.",
        "No tag can exempt its instance.",
        "A sweep of an account and Region changes at most 200 instances and sends no more changes after 1 change that \
         fails or is denied; the next sweep goes on. Events are not limited.",
    ];
    assert_eq!(policy.unwrap().summary(NOW), expected);
    let rest = Policy::parse(
        r#"{"rules": [{"name": "a", "usageGate": {}}], "instanceTags": {"options": []},
            "limits": {"failuresPerSweep": 20}}"#,
    );
    let rest = rest.unwrap().summary(NOW);
    assert_eq!(
        rest[1],
        "No usage gate beyond the rules: HttpTokens=required also reaches instances that still use IMDSv1, and breaks \
         what uses it."
    );
    assert_eq!(rest[4], "No tag can set an option of its instance.");
    assert!(
        rest[6].starts_with(
            "A sweep of an account and Region changes at most 10000 instances and sends no more changes after 20 changes \
             that fail or are denied;"
        ),
        "{rest:?}"
    );
    let aged = Policy::parse(r#"{"instanceTags": {"exemptions": {"maxDays": 90, "maxAgeDays": 365}}}"#);
    let expected = "A tag such as imds:ExemptUntil=2027-01-31 exempts its instance through that day (UTC), at most 90 \
                    days ahead and at most 365 days after the instance first ran.";
    assert_eq!(aged.unwrap().summary(NOW).last().unwrap(), expected);
}
