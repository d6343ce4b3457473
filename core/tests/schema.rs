//! The JSON Schema accepts and rejects the same documents as the parser.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use imds_core::policy::Policy;
use serde_json::{Value, json};

const GOOD: &[&str] = &[
    "{}",
    r#"{"$schema": "policy.schema.json", "baseline": {}, "rules": [], "instanceTags": {}}"#,
    r#"{"baseline": {"HttpTokens": "required", "HttpEndpoint": "disabled", "HttpPutResponseHopLimit": 64,
        "HttpProtocolIpv6": "enabled", "InstanceMetadataTags": "disabled"}}"#,
    r#"{"baseline": {"HttpPutResponseHopLimit": {"atLeast": 1, "atMost": 64}}}"#,
    r#"{"rules": [{"name": "a", "require": {"HttpTokens": "optional"}}]}"#,
    r#"{"rules": [{"name": "a", "when": {}, "require": {"HttpTokens": "required"}}]}"#,
    r#"{"rules": [{"name": "a", "when": {"regions": "eu-*"}, "exempt": {"until": "2027-03-31"}}]}"#,
    r#"{"rules": [{"name": "a", "when": {"tags": {"App": ["payroll-*", "x"], "y": "*"}, "accounts": "1*",
        "regions": ["eu-*"]}, "require": {"HttpPutResponseHopLimit": {"atMost": 2}}}]}"#,
    r#"{"instanceTags": {"prefix": "x", "authority": "loosen", "exemptions": {"maxDays": 3650}}}"#,
    r#"{"instanceTags": {"authority": "none"}}"#,
    r#"{"instanceTags": {"exemptions": {"maxDays": 1}}}"#,
    r#"{"instanceTags": {"exemptions": {"maxDays": 1, "maxAgeDays": 3650}}}"#,
    r#"{"instanceTags": {"options": []}}"#,
    r#"{"instanceTags": {"options": ["HttpTokens", "HttpProtocolIpv6"]}}"#,
    r#"{"instanceTags": {"authority": "loosen", "options": ["HttpEndpoint"]}}"#,
    r#"{"mode": "dry-run", "usageGate": {}}"#,
    r#"{"usageGate": {"lookbackDays": 90, "minDays": 90, "toleratedCalls": 0, "launches": "enforce",
        "onUnknown": "enforce", "until": "2027-06-30"}, "limits": {"changesPerSweep": 1, "failuresPerSweep": 10000}}"#,
    r#"{"rules": [{"name": "a", "usageGate": {}}, {"name": "b", "usageGate": false}]}"#,
    r#"{"rules": [{"name": "a", "require": {"HttpTokens": "required"}},
        {"name": "b", "usageGate": {"until": "2027-06-30"}}], "limits": {"changesPerSweep": 1}}"#,
    r#"{"rules": [{"name": "a", "mode": "enforce"}, {"name": "b", "mode": "dry-run"},
        {"name": "c", "mode": "dry-run", "until": "2027-01-31"}]}"#,
    r#"{"rules": [{"name": "a", "when": {"tags": {"aws:autoscaling:groupName": "x"}}, "mode": "dry-run"}]}"#,
    r#"{"rules": [{"name": "a", "when": {"tags": {"App": "x"}}, "mode": "enforce"}]}"#,
    r#"{"rules": [{"name": "a", "when": {"tags": {"App": "x"}}, "mode": "dry-run", "until": "2027-01-31"}]}"#,
    r#"{"rules": [{"name": "a", "when": {"instanceIds": "i-*"}, "exempt": {"until": "2027-01-31"}},
        {"name": "b", "when": {"images": ["ami-0123456789abcdef0"]}, "exempt": {"until": "2027-01-31"}},
        {"name": "c", "when": {"launchedBefore": "2026-01-01"}, "exempt": {"until": "2027-01-31"}}]}"#,
    r#"{"limits": {"failuresPerSweep": 20}}"#,
    r#"{"rules": [{"name": "a", "mode": "enforce", "owner": "payments", "ticket": " SEC-1234 "}]}"#,
];

