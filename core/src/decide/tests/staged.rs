//! Modes, and the conditions that come with them.

use super::*;
use crate::mode::Mode;
use time::Duration;

/// An instance that first ran a year ago.
fn aged() -> Instance {
    Instance { first_ran: Some(NOW - Duration::days(365)), ..instance(&[]) }
}

#[test]
fn the_mode_is_that_of_the_last_match_and_is_gated_too() {
    let rule = |name: &str, when: &str, effect: &str| {
        format!(r#"{{"name": "{name}", "when": {{{when}}}, {effect}}}"#)
    };
    let (here, there) = (r#""regions": "us-*""#, r#""accounts": "999999999999""#);
    let (enforce, dry_run) = (r#""mode": "enforce""#, r#""mode": "dry-run""#);
    let ended = r#""mode": "dry-run", "until": "2026-03-16""#;
    let last_day = r#""mode": "dry-run", "until": "2026-03-17""#;
    let rows = [
        ("enforce", vec![], Mode::Enforce, 0),
        ("dry-run", vec![], Mode::DryRun, 0),
        ("dry-run", vec![rule("a", here, enforce)], Mode::Enforce, 0),
        ("dry-run", vec![rule("a", there, enforce)], Mode::DryRun, 0),
        ("enforce", vec![rule("a", here, dry_run), rule("b", "", enforce)], Mode::Enforce, 0),
        ("enforce", vec![rule("a", "", enforce), rule("b", here, dry_run)], Mode::DryRun, 0),
        ("enforce", vec![rule("a", here, last_day)], Mode::DryRun, 0),
        ("enforce", vec![rule("a", here, ended)], Mode::Enforce, 1),
        ("enforce", vec![rule("a", there, ended)], Mode::Enforce, 0),
    ];
    for (mode, rules, expected, warnings) in rows {
        let policy = format!(
            r#"{{"mode": "{mode}", "baseline": {{"HttpTokens": "required"}}, "usageGate": {{}}, "rules": [{}]}}"#,
            rules.join(", ")
        );
        let decision = decide_with(&policy, &aged(), None);
        assert_eq!((decision.mode, decision.warnings.len()), (expected, warnings), "{policy}");
        assert_eq!(summary(&decision).0, "needs Usage { since: 2026-03-03 }", "{policy}");
    }
    let policy = format!(r#"{{"rules": [{}]}}"#, rule("old", here, ended));
    let expected = r#"the dry run in rule "old" expired after 2026-03-16"#;
    assert_eq!(summary(&decide_with(&policy, &aged(), None)).1, [expected]);
}

#[test]
fn the_new_conditions_match_what_ec2_reports() {
    let rule = |when: &str, effect: &str| {
        format!(
            r#"{{"baseline": {{"HttpTokens": "required"}}, "rules": [{{"name": "a", "when": {{{when}}}, {effect}}}]}}"#
        )
    };
    let off = r#""require": {"HttpEndpoint": "disabled"}"#;
    let (matched, other) = ("HttpEndpoint=disabled", "HttpTokens=required");
    let (image, age) = ("incomplete: ImageId", "incomplete: NetworkInterfaces[].Attachment.AttachTime");
    let ran = Some(datetime!(2026-01-01 00:30 +1));
    let web = Some("ami-0123456789abcdef0");
    let rows = [
        (r#""instanceIds": "i-0123456789abcdef0""#, None, None, matched),
        (r#""instanceIds": ["i-1*", "i-0*"]"#, None, None, matched),
        (r#""instanceIds": "i-1*""#, None, None, other),
        (r#""images": ["ami-1*", "ami-0*"]"#, web, None, matched),
        (r#""images": "ami-1*""#, web, None, other),
        (r#""images": "ami-1*""#, None, None, image),
        // In UTC, it first ran on 2025-12-31.
        (r#""launchedBefore": "2026-01-01""#, None, ran, matched),
        (r#""launchedBefore": "2025-12-31""#, None, ran, other),
        (r#""launchedBefore": "2026-01-01""#, None, None, age),
        // What is known suffices.
        (r#""launchedBefore": "2026-01-01", "regions": "eu-*""#, None, None, other),
        (r#""launchedBefore": "2026-01-01", "images": "ami-1*""#, web, None, other),
    ];
    for (when, image, first_ran, expected) in rows {
        let instance = Instance { image: image.map(str::to_owned), first_ran, ..instance(&[]) };
        let decision = decide_with(&rule(when, off), &instance, None);
        assert_eq!(summary(&decision).0, expected, "{when}: {image:?}, {first_ran:?}");
    }
    // Missing facts do not matter for an effect that has ended, or for an instance that is exempt.
    let over = rule(r#""images": "ami-1*""#, r#""exempt": {"until": "2026-03-16"}"#);
    assert_eq!(summary(&decide_with(&over, &instance(&[]), None)).0, other);
    let exempt = r#"{"rules": [{"name": "a", "when": {"images": "ami-1*"}, "require": {"HttpTokens": "required"}},
        {"name": "b", "when": {"regions": "us-*"}, "exempt": {"until": "2026-03-31"}}]}"#;
    assert_eq!(summary(&decide_with(exempt, &instance(&[]), None)).0, "exempt");
}
