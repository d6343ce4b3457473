//! Tables of instances and the decisions about them.

mod gate;
mod incomplete;
mod owners;
mod staged;
mod tags;

use super::*;
use crate::ids::InstanceId;
use crate::ids::{AccountId, Region};
use crate::instance::InstanceState;
use crate::metadata::{OptionName, metadata_can_carry};
use std::collections::BTreeMap;
use time::macros::datetime;

/// An instance with all five options: the IMDSv1 defaults, replaced by `overrides`.
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
        state: Some(InstanceState::Running),
        tags: BTreeMap::new(),
        options: defaults.iter().chain(overrides).map(value).collect(),
        options_state: None,
        owner: None,
        launched: None,
        image: None,
        first_ran: None,
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
    let facts = Facts {
        account: &account,
        region: &region,
        instance,
        tokens_enforced,
        is_launch: false,
        usage: None,
        group: None,
    };
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
        Verdict::InUse { .. } => "in-use".to_owned(),
        Verdict::NeedsUsage(needed) => format!("needs {needed:?}"),
        Verdict::Incomplete { missing } => {
            let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
            format!("incomplete: {}", names.join(", "))
        }
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
        (
            "hop limit without a requirement",
            tokens,
            &[("HttpPutResponseHopLimit", "3")],
            "HttpTokens=required",
        ),
        // Cloud Custodian combines its filters with AND and would skip this instance.
        ("only one of two differs", tokens_and_hop, &[], "HttpTokens=required"),
        (
            "the other of two differs",
            tokens_and_hop,
            &[v2, ("HttpPutResponseHopLimit", "2")],
            "HttpPutResponseHopLimit=1",
        ),
        ("limit within its range", range, &[("HttpPutResponseHopLimit", "2")], "compliant"),
        ("limit above its range", range, &[("HttpPutResponseHopLimit", "3")], "HttpPutResponseHopLimit=2"),
        ("nothing required", "{}", &[], "compliant"),
        // Other tools send HttpEndpoint=enabled with every change.
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
fn terminating_and_managed_instances_are_out_of_scope() {
    let tokens = r#"{"baseline": {"HttpTokens": "required"}}"#;
    for (state, expected) in [
        (InstanceState::Pending, "HttpTokens=required"),
        (InstanceState::Stopping, "HttpTokens=required"),
        (InstanceState::Stopped, "HttpTokens=required"),
        (InstanceState::ShuttingDown, "out-of-scope"),
        (InstanceState::Terminated, "out-of-scope"),
    ] {
        let decision = decide_with(tokens, &Instance { state: Some(state), ..instance(&[]) }, None);
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
