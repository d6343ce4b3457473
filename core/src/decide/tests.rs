//! What is decided, row by row.

use super::*;
use crate::ids::InstanceId;
use crate::ids::{AccountId, Region};
use crate::instance::InstanceState;
use crate::metadata::MetadataOptions;
use std::collections::BTreeMap;
use time::macros::datetime;

/// An instance with all five options, `overrides` on top of IMDSv1's old defaults.
fn instance(overrides: &[(&str, &str)]) -> Instance {
    let defaults = [
        ("HttpTokens", "optional"),
        ("HttpEndpoint", "enabled"),
        ("HttpPutResponseHopLimit", "1"),
        ("HttpProtocolIpv6", "disabled"),
        ("InstanceMetadataTags", "disabled"),
    ];
    let value = |(name, text): &(&str, &str)| OptionName::from_name(name).unwrap().parse(text).unwrap();
    Instance {
        id: InstanceId::new("i-0123456789abcdef0").unwrap(),
        state: InstanceState::Running,
        tags: BTreeMap::new(),
        options: defaults.iter().chain(overrides).map(value).collect(),
        options_state: None,
        owner: None,
        launched: None,
        managed_by: None,
    }
}

type Pairs<'a> = &'a [(&'a str, &'a str)];

const NOW: OffsetDateTime = datetime!(2026-03-17 00:00 UTC);

fn decide_with(policy: &str, instance: &Instance, tokens_enforced: Option<bool>) -> Decision {
    decide_at(policy, instance, tokens_enforced, NOW)
}

fn decide_at(
    policy: &str,
    instance: &Instance,
    tokens_enforced: Option<bool>,
    now: OffsetDateTime,
) -> Decision {
    let account = AccountId::new("111122223333").unwrap();
    let region = Region::new("us-east-1").unwrap();
    let facts = Facts { account: &account, region: &region, instance, tokens_enforced };
    decide(&Policy::parse(policy).unwrap(), &facts, now)
}

fn tagged(overrides: &[(&str, &str)], tags: &[(&str, &str)]) -> Instance {
    let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Instance { tags, ..instance(overrides) }
}

/// The verdict's kind and change in one line, and the warnings.
fn summary(decision: &Decision) -> (String, Vec<String>) {
    let verdict = match &decision.verdict {
        Verdict::Compliant { .. } => "compliant".to_owned(),
        Verdict::Change { change, .. } => {
            change.options().iter().map(|value| value.to_string()).collect::<Vec<_>>().join(" ")
        }
        Verdict::Exempt { .. } => "exempt".to_owned(),
        Verdict::OutOfScope { .. } => "out-of-scope".to_owned(),
        Verdict::Blocked { .. } => "blocked".to_owned(),
    };
    (verdict, decision.warnings.iter().map(ToString::to_string).collect())
}

