//! Reasons and warnings name the owner and the ticket of a rule.

use super::*;

/// The sentences about the instance, for a policy with one rule that has this effect.
fn sentences(effect: &str, instance: &Instance) -> Vec<String> {
    let policy = format!(
        r#"{{"baseline": {{"HttpTokens": "required"}}, "rules": [{{"name": "a", "owner": "payments",
            "ticket": "SEC-1234", "when": {{"regions": "us-*"}}, {effect}}}]}}"#
    );
    let decision = decide_with(&policy, instance, None);
    let reasons = decision.verdict.reasons().iter().map(ToString::to_string);
    reasons.chain(decision.warnings.iter().map(ToString::to_string)).collect()
}

#[test]
fn what_names_a_rule_names_who_answers_for_it() {
    let asked = tagged(&[("HttpPutResponseHopLimit", "2")], &[("imds:HttpPutResponseHopLimit", "1")]);
    let baseline = "baseline requires HttpTokens=required";
    let rows = [
        (
            r#""require": {"HttpTokens": "required"}"#,
            instance(&[]),
            vec![r#"rule "a" requires HttpTokens=required (owner: payments, ticket: SEC-1234)"#],
        ),
        (
            r#""exempt": {"until": "2026-03-31"}"#,
            instance(&[]),
            vec![r#"rule "a" exempts the instance through 2026-03-31 (owner: payments, ticket: SEC-1234)"#],
        ),
        (
            r#""exempt": {"until": "2026-03-16"}"#,
            instance(&[]),
            vec![
                baseline,
                r#"the exemption in rule "a" expired after 2026-03-16 (owner: payments, ticket: SEC-1234)"#,
            ],
        ),
        (
            r#""mode": "dry-run", "until": "2026-03-16""#,
            instance(&[]),
            vec![
                baseline,
                r#"the dry run in rule "a" expired after 2026-03-16 (owner: payments, ticket: SEC-1234)"#,
            ],
        ),
        (
            r#""require": {"HttpPutResponseHopLimit": 2}"#,
            asked,
            vec![
                baseline,
                r#"tag "imds:HttpPutResponseHopLimit" with value "1" is ignored: rule "a" requires HttpPutResponseHopLimit=2 (owner: payments, ticket: SEC-1234)"#,
            ],
        ),
    ];
    for (effect, instance, expected) in rows {
        assert_eq!(sentences(effect, &instance), expected, "{effect}");
    }
}