const BAD: &[&str] = &[
    "null",
    "[]",
    r#"{"Baseline": {}}"#,
    r#"{"baseline": null}"#,
    r#"{"baseline": {"HttpTokens": "Required"}}"#,
    r#"{"baseline": {"HttpEndpoint": true}}"#,
    r#"{"baseline": {"HttpPutResponseHopLimit": 0}}"#,
    r#"{"baseline": {"HttpPutResponseHopLimit": 65}}"#,
    r#"{"baseline": {"HttpPutResponseHopLimit": "2"}}"#,
    r#"{"baseline": {"HttpPutResponseHopLimit": {}}}"#,
    r#"{"baseline": {"HttpPutResponseHopLimit": {"atMost": 65}}}"#,
    r#"{"baseline": {"HttpPutResponseHopLimit": {"atmost": 2}}}"#,
    r#"{"rules": {}}"#,
    r#"{"rules": [7]}"#,
    r#"{"rules": [{"require": {"HttpTokens": "required"}}]}"#,
    r#"{"rules": [{"name": " ", "require": {"HttpTokens": "required"}}]}"#,
    r#"{"rules": [{"name": "a"}]}"#,
    r#"{"rules": [{"name": "a", "require": {}}]}"#,
    r#"{"rules": [{"name": "a", "when": {"regions": "*"}, "require": {"HttpTokens": "required"}, "exempt": {"until": "2027-01-01"}}]}"#,
    r#"{"rules": [{"name": "a", "when": {"regions": "*"}, "exempt": {}}]}"#,
    r#"{"rules": [{"name": "a", "when": {"regions": "*"}, "exempt": {"until": "soon"}}]}"#,
    r#"{"rules": [{"name": "a", "when": {"regions": "*"}, "exempt": {"until": "2027-1-1"}}]}"#,
    r#"{"rules": [{"name": "a", "when": {"accounts": []}, "exempt": {"until": "2027-01-01"}}]}"#,
    r#"{"rules": [{"name": "a", "when": {"tags": {"App": 1}}, "exempt": {"until": "2027-01-01"}}]}"#,
    r#"{"rules": [{"name": "a", "when": {"region": "x"}, "exempt": {"until": "2027-01-01"}}]}"#,
    r#"{"rules": [{"name": "a", "when": {"accounts": [1]}, "exempt": {"until": "2027-01-01"}}]}"#,
    r#"{"rules": [{"name": "a", "when": {"tags": {}}, "exempt": {"until": "2027-01-01"}}]}"#,
    r#"{"rules": [{"name": "a", "when": {"tags": {"eks:*": "*"}}, "exempt": {"until": "2027-01-01"}}]}"#,
    r#"{"rules": [{"name": "a", "exempt": {"until": "2027-01-01"}}]}"#,
    r#"{"rules": [{"name": "a", "when": {}, "exempt": {"until": "2027-01-01"}}]}"#,
    r#"{"rules": [{"name": "a", "when": {"tags": {"": "x"}}, "require": {"HttpTokens": "required"}}]}"#,
    r#"{"baseline": {"HttpTokens": {"required": null}}}"#,
    r#"{"baseline": {"HttpEndpoint": null}}"#,
    r#"{"instanceTags": {"authority": {"tighten": null}}}"#,
    r#"{"instanceTags": {"prefix": ""}}"#,
    r#"{"instanceTags": {"prefix": "AWS:x"}}"#,
    r#"{"instanceTags": {"authority": "all"}}"#,
    r#"{"instanceTags": {"authority": "none", "exemptions": {"maxDays": 1}}}"#,
    r#"{"instanceTags": {"exemptions": {"maxDays": 0}}}"#,
    r#"{"instanceTags": {"exemptions": {"maxDays": 3651}}}"#,
    r#"{"instanceTags": {"exemptions": {"maxAgeDays": 90}}}"#,
    r#"{"instanceTags": {"exemptions": {"maxDays": 1, "maxAgeDays": 0}}}"#,
    r#"{"instanceTags": {"options": ["HttpTokens", "HttpTokens"]}}"#,
    r#"{"instanceTags": {"options": ["httpTokens"]}}"#,
    r#"{"instanceTags": {"options": "HttpTokens"}}"#,
    r#"{"instanceTags": {"options": ["HttpEndpoint"]}}"#,
    r#"{"instanceTags": {"authority": "tighten", "options": ["HttpTokens", "HttpEndpoint"]}}"#,
    r#"{"instanceTags": {"authority": "none", "options": []}}"#,
    r#"{"mode": "off"}"#,
    r#"{"usageGate": false}"#,
    r#"{"usageGate": {"days": 14}}"#,
    r#"{"usageGate": {"lookbackDays": 0}}"#,
    r#"{"usageGate": {"lookbackDays": 91}}"#,
    r#"{"usageGate": {"minDays": 0}}"#,
    r#"{"usageGate": {"toleratedCalls": -1}}"#,
    r#"{"usageGate": {"toleratedCalls": 1000001}}"#,
    r#"{"usageGate": {"launches": "hold"}}"#,
    r#"{"usageGate": {"onUnknown": "open"}}"#,
    r#"{"usageGate": {"until": "2027-06-30"}}"#,
    r#"{"usageGate": {"until": "2027-06-30"}, "limits": {"failuresPerSweep": 20}}"#,
    r#"{"rules": [{"name": "a", "usageGate": false}, {"name": "b", "usageGate": {"until": "2027-06-30"}}]}"#,
    r#"{"rules": [{"name": "a", "usageGate": true}]}"#,
    r#"{"rules": [{"name": "a", "usageGate": null}]}"#,
    r#"{"rules": [{"name": "a", "usageGate": {}, "mode": "enforce"}]}"#,
    r#"{"rules": [{"name": "a", "usageGate": {}, "until": "2027-01-31"}]}"#,
    r#"{"rules": [{"name": "a", "require": {"HttpTokens": "required"}, "until": "2027-01-31"}]}"#,
    r#"{"rules": [{"name": "a", "mode": "enforce", "until": "2027-01-31"}]}"#,
    r#"{"rules": [{"name": "a", "when": {"tags": {"App": "x"}}, "mode": "dry-run"}]}"#,
    r#"{"rules": [{"name": "a", "when": {"tags": {"App": "x", "aws:x": "y"}}, "mode": "dry-run"}]}"#,
    r#"{"limits": {}}"#,
    r#"{"limits": {"changesPerSweep": 0}}"#,
    r#"{"limits": {"changesPerSweep": 10001}}"#,
    r#"{"limits": 200}"#,
    r#"{"rules": [{"name": "a", "when": {"launchedBefore": "soon"}, "mode": "enforce"}]}"#,
    r#"{"rules": [{"name": "a", "when": {"images": []}, "mode": "enforce"}]}"#,
    r#"{"rules": [{"name": "a", "mode": "enforce", "owner": ""}]}"#,
    r#"{"rules": [{"name": "a", "mode": "enforce", "ticket": " "}]}"#,
    r#"{"rules": [{"name": "a", "mode": "enforce", "ticket": null}]}"#,
    r#"{"rules": [{"name": "a", "mode": "enforce", "owner": ["payments"]}]}"#,
    r#"{"rules": [{"name": "a", "mode": "enforce", "Owner": "payments"}]}"#,
];

