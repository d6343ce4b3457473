//! Documents with usage gates, modes, limits and what belongs to them.

use super::*;
use crate::metadata::OptionName;
use crate::mode::Mode;
use time::macros::date;

fn parsed(document: &str) -> Policy {
    Policy::parse(document).unwrap_or_else(|errors| panic!("{document}: {errors}"))
}

#[test]
fn a_gate_has_the_documented_defaults() {
    let follow = UsageGate {
        lookback_days: 14,
        min_days: 7,
        tolerated_calls: 0,
        launches: Launches::Follow,
        on_unknown: OnUnknown::Hold,
        until: None,
    };
    let all = UsageGate {
        lookback_days: 90,
        min_days: 30,
        tolerated_calls: 1_000_000,
        launches: Launches::Enforce,
        on_unknown: OnUnknown::Enforce,
        until: Some(date!(2027 - 06 - 30)),
    };
    let rows = [
        ("{}", follow),
        (r#"{"lookbackDays": 5}"#, UsageGate { lookback_days: 5, min_days: 5, ..follow }),
        (r#"{"lookbackDays": 30}"#, UsageGate { lookback_days: 30, ..follow }),
        (r#"{"lookbackDays": 1, "minDays": 1}"#, UsageGate { lookback_days: 1, min_days: 1, ..follow }),
        (r#"{"minDays": 14}"#, UsageGate { min_days: 14, ..follow }),
        (
            r#"{"lookbackDays": 90, "minDays": 30, "toleratedCalls": 1000000, "launches": "enforce",
                "onUnknown": "enforce", "until": "2027-06-30"}"#,
            all,
        ),
    ];
    for (gate, expected) in rows {
        let limits = r#""limits": {"changesPerSweep": 200}"#;
        let whole = parsed(&format!(r#"{{"usageGate": {gate}, {limits}}}"#));
        assert_eq!(whole.usage_gate, Some(expected), "{gate}");
        let rule = parsed(&format!(r#"{{"rules": [{{"name": "a", "usageGate": {gate}}}], {limits}}}"#));
        assert_eq!(rule.rules[0].effect, Effect::UsageGate(Some(expected)), "{gate} in a rule");
    }
    assert_eq!(parsed("{}").usage_gate, None);
    let open = parsed(r#"{"rules": [{"name": "a", "usageGate": false}]}"#);
    assert_eq!(open.rules[0].effect, Effect::UsageGate(None));
}

#[test]
fn modes_limits_conditions_and_options_of_tags_are_read() {
    let policy = parsed(
        r#"{"mode": "dry-run", "limits": {"changesPerSweep": 200, "failuresPerSweep": 20},
            "rules": [
              {"name": "a", "when": {"accounts": "111122223333"}, "mode": "enforce"},
              {"name": "b", "when": {"tags": {"App": "x"}}, "mode": "dry-run", "until": "2027-01-31"},
              {"name": "c", "when": {"tags": {"aws:autoscaling:groupName": "x"}}, "mode": "dry-run"}],
            "instanceTags": {"authority": "loosen", "options": ["HttpEndpoint", "HttpTokens"]}}"#,
    );
    let effects: Vec<Effect> = policy.rules.into_iter().map(|rule| rule.effect).collect();
    let expected = [
        Effect::Mode { mode: Mode::Enforce, until: None },
        Effect::Mode { mode: Mode::DryRun, until: Some(date!(2027 - 01 - 31)) },
        Effect::Mode { mode: Mode::DryRun, until: None },
    ];
    assert_eq!((policy.mode, effects.as_slice()), (Mode::DryRun, &expected[..]));
    let limits = Limits { changes_per_sweep: Some(200), failures_per_sweep: Some(20) };
    assert_eq!(policy.limits, limits);
    assert_eq!(parsed(r#"{"mode": "enforce"}"#).limits, Limits::default());
    let most = parsed(&format!(r#"{{"limits": {{"failuresPerSweep": {}}}}}"#, Limits::MOST_CHANGES)).limits;
    assert_eq!((most.failures_per_sweep, most.most_changes()), (Some(10_000), Some(10_000)));
    assert!(policy.tags.options.iter().eq(&[OptionName::HttpTokens, OptionName::HttpEndpoint]));
    assert!(parsed(r#"{"instanceTags": {"options": []}}"#).tags.options.is_empty());
    let loosen = parsed(r#"{"instanceTags": {"authority": "loosen"}}"#);
    assert!(!loosen.tags.options.contains(&OptionName::HttpEndpoint));
}

#[test]
fn each_new_condition_suffices_for_an_exemption() {
    for when in [
        r#""instanceIds": "i-0123456789abcdef0""#,
        r#""instanceIds": ["i-01234567", "i-0a*"]"#,
        r#""images": "ami-0123456789abcdef0""#,
        r#""launchedBefore": "2026-01-01""#,
    ] {
        let rule = format!(r#"{{"name": "a", "when": {{{when}}}, "exempt": {{"until": "2027-01-01"}}}}"#);
        parsed(&format!(r#"{{"rules": [{rule}]}}"#));
    }
}

#[test]
fn an_error_in_a_staged_policy_names_its_place_and_how_to_fix_it() {
    let gate = |gate: &str| format!(r#"{{"usageGate": {gate}}}"#);
    let rule = |rule: &str| format!(r#"{{"rules": [{{"name": "a", {rule}}}]}}"#);
    let tags = |tags: &str| format!(r#"{{"instanceTags": {{{tags}}}}}"#);
    let unlimited = "needs limits.changesPerSweep, or the first sweep after that day changes every instance that was \
                     held back: add \"limits\": {\"changesPerSweep\": 200} to the policy";
    let open_ended = "rules[0].until: is missing: whoever sets the tag \"App\" exempts the instance by it; add the last \
                      day of the dry run";
    let reads_none = "instanceTags.options: cannot be used with \"authority\": \"none\", which reads no tags";
    let only_dry_run = "rules[0].until: can only be used with \"mode\": \"dry-run\"";
    let not_inside = format!("{only_dry_run}; the until of an exemption or of a usage gate is inside of it");
    let needs_loosen = "instanceTags.options[1]: HttpEndpoint needs \"authority\": \"loosen\", as switching IMDS off is \
                        an outage: use a rule";
    let a_tag = r#""when": {"tags": {"App": "x", "aws:cloudformation:stack-name": "x"}}"#;
    let rows = [
        (gate("true"), "usageGate: must be an object, not true".to_owned()),
        (gate("false"), "usageGate: must be an object, not false".to_owned()),
        (
            gate(r#"{"days": 1}"#),
            "usageGate.days: unknown key; allowed keys: lookbackDays, minDays, toleratedCalls, launches, onUnknown, \
             until"
                .to_owned(),
        ),
        (
            gate(r#"{"lookbackDays": 0}"#),
            "usageGate.lookbackDays: must be a whole number from 1 to 90, not 0".to_owned(),
        ),
        (
            gate(r#"{"lookbackDays": 91}"#),
            "usageGate.lookbackDays: must be a whole number from 1 to 90, not 91".to_owned(),
        ),
        (
            gate(r#"{"minDays": 0}"#),
            "usageGate.minDays: must be a whole number from 1 to 90, not 0".to_owned(),
        ),
        (gate(r#"{"minDays": 15}"#), "usageGate.minDays: must be at most lookbackDays, which is 14".to_owned()),
        (
            gate(r#"{"lookbackDays": 3, "minDays": 4}"#),
            "usageGate.minDays: must be at most lookbackDays, which is 3".to_owned(),
        ),
        (
            gate(r#"{"toleratedCalls": -1}"#),
            "usageGate.toleratedCalls: must be a whole number from 0 to 1000000, not -1".to_owned(),
        ),
        (
            gate(r#"{"toleratedCalls": 1000001}"#),
            "usageGate.toleratedCalls: must be a whole number from 0 to 1000000, not 1000001".to_owned(),
        ),
        (
            gate(r#"{"launches": "hold"}"#),
            r#"usageGate.launches: must be follow or enforce, not "hold""#.to_owned(),
        ),
        (
            gate(r#"{"onUnknown": "open"}"#),
            r#"usageGate.onUnknown: must be hold or enforce, not "open""#.to_owned(),
        ),
        (gate(r#"{"until": "2027-06-30"}"#), format!("usageGate.until: {unlimited}")),
        (
            r#"{"usageGate": {"until": "2027-06-30"}, "limits": {"failuresPerSweep": 20}}"#.to_owned(),
            format!("usageGate.until: {unlimited}"),
        ),
        (
            rule(r#""usageGate": {"until": "2027-06-30"}"#),
            format!("rules[0].usageGate.until: {unlimited}"),
        ),
        (
            rule(r#""usageGate": true"#),
            "rules[0].usageGate: must be an object or false, not true: {} is a gate with all defaults, false is none"
                .to_owned(),
        ),
        (rule(r#""usageGate": "off""#), r#"rules[0].usageGate: must be an object or false, not "off""#.to_owned()),
        (
            rule(r#""usageGate": {"onUnknown": "open"}"#),
            r#"rules[0].usageGate.onUnknown: must be hold or enforce, not "open""#.to_owned(),
        ),
        (r#"{"mode": "dryrun"}"#.to_owned(), r#"mode: must be enforce or dry-run, not "dryrun""#.to_owned()),
        (rule(r#""mode": "off""#), r#"rules[0].mode: must be enforce or dry-run, not "off""#.to_owned()),
        (
            rule(r#""mode": "enforce", "usageGate": {}"#),
            "rules[0]: must have only one of require, exempt, mode and usageGate: split the rule".to_owned(),
        ),
        (rule(r#""mode": "enforce", "until": "2027-01-31""#), format!("{only_dry_run}: remove it")),
        (rule(r#""usageGate": false, "until": "2027-01-31""#), not_inside.clone()),
        (rule(r#""require": {"HttpTokens": "required"}, "until": "2027-01-31""#), not_inside),
        (rule(r#""when": {"tags": {"App": "x"}}, "mode": "dry-run""#), open_ended.to_owned()),
        (rule(&format!(r#"{a_tag}, "mode": "dry-run""#)), open_ended.to_owned()),
        (
            rule(r#""mode": "dry-run", "until": "soon""#),
            r#"rules[0].until: must be a date such as 2027-03-31, not "soon""#.to_owned(),
        ),
        (r#"{"limits": {}}"#.to_owned(), "limits: must have changesPerSweep, failuresPerSweep or both".to_owned()),
        (
            r#"{"limits": {"changesPerSweep": 0}}"#.to_owned(),
            "limits.changesPerSweep: must be a whole number from 1 to 10000, not 0".to_owned(),
        ),
        (
            format!(
                r#"{{"usageGate": {{"until": "2027-06-30"}}, "limits": {{"changesPerSweep": {}}}}}"#,
                Limits::MOST_CHANGES + 1
            ),
            "limits.changesPerSweep: must be a whole number from 1 to 10000, not 10001".to_owned(),
        ),
        (
            r#"{"usageGate": {"until": "2027-06-30"}, "limits": 200}"#.to_owned(),
            "limits: must be an object, not 200".to_owned(),
        ),
        (
            rule(r#""when": {"instanceIds": "i-1"}, "mode": "enforce""#),
            "rules[0].when.instanceIds: \"i-1\" can match no instance id: use i- and 8 or 17 hexadecimal digits, with * \
             and ? as wildcards"
                .to_owned(),
        ),
        (
            rule(r#""when": {"images": ["ami-*", "web"]}, "mode": "enforce""#),
            "rules[0].when.images[1]: \"web\" can match no image id: use ami- and 8 or 17 hexadecimal digits, with * and \
             ? as wildcards"
                .to_owned(),
        ),
        (
            rule(r#""when": {"images": []}, "mode": "enforce""#),
            "rules[0].when.images: an empty list matches nothing: add a pattern or remove the key".to_owned(),
        ),
        (
            rule(r#""when": {"launchedBefore": "2026"}, "mode": "enforce""#),
            r#"rules[0].when.launchedBefore: must be a date such as 2027-03-31, not "2026""#.to_owned(),
        ),
        (tags(r#""authority": "none", "options": []"#), reads_none.to_owned()),
        (tags(r#""authority": "none", "options": ["HttpEndpoint"]"#), reads_none.to_owned()),
        (tags(r#""options": ["HttpTokens", "HttpEndpoint"]"#), needs_loosen.to_owned()),
        (tags(r#""authority": "tighten", "options": ["HttpTokens", "HttpEndpoint"]"#), needs_loosen.to_owned()),
        (
            tags(r#""authority": "loosening", "options": ["HttpEndpoint"]"#),
            r#"instanceTags.authority: must be none, tighten or loosen, not "loosening""#.to_owned(),
        ),
        (
            tags(r#""options": ["HttpTokens", "HttpTokens"]"#),
            "instanceTags.options[1]: HttpTokens is already listed: remove one of them".to_owned(),
        ),
        (
            tags(r#""options": ["httpTokens"]"#),
            r#"instanceTags.options[0]: must be the name of an option, such as HttpTokens, not "httpTokens""#.to_owned(),
        ),
        (
            tags(r#""options": "HttpTokens""#),
            r#"instanceTags.options: must be a list of options, not "HttpTokens""#.to_owned(),
        ),
    ];
    for (document, expected) in rows {
        assert_eq!(errors(&document), [expected], "{document}");
    }
}