#[test]
fn a_baseline_changes_only_what_differs() {
    let tokens = r#"{"baseline": {"HttpTokens": "required"}}"#;
    let tokens_and_hop = r#"{"baseline": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}}"#;
    let range = r#"{"baseline": {"HttpPutResponseHopLimit": {"atMost": 2}}}"#;
    let off = r#"{"baseline": {"HttpEndpoint": "disabled", "HttpTokens": "required"}}"#;
    let on = r#"{"baseline": {"HttpEndpoint": "enabled", "HttpTokens": "required", "HttpProtocolIpv6": "enabled"}}"#;
    let (disabled, v2) = (("HttpEndpoint", "disabled"), ("HttpTokens", "required"));
    let rows: &[(&str, &str, Pairs<'_>, &str)] = &[
        ("IMDSv1", tokens, &[], "HttpTokens=required"),
        ("IMDSv2 already", tokens, &[v2], "compliant"),
        ("hop limit nobody asked for", tokens, &[("HttpPutResponseHopLimit", "3")], "HttpTokens=required"),
        // Cloud Custodian ANDs its filters and would skip this one.
        ("only one of two differs", tokens_and_hop, &[], "HttpTokens=required"),
        (
            "the other of two differs",
            tokens_and_hop,
            &[v2, ("HttpPutResponseHopLimit", "2")],
            "HttpPutResponseHopLimit=1",
        ),
        ("limit inside its range", range, &[("HttpPutResponseHopLimit", "2")], "compliant"),
        ("limit above its range", range, &[("HttpPutResponseHopLimit", "3")], "HttpPutResponseHopLimit=2"),
        ("nothing required", "{}", &[], "compliant"),
        // Others send HttpEndpoint=enabled with every change.
        ("endpoint switched off on purpose", tokens, &[disabled], "compliant"),
        ("endpoint to be switched off", off, &[], "HttpEndpoint=disabled"),
        ("endpoint off as required", off, &[disabled], "compliant"),
        (
            "endpoint to be switched on",
            on,
            &[disabled],
            "HttpTokens=required HttpEndpoint=enabled HttpProtocolIpv6=enabled",
        ),
        ("endpoint on as required", on, &[], "HttpTokens=required HttpProtocolIpv6=enabled"),
    ];
    for (name, policy, overrides, expected) in rows {
        let decision = decide_with(policy, &instance(overrides), None);
        assert_eq!(summary(&decision), ((*expected).to_owned(), vec![]), "{name}");
    }
}

#[test]
fn an_option_that_ec2_does_not_report_is_sent() {
    let mut instance = instance(&[]);
    instance.options = MetadataOptions::default();
    let decision = decide_with(r#"{"baseline": {"HttpTokens": "required"}}"#, &instance, None);
    assert_eq!(summary(&decision).0, "HttpTokens=required");
}

#[test]
fn what_ec2_would_refuse_is_left_out_and_the_rest_is_sent() {
    let both = r#"{"baseline": {"HttpTokens": "required", "InstanceMetadataTags": "enabled"}}"#;
    let mut tagged = instance(&[]);
    tagged.tags.insert("kubernetes.io/cluster/x".to_owned(), "owned".to_owned());
    let warning = "InstanceMetadataTags=enabled is left out: EC2 refuses it while the instance has the tag key \
                   \"kubernetes.io/cluster/x\"";
    let decision = decide_with(both, &tagged, None);
    assert_eq!(summary(&decision), ("HttpTokens=required".to_owned(), vec![warning.to_owned()]));

    let tags_only = r#"{"baseline": {"InstanceMetadataTags": "enabled"}}"#;
    let decision = decide_with(tags_only, &tagged, None);
    assert_eq!(summary(&decision), ("blocked".to_owned(), vec![warning.to_owned()]));

    let loosen = r#"{"baseline": {"HttpTokens": "optional", "HttpPutResponseHopLimit": 2}}"#;
    let decision = decide_with(loosen, &instance(&[("HttpTokens", "required")]), Some(true));
    assert_eq!(summary(&decision).0, "HttpPutResponseHopLimit=2");
    assert_eq!(decision.warnings, [Warning::TokensEnforced]);
}

#[test]
fn tag_keys_that_metadata_cannot_carry() {
    for key in ["Name", "eks:cluster-name", "a+b=c,d.e@f_g-h", &"k".repeat(255)] {
        assert!(metadata_can_carry(key), "{key}");
    }
    for key in ["", ".", "..", "_index", "a b", "kubernetes.io/cluster/x", "ключ", &"k".repeat(256)] {
        assert!(!metadata_can_carry(key), "{key}");
    }
}

#[test]
fn instances_that_end_or_that_others_manage_are_out_of_scope() {
    let tokens = r#"{"baseline": {"HttpTokens": "required"}}"#;
    for (state, expected) in [
        (InstanceState::Pending, "HttpTokens=required"),
        (InstanceState::Stopping, "HttpTokens=required"),
        (InstanceState::Stopped, "HttpTokens=required"),
        (InstanceState::ShuttingDown, "out-of-scope"),
        (InstanceState::Terminated, "out-of-scope"),
    ] {
        let decision = decide_with(tokens, &Instance { state, ..instance(&[]) }, None);
        assert_eq!(summary(&decision).0, expected, "{state}");
    }
    let managed = Instance { managed_by: Some("eks.amazonaws.com".to_owned()), ..instance(&[]) };
    let decision = decide_with(tokens, &managed, None);
    assert_eq!(decision.verdict.reasons()[0].to_string(), "the instance is managed by eks.amazonaws.com");
}

#[test]
fn reasons_name_the_part_of_the_policy() {
    let decision = decide_with(r#"{"baseline": {"HttpTokens": "required"}}"#, &instance(&[]), None);
    assert_eq!(decision.verdict.reasons()[0].to_string(), "baseline requires HttpTokens=required");
}

#[test]
fn rules_apply_in_order_and_only_where_every_condition_holds() {
    let policy = r#"{
      "baseline": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
      "rules": [
        {"name": "cluster", "when": {"tags": {"eks:cluster-name": "*"}}, "require": {"HttpPutResponseHopLimit": 2}},
        {"name": "three", "when": {"tags": {"eks:cluster-name": ["big-*", "huge"], "Env": "prod"}},
         "require": {"HttpPutResponseHopLimit": 3}},
        {"name": "elsewhere", "when": {"regions": "eu-*"}, "require": {"HttpEndpoint": "disabled"}},
        {"name": "others", "when": {"accounts": ["999999999999"]}, "require": {"HttpEndpoint": "disabled"}},
        {"name": "here", "when": {"accounts": "1111*", "regions": ["eu-*", "us-east-?"], "tags": {"Ipv6": ""}},
         "require": {"HttpProtocolIpv6": "enabled"}}
      ]}"#;
    let rows: &[(&[(&str, &str)], &str)] = &[
        (&[], "HttpTokens=required"),
        (&[("eks:cluster-name", "small")], "HttpTokens=required HttpPutResponseHopLimit=2"),
        (&[("EKS:cluster-name", "small")], "HttpTokens=required"),
        (&[("eks:cluster-name", "big-1")], "HttpTokens=required HttpPutResponseHopLimit=2"),
        (&[("eks:cluster-name", "big-1"), ("Env", "prod")], "HttpTokens=required HttpPutResponseHopLimit=3"),
        (&[("eks:cluster-name", "huge"), ("Env", "Prod")], "HttpTokens=required HttpPutResponseHopLimit=2"),
        (&[("Ipv6", "")], "HttpTokens=required HttpProtocolIpv6=enabled"),
        (&[("Ipv6", "yes")], "HttpTokens=required"),
    ];
    for (tags, expected) in rows {
        let decision = decide_with(policy, &tagged(&[], tags), None);
        assert_eq!(summary(&decision), ((*expected).to_owned(), vec![]), "{tags:?}");
    }
    let decision = decide_with(policy, &tagged(&[], &[("eks:cluster-name", "small")]), None);
    let reasons: Vec<String> = decision.verdict.reasons().iter().map(ToString::to_string).collect();
    assert_eq!(
        reasons,
        ["baseline requires HttpTokens=required", r#"rule "cluster" requires HttpPutResponseHopLimit=2"#]
    );
}

#[test]
fn an_exemption_holds_through_its_last_day_in_utc_and_not_a_second_longer() {
    let rule = r#"{"baseline": {"HttpTokens": "required"}, "rules": [
        {"name": "SEC-1", "exempt": {"until": "2026-03-31"}}, {"name": "later", "require": {"HttpEndpoint": "disabled"}}
    ]}"#;
    let tag = r#"{"baseline": {"HttpTokens": "required"}, "instanceTags": {"exemptions": {"maxDays": 90}}}"#;
    let by_tag = tagged(&[], &[("imds:ExemptUntil", "2026-03-31")]);
    let expired_rule = r#"rule "SEC-1" exempted it through 2026-03-31 and does so no longer"#;
    let expired_tag = r#"tag "imds:ExemptUntil" with value "2026-03-31" is ignored: the day is over"#;
    let rows = [
        ("rule", rule, &instance(&[]), "HttpEndpoint=disabled", expired_rule),
        ("tag", tag, &by_tag, "HttpTokens=required", expired_tag),
    ];
    for (name, policy, instance, otherwise, warning) in rows {
        for now in [
            NOW,
            datetime!(2026-03-31 23:59:59.999_999_999 UTC),
            // Midnight has passed there, but not in UTC.
            datetime!(2026-04-01 01:30 +2),
        ] {
            let decision = decide_at(policy, instance, None, now);
            assert_eq!(summary(&decision), ("exempt".to_owned(), vec![]), "{name} at {now}");
        }
        for now in [
            datetime!(9999-12-31 23:30 -1),
            datetime!(2026-04-01 00:00 UTC),
            datetime!(2026-03-31 22:30 -2),
            datetime!(2030-01-01 0:00 UTC),
        ] {
            let decision = decide_at(policy, instance, None, now);
            assert_eq!(
                summary(&decision),
                (otherwise.to_owned(), vec![warning.to_owned()]),
                "{name} at {now}"
            );
        }
    }
    let decision = decide_at(tag, &by_tag, None, NOW);
    assert_eq!(
        decision.verdict.reasons()[0].to_string(),
        "tag \"imds:ExemptUntil\" exempts it through 2026-03-31"
    );
}

#[test]
fn a_tag_exempts_only_where_and_as_long_as_the_policy_allows() {
    let allowed =
        r#"{"baseline": {"HttpTokens": "required"}, "instanceTags": {"exemptions": {"maxDays": 90}}}"#;
    let unnamed = r#"{"baseline": {"HttpTokens": "required"}}"#;
    let ignored =
        |value: &str, why: &str| format!("tag \"imds:ExemptUntil\" with value {value:?} is ignored: {why}");
    let rows = [
        (allowed, "2026-03-17", None),
        (allowed, "2026-06-15", None),
        (allowed, "2026-06-16", Some("the day is more than 90 days ahead, the most that the policy allows")),
        (allowed, "9999-12-31", Some("the day is more than 90 days ahead, the most that the policy allows")),
        (allowed, "2025-03-16", Some("the day is over")),
        (allowed, "2027-02-30", Some("it must be a date such as 2027-03-31")),
        (allowed, "soon", Some("it must be a date such as 2027-03-31")),
        (allowed, "", Some("it must be a date such as 2027-03-31")),
        (unnamed, "2026-03-18", Some("the policy has no instanceTags.exemptions")),
    ];
    for (policy, value, why) in rows {
        let decision = decide_with(policy, &tagged(&[], &[("imds:ExemptUntil", value)]), None);
        let expected = match why {
            None => ("exempt".to_owned(), vec![]),
            Some(why) => ("HttpTokens=required".to_owned(), vec![ignored(value, why)]),
        };
        assert_eq!(summary(&decision), expected, "{value:?} under {policy}");
    }
}

/// Policy, hop limit now, tag, the change, and why the tag is ignored if it is.
type TagRow<'a> = (&'a str, &'a str, (&'a str, &'a str), &'a str, Option<&'a str>);

#[test]
fn a_tag_chooses_within_the_room_that_the_policy_leaves() {
    let silent = "{}";
    let limit = |limit: &str| format!(r#"{{"baseline": {{"HttpPutResponseHopLimit": {limit}}}}}"#);
    let (exact, low, high, range) = (
        limit("2"),
        limit(r#"{"atLeast": 2}"#),
        limit(r#"{"atMost": 3}"#),
        limit(r#"{"atLeast": 2, "atMost": 4}"#),
    );
    let loosened = r#"{"baseline": {"HttpTokens": "optional"}}"#;
    let rows: &[TagRow<'_>] = &[
        (silent, "5", ("HttpTokens", "required"), "HttpTokens=required", None),
        (silent, "5", ("HttpTokens", "optional"), "compliant", None),
        (silent, "5", ("HttpPutResponseHopLimit", "4"), "HttpPutResponseHopLimit=4", None),
        (silent, "5", ("HttpPutResponseHopLimit", "5"), "compliant", None),
        (silent, "5", ("HttpPutResponseHopLimit", "6"), "compliant", Some("it is less strict than")),
        (silent, "5", ("HttpProtocolIpv6", "disabled"), "compliant", None),
        (silent, "5", ("HttpProtocolIpv6", "enabled"), "compliant", Some("it is less strict than")),
        (silent, "5", ("HttpEndpoint", "disabled"), "compliant", Some("HttpEndpoint is not taken from tags")),
        (silent, "5", ("HttpEndpoint", "enabled"), "compliant", Some("HttpEndpoint is not taken from tags")),
        (&exact, "2", ("HttpPutResponseHopLimit", "1"), "compliant", Some("baseline requires")),
        (&exact, "5", ("HttpPutResponseHopLimit", "2"), "HttpPutResponseHopLimit=2", None),
        (&low, "5", ("HttpPutResponseHopLimit", "3"), "HttpPutResponseHopLimit=3", None),
        (&low, "5", ("HttpPutResponseHopLimit", "1"), "compliant", Some("baseline requires")),
        (&low, "5", ("HttpPutResponseHopLimit", "6"), "compliant", Some("it is less strict than")),
        (&low, "1", ("HttpPutResponseHopLimit", "2"), "HttpPutResponseHopLimit=2", None),
        (
            &low,
            "1",
            ("HttpPutResponseHopLimit", "3"),
            "HttpPutResponseHopLimit=2",
            Some("it is less strict than"),
        ),
        (&high, "1", ("HttpPutResponseHopLimit", "3"), "HttpPutResponseHopLimit=3", None),
        (&high, "5", ("HttpPutResponseHopLimit", "1"), "HttpPutResponseHopLimit=1", None),
        (
            &high,
            "5",
            ("HttpPutResponseHopLimit", "4"),
            "HttpPutResponseHopLimit=3",
            Some("baseline requires"),
        ),
        (&range, "3", ("HttpPutResponseHopLimit", "4"), "HttpPutResponseHopLimit=4", None),
        (&range, "3", ("HttpPutResponseHopLimit", "5"), "compliant", Some("baseline requires")),
        (loosened, "5", ("HttpTokens", "required"), "HttpTokens=required", None),
    ];
    for (policy, now, (name, value), change, ignored) in rows {
        let (key, overrides) = (format!("imds:{name}"), [("HttpPutResponseHopLimit", *now)]);
        let decision = decide_with(policy, &tagged(&overrides, &[(&key, value)]), None);
        let row = format!("{key}={value} on hop limit {now} under {policy}");
        let (verdict, warnings) = summary(&decision);
        assert_eq!(verdict, *change, "{row}");
        match ignored {
            None => assert!(warnings.is_empty(), "{row}: {warnings:?}"),
            Some(why) => {
                let start = format!("tag {key:?} with value {value:?} is ignored: {why}");
                assert!(warnings.len() == 1 && warnings[0].starts_with(&start), "{row}: {warnings:?}");
            }
        }
    }
}

#[test]
fn authority_says_how_far_tags_are_obeyed() {
    let tags = [("imds:HttpTokens", "optional"), ("imds:HttpEndpoint", "disabled"), ("imds:Nonsense", "x")];
    let instance = tagged(&[("HttpTokens", "required")], &tags);
    let policy =
        |authority| format!(r#"{{"baseline": {{"HttpTokens": "required"}}, "instanceTags": {authority}}}"#);
    let rows = [
        (r#"{"authority": "none"}"#, "compliant", 0),
        ("{}", "compliant", 3),
        (r#"{"authority": "tighten"}"#, "compliant", 3),
        (r#"{"authority": "loosen"}"#, "HttpEndpoint=disabled", 1),
        (r#"{"authority": "loosen", "prefix": "IMDS:"}"#, "compliant", 0),
    ];
    for (authority, verdict, warnings) in rows {
        let summary = summary(&decide_with(&policy(authority), &instance, None));
        assert_eq!((summary.0.as_str(), summary.1.len()), (verdict, warnings), "{authority}");
    }
    let only_tokens = tagged(&[("HttpTokens", "required")], &[("imds:HttpTokens", "optional")]);
    let decision = decide_with(&policy(r#"{"authority": "loosen"}"#), &only_tokens, None);
    assert_eq!(summary(&decision), ("HttpTokens=optional".to_owned(), vec![]));
}

#[test]
fn hostile_tags_are_ignored_and_named() {
    let policy =
        r#"{"baseline": {"HttpTokens": "required"}, "instanceTags": {"exemptions": {"maxDays": 90}}}"#;
    let long = "v".repeat(256);
    let mut tags: Vec<(String, String)> = vec![
        ("imds:HttpTokens".into(), "Required".into()),
        ("imds:httptokens".into(), "required".into()),
        ("imds:".into(), "x".into()),
        ("imds:HttpTokens ".into(), "optional".into()),
        ("imds:\u{202e}\n{\"outcome\":\"enforced\"}".into(), "\u{1b}[31m".into()),
        ("imds:Long".into(), long.clone()),
    ];
    tags.extend((0..44).map(|number| (format!("imds:Unknown{number}"), "x".into())));
    let borrowed: Vec<(&str, &str)> =
        tags.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let (verdict, warnings) = summary(&decide_with(policy, &tagged(&[], &borrowed), None));
    assert_eq!(verdict, "HttpTokens=required");
    assert_eq!(warnings.len(), 50, "each is warned about");
    for (key, _) in &tags {
        assert!(warnings.iter().any(|warning| warning.contains(&format!("{key:?}"))), "{key:?}");
    }
    assert!(
        !warnings.iter().any(|warning| warning.chars().any(char::is_control)),
        "control characters are escaped"
    );
    assert!(!warnings.iter().any(|warning| warning.contains(&long)), "long values are cut");

    for value in ["0", "65", "-1", "2.0", " 2", "２", "", "+2", "02", "2\0"] {
        let instance = tagged(&[], &[("imds:HttpPutResponseHopLimit", value)]);
        let (verdict, warnings) = summary(&decide_with(policy, &instance, None));
        assert_eq!(verdict, "HttpTokens=required", "{value:?}");
        let expected = format!(
            "tag \"imds:HttpPutResponseHopLimit\" with value {value:?} is ignored: HttpPutResponseHopLimit must be a \
             whole number from 1 to 64"
        );
        assert_eq!(warnings, [expected], "{value:?}");
    }
}