/// A schema cannot compare two values, check a date against the calendar (`format` is only an annotation) or detect
/// duplicate keys. Only the parser checks the form of accounts, Regions, instances and images, and finds hidden characters.
const BAD_FOR_THE_PARSER_ALONE: &[&str] = &[
    r#"{"baseline": {"HttpPutResponseHopLimit": {"atLeast": 3, "atMost": 2}}}"#,
    r#"{"rules": [{"name": "a", "when": {"regions": "*"}, "exempt": {"until": "2027-02-30"}}]}"#,
    r#"{"rules": [{"name": "a", "when": {"regions": "*"}, "exempt": {"until": "2027-01-01"}}, {"name": "a", "when": {"regions": "*"}, "exempt": {"until": "2027-01-02"}}]}"#,
    r#"{"rules": [{"name": "a", "when": {"accounts": "1"}, "exempt": {"until": "2027-01-01"}}]}"#,
    r#"{"rules": [{"name": "a", "when": {"regions": ""}, "exempt": {"until": "2027-01-01"}}]}"#,
    r#"{"rules": [{"name": "a", "when": {"regions": "us-east1"}, "require": {"HttpTokens": "required"}}]}"#,
    r#"{"baseline": {}, "baseline": {}}"#,
    r#"{"usageGate": {"lookbackDays": 3, "minDays": 4}}"#,
    r#"{"usageGate": {"minDays": 15}}"#,
    r#"{"rules": [{"name": "a", "when": {"instanceIds": "i-1"}, "mode": "enforce"}]}"#,
    r#"{"rules": [{"name": "a", "when": {"images": "web"}, "mode": "enforce"}]}"#,
    r#"{"rules": [{"name": "a", "mode": "enforce", "owner": "pay\u202ements"}]}"#,
];

#[test]
fn schema_and_parser_agree() {
    let schema = jsonschema::draft202012::new(&Policy::schema()).unwrap();
    let rows = GOOD.iter().map(|document| (document, true, true));
    let rows = rows.chain(BAD.iter().map(|document| (document, false, false)));
    for (document, by_schema, by_parser) in
        rows.chain(BAD_FOR_THE_PARSER_ALONE.iter().map(|d| (d, true, false)))
    {
        let value: Value = serde_json::from_str(document).unwrap();
        assert_eq!(schema.is_valid(&value), by_schema, "the schema on {document}");
        assert_eq!(Policy::parse(document).is_ok(), by_parser, "the parser on {document}");
    }
}

#[test]
fn schema_and_parser_agree_on_the_length_of_an_owner() {
    let schema = jsonschema::draft202012::new(&Policy::schema()).unwrap();
    for (length, is_valid) in [(200, true), (201, false)] {
        let rule = json!({"name": "a", "mode": "enforce", "owner": "é".repeat(length), "ticket": "é".repeat(length)});
        let document = json!({"rules": [rule]});
        assert_eq!(schema.is_valid(&document), is_valid, "the schema on {length} characters");
        assert_eq!(
            Policy::parse(&document.to_string()).is_ok(),
            is_valid,
            "the parser on {length} characters"
        );
    }
}
