//! The owner and the ticket of a rule.

use super::*;
use serde_json::json;

fn label(owner: &str, ticket: &str) -> RuleLabel {
    let rule = json!({"name": "a", "owner": owner, "ticket": ticket, "mode": "enforce"});
    let document = json!({ "rules": [rule] }).to_string();
    let policy = Policy::parse(&document).unwrap_or_else(|errors| panic!("{document}: {errors}"));
    RuleLabel::clone(&policy.rules[0].label)
}

#[test]
fn an_owner_and_a_ticket_are_read_without_the_spaces_around_them() {
    let rows = [
        ("payments", "SEC-1234", "payments", "SEC-1234"),
        (" payments\n", "\tSEC-1234 ", "payments", "SEC-1234"),
        (
            "Zahlungsverkehr, Köln",
            "https://tickets.example.com/browse?id=1&b=\"2\"",
            "Zahlungsverkehr, Köln",
            "https://tickets.example.com/browse?id=1&b=\"2\"",
        ),
        ("支払い", "#7", "支払い", "#7"),
    ];
    for (owner, ticket, read_owner, read_ticket) in rows {
        let found = label(owner, ticket);
        assert_eq!((found.owner.as_deref(), found.ticket.as_deref()), (Some(read_owner), Some(read_ticket)));
        assert_eq!(found.responsible(), format!(" (owner: {read_owner}, ticket: {read_ticket})"));
    }
    let longest = "é".repeat(200);
    assert_eq!(label(&longest, &longest).responsible(), format!(" (owner: {longest}, ticket: {longest})"));
}

#[test]
fn an_error_in_an_owner_or_a_ticket_names_its_place_and_how_to_fix_it() {
    let hidden = |code: &str| {
        format!("has the character {code}, which is invisible or changes how text is displayed: remove it")
    };
    let rows = [
        (json!(""), "must not be empty".to_owned()),
        (json!(" \n"), "must not be empty".to_owned()),
        (json!(null), "must be a string, not null".to_owned()),
        (json!(["payments"]), "must be a string, not a list".to_owned()),
        (json!("é".repeat(201)), "must have at most 200 characters: shorten it".to_owned()),
        (json!("pay\u{1b}[31m"), hidden("U+001B")),
        (json!("pay\nments"), hidden("U+000A")),
        (json!("pay\u{202e}ments"), hidden("U+202E")),
        (json!("\u{2066}payments"), hidden("U+2066")),
        (json!("payments\u{200b}"), hidden("U+200B")),
        (json!("pay\u{e0041}ments"), hidden("U+E0041")),
    ];
    for key in ["owner", "ticket"] {
        for (value, expected) in &rows {
            let document = json!({"rules": [{"name": "a", "mode": "enforce", key: value}]}).to_string();
            assert_eq!(errors(&document), [format!("rules[0].{key}: {expected}")], "{document}");
        }
    }
}

#[test]
fn the_summary_names_the_owner_and_the_ticket_after_the_name() {
    let rows = [
        (json!({}), ""),
        (json!({"owner": "payments"}), " (owner: payments)"),
        (json!({"ticket": "SEC-1234"}), " (ticket: SEC-1234)"),
        (json!({"owner": "payments", "ticket": "SEC-1234"}), " (owner: payments, ticket: SEC-1234)"),
    ];
    for (more, expected) in rows {
        let mut rule = json!({"name": "a", "when": {"regions": "eu-*"}, "exempt": {"until": "2027-03-31"}});
        rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let summary = Policy::parse(&json!({ "rules": [rule] }).to_string()).unwrap().summary(NOW);
        let expected = format!(
            "Rule \"a\"{expected}: an instance in Region \"eu-*\" is exempt through 2027-03-31 (UTC)."
        );
        assert!(summary.contains(&expected), "{summary:#?}");
    }
}
