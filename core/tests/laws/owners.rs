//! The owner and the ticket of a rule are only for reports.

use super::*;
use proptest::sample::select;
use serde_json::Value;

/// A rule with one of the effects that `given` has not, active or not.
fn other_rule() -> impl Strategy<Value = Value> {
    let effects = vec![
        json!({"exempt": {"until": "2026-03-16"}}),
        json!({"exempt": {"until": "2026-03-17"}}),
        json!({"mode": "dry-run", "until": "2026-03-16"}),
        json!({"mode": "dry-run", "until": "2026-03-17"}),
        json!({"usageGate": {}}),
        json!({"usageGate": false}),
    ];
    (select(effects), select(vec!["Env", "App"])).prop_map(|(mut rule, key)| {
        rule["name"] = json!("other");
        rule["when"] = json!({"tags": {key: "*"}});
        rule
    })
}

/// The policy in which the rules that `is_labeled` have this owner and this ticket.
fn with_labels(document: &Value, is_labeled: [bool; 4], owner: Option<&str>, ticket: Option<&str>) -> Policy {
    let mut document = document.clone();
    let rules = document["rules"].as_array_mut().unwrap().iter_mut().zip(is_labeled);
    for (rule, _) in rules.filter(|(_, is_labeled)| *is_labeled) {
        for (key, text) in [("owner", owner), ("ticket", ticket)] {
            if let Some(text) = text {
                rule[key] = json!(text);
            }
        }
    }
    Policy::parse(&document.to_string()).expect("a policy")
}

/// The decision in words, without what `label` adds to them.
fn told(decision: &Decision, label: &str) -> (Option<String>, Vec<String>) {
    let change = match &decision.verdict {
        Verdict::Change { change, .. } => Some(format!("{change:?}")),
        _ => None,
    };
    let reasons = decision.verdict.reasons().iter().map(ToString::to_string);
    let all = reasons.chain(decision.warnings.iter().map(ToString::to_string));
    (change, all.map(|sentence| sentence.replace(label, "")).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Fails if rules with an owner are applied last, and if a rule without a ticket may not exempt.
    #[test]
    fn no_decision_depends_on_an_owner_or_a_ticket(
        given in given(ANY), other in other_rule(), at in any::<proptest::sample::Index>(), tags in tags(),
        options in options(), enforced in any::<Option<bool>>(), is_labeled in any::<[bool; 4]>(),
        owner in prop::option::of("[a-z]{1,9}"), ticket in prop::option::of("[A-Z]{3}-[1-9]{1,4}"),
    ) {
        let mut document = given.document;
        let rules = document["rules"].as_array_mut().unwrap();
        rules.insert(at.index(rules.len() + 1), other);
        let instance = instance(options, &tags);
        let without = decided(&with_labels(&document, is_labeled, None, None), &instance, enforced);
        let with = decided(&with_labels(&document, is_labeled, owner.as_deref(), ticket.as_deref()), &instance, enforced);
        let label = match (owner, ticket) {
            (None, None) => "no label".to_owned(),
            (Some(owner), None) => format!(" (owner: {owner})"),
            (None, Some(ticket)) => format!(" (ticket: {ticket})"),
            (Some(owner), Some(ticket)) => format!(" (owner: {owner}, ticket: {ticket})"),
        };
        prop_assert_eq!(std::mem::discriminant(&with.verdict), std::mem::discriminant(&without.verdict));
        prop_assert_eq!((with.mode, &with.usage), (without.mode, &without.usage));
        prop_assert_eq!(told(&with, &label), told(&without, &label));
    }
}
