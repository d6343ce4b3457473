//! What of a policy ends with a day.

use super::*;
use time::macros::{date, datetime};

#[test]
fn everything_with_a_last_day_is_listed_in_the_order_of_the_document() {
    let policy = Policy::parse(
        r#"{"usageGate": {"until": "2026-06-30"}, "limits": {"changesPerSweep": 200}, "rules": [
            {"name": "a", "when": {"launchedBefore": "2026-01-01"}, "exempt": {"until": "2026-03-16"}},
            {"name": "b", "require": {"HttpTokens": "required"}, "owner": "security"},
            {"name": "c", "mode": "dry-run", "until": "2026-03-17", "owner": "edge", "ticket": "SEC-7"},
            {"name": "d", "mode": "dry-run"},
            {"name": "e", "mode": "enforce"},
            {"name": "f", "usageGate": {"until": "2026-03-18"}, "ticket": "SEC-8"},
            {"name": "g", "usageGate": {}},
            {"name": "h", "usageGate": false}]}"#,
    )
    .unwrap();
    let found: Vec<String> = policy
        .endings()
        .map(|ending| {
            let name = ending.rule.map_or("none", |rule| &rule.name);
            let kind = ending.kind.as_str();
            format!("{} {kind} {name} {}: {}", ending.place, ending.days_left(NOW), ending.summary(NOW))
        })
        .collect();
    let expected = [
        "usageGate.until usage-gate none 105: the usage gate of the policy ends on 2026-06-30 (UTC), 105 days left",
        "rules[0].exempt.until exemption a -1: the exemption in rule \"a\" ended on 2026-03-16 (UTC), 1 day ago",
        "rules[2].until dry-run c 0: the dry run in rule \"c\" ends today, 2026-03-17 (UTC) (owner: edge, ticket: SEC-7)",
        "rules[5].usageGate.until usage-gate f 1: the usage gate in rule \"f\" ends on 2026-03-18 (UTC), 1 day left \
         (ticket: SEC-8)",
    ];
    assert_eq!(found, expected);
}

#[test]
fn the_last_day_is_one_of_utc() {
    let rows = [
        (datetime!(2026-03-31 00:00 UTC), 0),
        (datetime!(2026-03-31 23:59:59 UTC), 0),
        (datetime!(2026-04-01 00:00 UTC), -1),
        (datetime!(2026-04-01 01:30 +2), 0),
        (datetime!(2026-03-30 23:30 -1), 0),
        (datetime!(9999-12-31 23:30 -1), -2_912_353),
    ];
    for (now, days) in rows {
        assert_eq!(day::days_left(date!(2026 - 03 - 31), now), days, "{now}");
    }
}

#[test]
fn a_gate_is_ending_in_the_14_days_up_to_its_last_day() {
    let whole = |until: &str| format!(r#""usageGate": {{"until": "{until}"}}, "rules": []"#);
    let rule = |until: &str| format!(r#""rules": [{{"name": "a", "usageGate": {{"until": "{until}"}}}}]"#);
    let dry_run =
        |until: &str| format!(r#""rules": [{{"name": "a", "mode": "dry-run", "until": "{until}"}}]"#);
    let rows = [
        (whole("2026-03-16"), 0),
        (whole("2026-03-17"), 1),
        (whole("2026-03-30"), 1),
        (whole("2026-03-31"), 0),
        (rule("2026-03-30"), 1),
        (rule("2026-03-31"), 0),
        (dry_run("2026-03-30"), 0),
        (r#""usageGate": {}"#.to_owned(), 0),
    ];
    for (keys, expected) in rows {
        let document = format!(r#"{{"limits": {{"changesPerSweep": 1}}, {keys}}}"#);
        assert_eq!(Policy::parse(&document).unwrap().gates_ending(NOW), expected, "{document}");
    }
}
