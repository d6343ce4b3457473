//! What EC2 did not report is not decided.

use super::*;

/// An instance without these options; `State.Name` removes its state.
fn without(missing: &[&str], overrides: Pairs<'_>, tags: Pairs<'_>) -> Instance {
    let mut instance = tagged(overrides, tags);
    if missing.contains(&"State.Name") {
        instance.state = None;
    }
    let is_known = |value: &crate::metadata::OptionValue| !missing.contains(&value.name().as_str());
    instance.options = instance.options.iter().filter(is_known).collect();
    instance
}

const ALL: &[&str] =
    &["HttpTokens", "HttpEndpoint", "HttpPutResponseHopLimit", "HttpProtocolIpv6", "InstanceMetadataTags"];

#[test]
fn what_ec2_did_not_report_is_neither_met_nor_unmet() {
    let tokens = r#"{"baseline": {"HttpTokens": "required"}}"#;
    let hops = r#"{"baseline": {"HttpTokens": "required", "HttpPutResponseHopLimit": {"atMost": 2}}}"#;
    let exact = r#"{"baseline": {"HttpPutResponseHopLimit": 2}}"#;
    let on = r#"{"baseline": {"HttpTokens": "required", "HttpEndpoint": "enabled"}}"#;
    let off = r#"{"baseline": {"HttpTokens": "required", "HttpEndpoint": "disabled"}}"#;
    let all = r#"{"baseline": {"HttpTokens": "required", "HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 1,
        "HttpProtocolIpv6": "disabled", "InstanceMetadataTags": "disabled"}}"#;
    let (disabled, required) = (("HttpEndpoint", "disabled"), ("HttpTokens", "required"));
    let every_option = "incomplete: MetadataOptions.HttpTokens, MetadataOptions.HttpEndpoint, \
        MetadataOptions.HttpPutResponseHopLimit, MetadataOptions.HttpProtocolIpv6, \
        MetadataOptions.InstanceMetadataTags";
    let rows: &[(&str, &[&str], Pairs<'_>, &str)] = &[
        (tokens, &["State.Name"], &[], "incomplete: State.Name"),
        (tokens, &["State.Name"], &[required], "incomplete: State.Name"),
        ("{}", &["State.Name"], &[], "incomplete: State.Name"),
        (tokens, &["HttpTokens"], &[], "incomplete: MetadataOptions.HttpTokens"),
        (tokens, &["State.Name", "HttpTokens"], &[], "incomplete: State.Name, MetadataOptions.HttpTokens"),
        (tokens, &["HttpPutResponseHopLimit", "HttpProtocolIpv6"], &[], "HttpTokens=required"),
        // An EKS node must not lose its second hop.
        (hops, &["HttpPutResponseHopLimit"], &[], "incomplete: MetadataOptions.HttpPutResponseHopLimit"),
        (exact, &["HttpPutResponseHopLimit"], &[], "incomplete: MetadataOptions.HttpPutResponseHopLimit"),
        ("{}", ALL, &[], "compliant"),
        (tokens, ALL, &[], "incomplete: MetadataOptions.HttpTokens"),
        (all, ALL, &[], every_option),
        // moto omits HttpEndpoint at times.
        (tokens, &["HttpEndpoint"], &[], "HttpTokens=required"),
        (on, &["HttpEndpoint"], &[], "incomplete: MetadataOptions.HttpEndpoint"),
        (off, &["HttpEndpoint"], &[], "incomplete: MetadataOptions.HttpEndpoint"),
        // With IMDS off, the other options are not needed.
        (tokens, &["HttpTokens"], &[disabled], "compliant"),
        (off, &["HttpTokens"], &[disabled], "compliant"),
        (off, &["HttpTokens"], &[], "HttpEndpoint=disabled"),
        (on, &["HttpTokens"], &[disabled], "incomplete: MetadataOptions.HttpTokens"),
    ];
    for (policy, missing, overrides, expected) in rows {
        let decision = decide_with(policy, &without(missing, overrides, &[]), None);
        assert_eq!(summary(&decision).0, *expected, "{policy} without {missing:?}, {overrides:?}");
    }
}

#[test]
fn an_instance_that_is_left_alone_needs_no_options() {
    let rule = r#"{"baseline": {"HttpTokens": "required"}, "rules": [
        {"name": "a", "when": {"tags": {"App": "*"}}, "exempt": {"until": "2027-01-01"}}],
        "instanceTags": {"exemptions": {"maxDays": 90}}}"#;
    let state = &[ALL, &["State.Name"]].concat()[..];
    let rows: &[(&[&str], Pairs<'_>, &str)] = &[
        (ALL, &[("App", "x")], "exempt"),
        (ALL, &[("imds:ExemptUntil", "2026-04-01")], "exempt"),
        (state, &[("App", "x")], "incomplete: State.Name"),
        (state, &[], "incomplete: State.Name, MetadataOptions.HttpTokens"),
    ];
    for (missing, tags, expected) in rows {
        let decision = decide_with(rule, &without(missing, &[], tags), None);
        assert_eq!(summary(&decision).0, *expected, "{tags:?} without {missing:?}");
    }
    let terminated = Instance { state: Some(InstanceState::Terminated), ..without(ALL, &[], &[]) };
    assert_eq!(summary(&decide_with(rule, &terminated, None)).0, "out-of-scope");
    let managed = Instance { managed_by: Some("eks".to_owned()), ..without(state, &[], &[]) };
    assert_eq!(summary(&decide_with(rule, &managed, None)).0, "out-of-scope");
}

#[test]
fn a_tag_that_the_policy_accepts_needs_the_present_value_and_another_holds_nothing_back() {
    let hops = ["HttpPutResponseHopLimit"];
    let tokens = r#"{"baseline": {"HttpTokens": "required"}}"#;
    let loosen = r#"{"baseline": {"HttpTokens": "required"}, "instanceTags": {"authority": "loosen"}}"#;
    let limit = r#"{"baseline": {"HttpPutResponseHopLimit": {"atMost": 2}}}"#;
    let needed = "incomplete: MetadataOptions.HttpPutResponseHopLimit";
    let rows = [
        ("{}", ["HttpTokens"], ("imds:HttpTokens", "required"), "incomplete: MetadataOptions.HttpTokens", 0),
        // Whoever sets this tag must not keep the instance on IMDSv1.
        (tokens, hops, ("imds:HttpPutResponseHopLimit", "1"), "HttpTokens=required", 1),
        (limit, hops, ("imds:HttpPutResponseHopLimit", "1"), needed, 1),
        (loosen, hops, ("imds:HttpPutResponseHopLimit", "1"), needed, 0),
    ];
    for (policy, missing, tag, expected, warnings) in rows {
        let (verdict, all) = summary(&decide_with(policy, &without(&missing, &[], &[tag]), None));
        assert_eq!((verdict.as_str(), all.len()), (expected, warnings), "{tag:?} under {policy}: {all:?}");
    }
}
