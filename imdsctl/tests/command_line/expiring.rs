//! `imdsctl policy check --expiring`.

use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use crate::{Folder, POLICY, imdsctl, stderr, stdout};

/// The day so many days from today, in UTC.
#[expect(clippy::disallowed_methods, reason = "the command reads the clock, too")]
fn day(ahead: i64) -> String {
    (OffsetDateTime::now_utc() + Duration::days(ahead)).date().to_string()
}

/// A policy with an exemption that ends with this day.
fn exempting(until: &str) -> String {
    let rule = json!({
        "name": "payroll", "owner": "payments", "ticket": "SEC-1234", "when": {"accounts": "111122223333"},
        "exempt": {"until": until},
    });
    json!({"baseline": {"HttpTokens": "required"}, "rules": [rule]}).to_string()
}

fn expiring(arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
    let output = imdsctl(&[&["policy", "check", "--expiring"], arguments].concat(), input);
    (output.status.code(), stdout(&output), stderr(&output))
}

#[test]
fn what_ends_soon_is_printed_with_who_answers_for_it_and_exits_with_1() {
    // The days are far from the limit, so that the test may run at midnight.
    let (soon, ended, late) = (day(7), day(-7), day(21));
    let (code, printed, message) = expiring(&["14", "-"], &exempting(&soon));
    assert_eq!((code, message.as_str()), (Some(1), ""), "{printed}");
    let ends = format!("rules[0].exempt.until: the exemption in rule \"payroll\" ends on {soon} (UTC), ");
    assert!(printed.starts_with(&ends), "{printed}");
    assert!(printed.ends_with(" days left (owner: payments, ticket: SEC-1234)\n"), "{printed}");
    assert_eq!(printed.lines().count(), 1, "neither a summary nor a warning: {printed}");

    let (code, printed, _) = expiring(&["0", "-"], &exempting(&ended));
    assert_eq!(code, Some(1), "{printed}");
    assert!(printed.contains(&format!("ended on {ended} (UTC), ")), "{printed}");
    assert!(printed.contains(" days ago (owner"), "{printed}");

    let (code, printed, _) = expiring(&["14", "-"], &exempting(&late));
    assert_eq!((code, printed.as_str()), (Some(0), "nothing has ended or ends within 14 days\n"));
}

#[test]
fn the_exit_code_is_that_of_the_worst_file() {
    let folder = Folder::new("expiring");
    let soon = folder.file("soon.json", exempting(&day(7)));
    let late = folder.file("late.json", exempting(&day(21)));
    let wrong = folder.file("wrong.json", r#"{"baseline": {"HttpTokens": "on"}}"#);
    let (soon, late, wrong) = (soon.as_str(), late.as_str(), wrong.as_str());
    let rows: [(&[&str], i32); 13] = [
        (&["14", POLICY], 0),
        (&["14", late, POLICY], 0),
        (&["28", late, POLICY], 1),
        (&["14", late, soon, POLICY], 1),
        (&["14", "--json", late, soon], 1),
        (&["3650", late], 1),
        (&["14", soon, wrong], 2),
        (&["14", "--json", wrong, soon], 2),
        (&["14", "nothing.json", late], 2),
        (&["3651", late], 2),
        (&["-1", late], 2),
        (&["soon", late], 2),
        (&["14", "--strict", late], 2),
    ];
    for (arguments, code) in rows {
        let (found, _, message) = expiring(arguments, "");
        assert_eq!(found, Some(code), "{arguments:?}: {message}");
    }
    let (_, printed, message) = expiring(&["14", late, soon, wrong], "");
    assert!(printed.contains(&format!("{late}: nothing has ended or ends within 14 days\n")), "{printed}");
    assert!(printed.contains(&format!("{soon}: rules[0].exempt.until: the exemption")), "{printed}");
    assert!(
        !printed.contains(wrong) && message.contains(&format!("{wrong}: baseline.HttpTokens: ")),
        "{message}"
    );
}

#[test]
fn the_json_of_what_ends_soon_has_its_published_form() {
    let folder = Folder::new("expiring-json");
    let wrong = folder.file("wrong.json", r#"{"baseline": {"HttpTokens": "on"}}"#);
    let (soon, ended) = (day(7), day(-7));
    let gate = json!({"usageGate": {"until": ended}, "limits": {"changesPerSweep": 200}}).to_string();
    let gate = folder.file("gate.json", gate);
    let (code, printed, message) = expiring(&["14", "--json", "-", &gate, &wrong], &exempting(&soon));
    assert_eq!((code, message.as_str()), (Some(2), ""));
    let mut list: Value = serde_json::from_str(&printed).unwrap();
    // At midnight, one day less is left.
    let left = [(0_usize, 6..=7), (1, -8..=-7)].map(|(number, expected)| {
        let left = list[number]["expiring"][0]["daysLeft"].take().as_i64().unwrap();
        expected.contains(&left)
    });
    assert_eq!(left, [true, true], "{printed}");
    let expected = json!([
        {"file": "standard input", "ok": true, "errors": [], "expiring": [{
            "place": "rules[0].exempt.until", "kind": "exemption", "rule": "payroll", "owner": "payments",
            "ticket": "SEC-1234", "until": soon, "daysLeft": null,
        }]},
        {"file": gate, "ok": true, "errors": [], "expiring": [{
            "place": "usageGate.until", "kind": "usage-gate", "rule": null, "owner": null, "ticket": null,
            "until": ended, "daysLeft": null,
        }]},
        {"file": wrong, "ok": false, "expiring": [], "errors": [
            {"place": "baseline.HttpTokens", "problem": "must be required or optional, not \"on\""},
        ]},
    ]);
    assert_eq!(list, expected);
}
