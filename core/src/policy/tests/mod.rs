//! Valid and invalid documents.

mod endings;
mod input;
mod owners;
mod published;
mod staged;
mod staged_check;
mod warnings;

use super::*;
use time::OffsetDateTime;

#[test]
fn a_baseline_takes_values_and_hop_limit_ranges() {
    let policy = Policy::parse(
        r#"{"baseline": {"HttpTokens": "required", "HttpPutResponseHopLimit": {"atMost": 2}}}"#,
    );
    let requirements: Vec<String> = policy.unwrap().baseline.values().map(ToString::to_string).collect();
    assert_eq!(requirements, ["HttpTokens=required", "HttpPutResponseHopLimit at most 2"]);
}

#[test]
fn a_document_without_baseline_requires_nothing() {
    assert!(Policy::parse("{}").unwrap().baseline.is_empty());
}

#[test]
fn the_default_is_what_its_documentation_says() {
    assert_eq!(Policy::parse(r#"{"baseline": {"HttpTokens": "required"}}"#), Ok(Policy::default()));
}

/// Every error in a document, one per line.
fn errors(document: &str) -> Vec<String> {
    Policy::parse(document)
        .expect_err(document)
        .0
        .iter()
        .map(|e| format!("{}: {}", e.place, e.problem))
        .collect()
}

#[test]
fn an_error_names_its_place_and_how_to_fix_it() {
    let rows = [
        ("[]", "the document: must be an object, not a list"),
        ("null", "the document: must be an object, not null"),
        (r#"{"baseline": "#, "line 1, column 13: not JSON: EOF while parsing a value"),
        (r#"{"baseline": 1}"#, "baseline: must be an object, not 1"),
        (r#"{"baseline": null}"#, "baseline: must be an object, not null"),
        (
            r#"{"Baseline": {}}"#,
            "Baseline: unknown key; allowed keys: $schema, mode, baseline, usageGate, rules, instanceTags, \
             limits",
        ),
        (r#"{"$schema": 1}"#, "$schema: must be a string, not 1"),
        (
            r#"{"baseline": {"HttpTokens": "required", "HttpTokens": "optional"}}"#,
            "baseline.HttpTokens: duplicate key: remove one of them",
        ),
        (
            r#"{"baseline": {"httpTokens": "required"}}"#,
            "baseline.httpTokens: unknown key; allowed keys: HttpTokens, HttpEndpoint, HttpPutResponseHopLimit, \
             HttpProtocolIpv6, InstanceMetadataTags",
        ),
        (
            r#"{"baseline": {"HttpTokens": "Required"}}"#,
            r#"baseline.HttpTokens: must be required or optional, not "Required""#,
        ),
        (
            r#"{"baseline": {"HttpEndpoint": true}}"#,
            "baseline.HttpEndpoint: must be enabled or disabled, not true",
        ),
        (
            r#"{"baseline": {"HttpPutResponseHopLimit": 65}}"#,
            "baseline.HttpPutResponseHopLimit: must be a whole number from 1 to 64, or an object with atLeast, atMost \
             or both, not 65",
        ),
        (
            r#"{"baseline": {"HttpPutResponseHopLimit": {"atLeast": 0}}}"#,
            "baseline.HttpPutResponseHopLimit.atLeast: must be a whole number from 1 to 64, not 0",
        ),
        (
            r#"{"baseline": {"HttpPutResponseHopLimit": {"atMost": 2.5}}}"#,
            "baseline.HttpPutResponseHopLimit.atMost: must be a whole number from 1 to 64, not 2.5",
        ),
        (
            r#"{"baseline": {"HttpPutResponseHopLimit": {"atLeast": 3, "atMost": 2}}}"#,
            "baseline.HttpPutResponseHopLimit: atLeast must not be above atMost",
        ),
        (
            r#"{"baseline": {"HttpPutResponseHopLimit": {}}}"#,
            "baseline.HttpPutResponseHopLimit: must have atLeast, atMost or both",
        ),
        (
            r#"{"baseline": {"HttpPutResponseHopLimit": {"atmost": 2, "atLeast": 1}}}"#,
            "baseline.HttpPutResponseHopLimit.atmost: unknown key; allowed keys: atLeast, atMost",
        ),
        (r#"{"rules": {}}"#, "rules: must be a list of rules, not an object"),
        (r#"{"rules": [7]}"#, "rules[0]: must be an object, not 7"),
        (r#"{"rules": [{"require": {"HttpTokens": "required"}}]}"#, "rules[0].name: is missing"),
        (
            r#"{"rules": [{"name": " ", "require": {"HttpTokens": "required"}}]}"#,
            "rules[0].name: must not be empty",
        ),
        (r#"{"rules": [{"name": "a"}]}"#, "rules[0]: must have require, exempt, mode or usageGate"),
        (
            r#"{"rules": [{"name": "a", "when": {"regions": "*"}, "require": {"HttpTokens": "required"},
                "exempt": {"until": "2027-01-01"}}]}"#,
            "rules[0]: must have only one of require, exempt, mode and usageGate: split the rule",
        ),
        (
            r#"{"rules": [{"name": "a", "require": {}}]}"#,
            "rules[0].require: must require at least one of HttpTokens, HttpEndpoint, HttpPutResponseHopLimit, \
             HttpProtocolIpv6, InstanceMetadataTags",
        ),
        (
            r#"{"rules": [{"name": "a", "when": {"regions": "*"}, "exempt": {}}]}"#,
            "rules[0].exempt.until: is missing",
        ),
        (
            r#"{"rules": [{"name": "a", "when": {"regions": "*"}, "exempt": {"until": "2027-02-30"}}]}"#,
            r#"rules[0].exempt.until: must be a date such as 2027-03-31, not "2027-02-30""#,
        ),
        (
            r#"{"rules": [{"name": "a", "when": {"tags": {"App": []}}, "exempt": {"until": "2027-01-01"}}]}"#,
            "rules[0].when.tags.App: an empty list matches nothing: add a pattern or remove the key",
        ),
        (
            r#"{"rules": [{"name": "a", "when": {"accounts": [111122223333]}, "exempt": {"until": "2027-01-01"}}]}"#,
            "rules[0].when.accounts[0]: must be a string, not 111122223333",
        ),
        (
            r#"{"rules": [{"name": "a", "when": {"accounts": ["*", "1111-*"]}, "exempt": {"until": "2027-01-01"}}]}"#,
            r#"rules[0].when.accounts[1]: "1111-*" can match no account id: use 12 digits, with * and ? as wildcards"#,
        ),
        (
            r#"{"rules": [{"name": "a", "when": {"regions": "EU-*"}, "exempt": {"until": "2027-01-01"}}]}"#,
            "rules[0].when.regions: \"EU-*\" can match no Region: use a code such as eu-west-1, with * and ? as \
             wildcards",
        ),
        (
            r#"{"rules": [{"name": "a", "when": {"tags": {}}, "exempt": {"until": "2027-01-01"}}]}"#,
            "rules[0].when.tags: must name at least one tag; to match every instance, remove it",
        ),
        (
            r#"{"rules": [{"name": "a", "when": {"tags": {"eks:*": "*"}}, "exempt": {"until": "2027-01-01"}}]}"#,
            "rules[0].when.tags.eks:*: a tag key is literal: only values can contain * and ?",
        ),
        (
            r#"{"rules": [{"name": "a", "when": {"region": "eu-*"}, "exempt": {"until": "2027-01-01"}}]}"#,
            "rules[0].when.region: unknown key; allowed keys: tags, accounts, regions, instanceIds, images, \
             launchedBefore",
        ),
        (
            r#"{"rules": [{"name": "a", "exempt": {"until": "2027-01-01"}}]}"#,
            "rules[0].when: an exemption needs a condition: add one of tags, accounts, regions, instanceIds, images, \
             launchedBefore",
        ),
        (
            r#"{"rules": [{"name": "a", "when": {}, "exempt": {"until": "2027-01-01"}}]}"#,
            "rules[0].when: an exemption needs a condition: add one of tags, accounts, regions, instanceIds, images, \
             launchedBefore",
        ),
        (
            r#"{"rules": [{"name": "a", "when": {"regions": "us-east1"}, "require": {"HttpTokens": "required"}}]}"#,
            r#"rules[0].when.regions: "us-east1" can match no Region: use a code such as eu-west-1, with * and ? as wildcards"#,
        ),
        (
            r#"{"rules": [{"name": "a", "when": {"tags": {"": "x"}}, "require": {"HttpTokens": "required"}}]}"#,
            "rules[0].when.tags.: can match no tag: a key has 1 to 128 characters",
        ),
        (r#"{"instanceTags": {"prefix": ""}}"#, "instanceTags.prefix: must have 1 to 64 characters"),
        (
            r#"{"instanceTags": {"prefix": "aws:imds:"}}"#,
            "instanceTags.prefix: must not begin with aws:, which is reserved for AWS",
        ),
        (
            r#"{"instanceTags": {"authority": "all"}}"#,
            r#"instanceTags.authority: must be none, tighten or loosen, not "all""#,
        ),
        (
            r#"{"instanceTags": {"authority": "none", "exemptions": {"maxDays": 1}}}"#,
            r#"instanceTags.exemptions: cannot be used with "authority": "none", which reads no tags"#,
        ),
        (r#"{"instanceTags": {"exemptions": {}}}"#, "instanceTags.exemptions.maxDays: is missing"),
        (
            r#"{"instanceTags": {"exemptions": {"maxDays": 0}}}"#,
            "instanceTags.exemptions.maxDays: must be a whole number from 1 to 3650, not 0",
        ),
        (
            r#"{"instanceTags": {"exemptions": {"maxDays": 1, "maxAgeDays": 3651}}}"#,
            "instanceTags.exemptions.maxAgeDays: must be a whole number from 1 to 3650, not 3651",
        ),
        (
            r#"{"instanceTags": {"exemptions": {"maxAgeDays": 90}}}"#,
            "instanceTags.exemptions.maxDays: is missing",
        ),
    ];
    for (document, expected) in rows {
        assert_eq!(errors(document), [expected], "{document}");
    }
}

#[test]
fn two_rules_with_the_same_name_are_an_error() {
    let rule = r#"{"name": "a", "require": {"HttpTokens": "required"}}"#;
    let errors = errors(&format!(r#"{{"rules": [{rule}, {rule}]}}"#));
    assert_eq!(errors, [r#"rules[1].name: the name "a" is already used by rules[0]"#]);
    let wrong =
        r#"{"rules": [{"name": "a", "when": {"regions": "*"}, "exempt": {"until": "soon"}}, {"name": "a"}]}"#;
    let places: Vec<String> =
        Policy::parse(wrong).unwrap_err().0.into_iter().map(|error| error.place).collect();
    assert_eq!(places, ["rules[0].exempt.until", "rules[1].name", "rules[1]"]);
}

#[test]
fn every_error_is_listed() {
    let document = r#"{
        "baseline": {"HttpTokens": "on", "HttpPutResponseHopLimit": {"atLeast": 0, "atMost": "2"}},
        "rules": [{"when": {"tags": {"App": 1}}, "exempt": {"until": "soon"}}, 5],
        "instanceTags": {"prefix": "aws:", "Authority": "none"}
    }"#;
    let places: Vec<String> = Policy::parse(document).unwrap_err().0.into_iter().map(|e| e.place).collect();
    let expected = [
        "baseline.HttpTokens",
        "baseline.HttpPutResponseHopLimit.atLeast",
        "baseline.HttpPutResponseHopLimit.atMost",
        "rules[0].name",
        "rules[0].when.tags.App",
        "rules[0].exempt.until",
        "rules[1]",
        "instanceTags.Authority",
        "instanceTags.prefix",
    ];
    assert_eq!(places, expected);
}

#[test]
fn dates_have_one_form() {
    for (text, valid) in [
        ("2027-03-31", true),
        ("2028-02-29", true),
        ("9999-12-31", true),
        ("2027-02-29", false),
        ("2027-3-31", false),
        ("+2027-03-31", false),
        ("2027-03-31 ", false),
        ("20270331", false),
        ("２027-03-31", false),
        ("", false),
    ] {
        assert_eq!(parse_date(text).is_some(), valid, "{text:?}");
    }
}

const NOW: OffsetDateTime = time::macros::datetime!(2026-03-17 00:00 UTC);

#[test]
fn a_policy_has_a_summary() {
    let policy = Policy::parse(
        r#"{
          "baseline": {"HttpTokens": "required", "HttpPutResponseHopLimit": {"atMost": 2}},
          "rules": [
            {"name": "pods", "when": {"tags": {"eks:cluster-name": "*"}}, "require": {"HttpPutResponseHopLimit": 2}},
            {"name": "payroll", "when": {"tags": {"App": ["payroll-*", "payslip"]}, "accounts": "111122223333",
             "regions": ["eu-*"]}, "exempt": {"until": "2027-03-31"}},
            {"name": "all", "require": {"HttpProtocolIpv6": "disabled"}},
            {"name": "old", "when": {"tags": {"Old": "*"}}, "exempt": {"until": "2026-03-16"}}
          ],
          "instanceTags": {"exemptions": {"maxDays": 90}}
        }"#,
    );
    let expected = [
        "Every instance must have HttpTokens=required and HttpPutResponseHopLimit at most 2.",
        "No usage gate: HttpTokens=required also reaches instances that still use IMDSv1, and breaks what uses it.",
        r#"Rule "pods": an instance with the tag "eks:cluster-name" must have HttpPutResponseHopLimit=2."#,
        "Rule \"payroll\": an instance whose tag \"App\" is \"payroll-*\" or \"payslip\", in account \
         \"111122223333\" and in Region \"eu-*\" is exempt through 2027-03-31 (UTC).",
        r#"Rule "all": every instance must have HttpProtocolIpv6=disabled."#,
        "Rule \"old\": an instance with the tag \"Old\" was exempt through 2026-03-16 (UTC); this exemption has \
         expired.",
        "A tag such as imds:HttpTokens=required can tighten within what these requirements allow, and never loosen. A \
         tag cannot set HttpEndpoint.",
        "A tag such as imds:ExemptUntil=2027-01-31 exempts its instance through that day (UTC), at most 90 days ahead.",
    ];
    assert_eq!(policy.unwrap().summary(NOW), expected);
    let loosen = Policy::parse(r#"{"instanceTags": {"authority": "loosen"}}"#).unwrap().summary(NOW);
    assert_eq!(
        loosen,
        [
            "The baseline requires nothing.",
            "No usage gate: HttpTokens=required also reaches instances that still use IMDSv1, and breaks what uses it.",
            "A tag such as imds:HttpTokens=optional overrides these requirements and can also loosen them. A tag cannot \
             set HttpEndpoint.",
            "No tag can exempt its instance.",
        ]
    );
}
