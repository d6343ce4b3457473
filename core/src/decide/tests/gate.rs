//! The usage gate.

use super::*;
use crate::usage::Usage;
use time::Duration;
use time::macros::date;

const GATED: &str = r#"{"baseline": {"HttpTokens": "required"}, "usageGate": {}}"#;

/// What is known of an instance that first ran a year ago.
#[derive(Clone)]
struct Known<'a> {
    policy: &'a str,
    instance: Instance,
    is_launch: bool,
    usage: Option<Usage>,
    group: Option<GroupUse>,
    now: OffsetDateTime,
}

impl Known<'_> {
    fn decided(&self) -> Decision {
        let account = AccountId::new("111122223333").unwrap();
        let region = Region::new("us-east-1").unwrap();
        let facts = Facts {
            account: &account,
            region: &region,
            instance: &self.instance,
            tokens_enforced: None,
            is_launch: self.is_launch,
            usage: self.usage.as_ref(),
            group: self.group.as_ref(),
        };
        decide(&Policy::parse(self.policy).unwrap(), &facts, self.now)
    }

    fn summary(&self) -> String {
        summary(&self.decided()).0
    }

    /// Why `HttpTokens=required` is held back.
    fn held_back(&self) -> Option<String> {
        let decision = self.decided();
        let why = decision.verdict.reasons().iter().find(|reason| matches!(reason, Reason::HeldBack(_)));
        assert_eq!(why.is_some(), decision.verdict.held_back().is_some(), "{decision:?}");
        why.map(ToString::to_string)
    }
}

fn known(policy: &str) -> Known<'_> {
    let instance = Instance { first_ran: Some(NOW - Duration::days(365)), ..instance(&[]) };
    Known { policy, instance, is_launch: false, usage: None, group: None, now: NOW }
}

/// The days before today on which there are data, each with its calls.
fn days(calls: &[(i64, u64)]) -> Option<Usage> {
    Some(Usage::Days(calls.iter().map(|(ago, calls)| (NOW.date() - Duration::days(*ago), *calls)).collect()))
}

/// Days without calls, from today on backwards.
fn quiet(number: i64) -> Vec<(i64, u64)> {
    (0..number).map(|ago| (ago, 0)).collect()
}

#[test]
fn only_the_end_of_imdsv1_is_gated() {
    let needs = "needs Usage { since: 2026-03-03 }";
    let tags = r#"{"baseline": {"HttpPutResponseHopLimit": 2}, "usageGate": {}}"#;
    let on = r#"{"baseline": {"HttpTokens": "required", "HttpEndpoint": "enabled"}, "usageGate": {}}"#;
    let off = r#"{"baseline": {"HttpTokens": "required", "HttpEndpoint": "disabled"}, "usageGate": {}}"#;
    let optional = r#"{"baseline": {"HttpTokens": "optional"}, "usageGate": {}}"#;
    let others = r#"{"baseline": {"HttpPutResponseHopLimit": 2, "HttpProtocolIpv6": "enabled",
        "InstanceMetadataTags": "enabled"}, "usageGate": {}}"#;
    let (disabled, required) = (("HttpEndpoint", "disabled"), ("HttpTokens", "required"));
    let rows: &[(&str, Pairs<'_>, Pairs<'_>, &str)] = &[
        (GATED, &[], &[], needs),
        (GATED, &[required], &[], "compliant"),
        (GATED, &[disabled], &[], "compliant"),
        (on, &[], &[], needs),
        (on, &[disabled], &[], "HttpTokens=required HttpEndpoint=enabled"),
        (off, &[], &[], "HttpEndpoint=disabled"),
        (optional, &[required], &[], "HttpTokens=optional"),
        (others, &[], &[], "HttpPutResponseHopLimit=2 HttpProtocolIpv6=enabled InstanceMetadataTags=enabled"),
        // A tag that requires tokens is gated as well.
        (tags, &[], &[("imds:HttpTokens", "required")], needs),
        (GATED, &[], &[("imds:HttpTokens", "optional")], needs),
    ];
    for (policy, overrides, tags, expected) in rows {
        let mut known = known(policy);
        let given = tagged(overrides, tags);
        known.instance = Instance { first_ran: known.instance.first_ran, ..given };
        assert_eq!(known.summary(), *expected, "{policy} on {overrides:?} {tags:?}");
        if *expected == needs {
            known.policy = r#"{"baseline": {"HttpTokens": "required"}}"#;
            assert_eq!(known.summary(), "HttpTokens=required", "no gate: {overrides:?}");
        }
    }
}

#[test]
fn a_new_instance_has_no_history() {
    let since = |day: &str| format!("needs Usage {{ since: {day} }}");
    let change = "HttpTokens=required";
    let rows = [
        // Clocks differ, and a sweep takes time. What is further ahead is not known.
        (Some(Duration::hours(-1)), false, change.to_owned()),
        (Some(Duration::hours(-1) - Duration::seconds(1)), false, since("2026-03-03")),
        (Some(Duration::days(-400)), true, since("2026-03-03")),
        (Some(Duration::minutes(60)), false, change.to_owned()),
        (Some(Duration::minutes(60) + Duration::seconds(1)), false, since("2026-03-16")),
        (Some(Duration::hours(6)), true, change.to_owned()),
        (Some(Duration::hours(6) + Duration::seconds(1)), true, since("2026-03-16")),
        (Some(Duration::days(3)), false, since("2026-03-14")),
        (Some(Duration::days(14)), false, since("2026-03-03")),
        (Some(Duration::days(400)), false, since("2026-03-03")),
        (None, false, since("2026-03-03")),
        (None, true, since("2026-03-03")),
    ];
    for (age, is_launch, expected) in rows {
        let mut known = Known { is_launch, ..known(GATED) };
        known.instance.first_ran = age.map(|age| NOW - age);
        // A stop and start renews the launch time.
        known.instance.launched = Some(NOW);
        assert_eq!(known.summary(), expected, "{age:?}, launch: {is_launch}");
    }
}

#[test]
fn calls_and_too_little_data_hold_back_and_nothing_else_does() {
    let gate =
        |gate: &str| format!(r#"{{"baseline": {{"HttpTokens": "required"}}, "usageGate": {{{gate}}}}}"#);
    let (standard, open) = (gate(""), gate(r#""onUnknown": "enforce""#));
    let (tolerant, single) = (gate(r#""toleratedCalls": 5"#), gate(r#""lookbackDays": 1, "minDays": 1"#));
    let calls = |calls: &str| Some(format!("HttpTokens=required is held back: {calls}"));
    let with = |number, more: &[(i64, u64)]| days(&[&quiet(number), more].concat());
    let refused = Some(Usage::Refused("Forbidden: no".to_owned()));
    let rows = [
        (&standard, with(15, &[]), None),
        (&standard, with(7, &[]), None),
        (&standard, with(6, &[]), calls("observed on 6 of 7 days")),
        (&standard, with(0, &[]), calls("observed on 0 of 7 days")),
        (
            &standard,
            with(15, &[(5, 1200), (2, 4)]),
            calls("1,204 calls without a token in 14 days, the last on 2026-03-15"),
        ),
        (&standard, with(0, &[(14, 1)]), calls("1 call without a token in 14 days, the last on 2026-03-03")),
        // Before the lookback.
        (&standard, with(14, &[(15, 9)]), None),
        (&open, with(0, &[]), None),
        (&open, with(0, &[(0, 1)]), calls("1 call without a token in 14 days, the last on 2026-03-17")),
        (
            &open,
            refused.clone(),
            calls("CloudWatch refused to say whether the instance makes calls without a token"),
        ),
        (
            &standard,
            refused,
            calls("CloudWatch refused to say whether the instance makes calls without a token"),
        ),
        (&tolerant, with(15, &[(1, 5)]), None),
        (&tolerant, with(15, &[(1, 6)]), calls("6 calls without a token in 14 days, the last on 2026-03-16")),
        (&tolerant, with(0, &[(1, 5)]), calls("observed on 1 of 7 days")),
        (&single, with(1, &[]), None),
        (
            &single,
            with(0, &[(0, u64::MAX), (1, 1)]),
            calls("18,446,744,073,709,551,615 calls without a token in 1 day, the last on 2026-03-17"),
        ),
    ];
    for (policy, usage, expected) in rows {
        let known = Known { usage: usage.clone(), ..known(policy) };
        assert_eq!(known.held_back(), expected, "{usage:?} under {policy}");
        let verdict = if expected.is_some() { "in-use" } else { "HttpTokens=required" };
        assert_eq!(known.summary(), verdict, "{usage:?} under {policy}");
    }
}

#[test]
fn a_refusal_has_a_warning_and_the_use_is_told() {
    let text = "Forbidden: no\u{202e}";
    let refused = Known { usage: Some(Usage::Refused(text.to_owned())), ..known(GATED) }.decided();
    let warning = r"the permission cloudwatch:GetMetricData is missing: Forbidden: no\u{202e}";
    assert_eq!(summary(&refused).1, [warning]);
    assert_eq!(refused.usage, None);
    for (calls, last_day) in [(0, None), (3, Some(date!(2026 - 03 - 16)))] {
        let usage = days(&[&quiet(15)[..], &[(1, calls)]].concat());
        let found = Known { usage, ..known(GATED) }.decided().usage.unwrap();
        assert_eq!((found.calls, found.last_day, found.days), (calls, last_day, 14));
    }
}

#[test]
fn what_is_held_back_is_left_out_and_the_rest_is_sent() {
    let policy = r#"{"baseline": {"HttpTokens": "required", "HttpPutResponseHopLimit": 2}, "usageGate": {}}"#;
    let held = Known { usage: days(&[(0, 1)]), ..known(policy) };
    let decision = held.decided();
    assert_eq!(summary(&decision), ("HttpPutResponseHopLimit=2".to_owned(), vec![]));
    let reasons: Vec<String> = decision.verdict.reasons().iter().map(ToString::to_string).collect();
    assert_eq!(
        reasons,
        [
            "baseline requires HttpPutResponseHopLimit=2",
            "HttpTokens=required is held back: 1 call without a token in 14 days, the last on 2026-03-17"
        ]
    );
    // What EC2 would refuse is left out as well.
    let metadata_tags =
        r#"{"baseline": {"HttpTokens": "required", "InstanceMetadataTags": "enabled"}, "usageGate": {}}"#;
    let mut held = Known { policy: metadata_tags, ..held };
    held.instance.tags.insert("a/b".to_owned(), String::new());
    let (verdict, warnings) = summary(&held.decided());
    assert_eq!((verdict.as_str(), warnings.len()), ("in-use", 1), "{warnings:?}");
}

#[test]
fn a_gate_holds_through_its_last_day_and_the_last_match_wins() {
    let policy = r#"{"baseline": {"HttpTokens": "required"}, "usageGate": {"until": "2026-03-31"},
        "limits": {"changesPerSweep": 200}}"#;
    let held = Known { usage: days(&[(0, 1)]), ..known(policy) };
    for (now, expected) in [
        (datetime!(2026-03-31 23:59:59 UTC), "in-use"),
        (datetime!(2026-04-01 01:30 +2), "in-use"),
        (datetime!(2026-04-01 00:00 UTC), "HttpTokens=required"),
    ] {
        assert_eq!(Known { now, ..held.clone() }.summary(), expected, "{now}");
    }
    let rules = |default: &str, rules: &str| {
        format!(
            r#"{{"baseline": {{"HttpTokens": "required"}}, {default} "rules": [{rules}],
                "limits": {{"changesPerSweep": 200}}}}"#
        )
    };
    let gate = r#""usageGate": {},"#;
    let rule = |name: &str, when: &str, gate: &str| {
        format!(r#"{{"name": "{name}", "when": {{{when}}}, "usageGate": {gate}}}"#)
    };
    let (here, there) = (r#""regions": "us-*""#, r#""regions": "eu-*""#);
    let open = rule("a", here, "false");
    let rows = [
        (rules(gate, &open), "HttpTokens=required"),
        (rules(gate, &rule("a", there, "false")), "in-use"),
        (rules(gate, &[open.clone(), rule("b", here, "{}")].join(", ")), "in-use"),
        (rules(gate, &[rule("b", here, "{}"), open].join(", ")), "HttpTokens=required"),
        (rules("", &rule("a", here, "{}")), "in-use"),
        (rules("", &rule("a", there, "{}")), "HttpTokens=required"),
        (rules(gate, &rule("a", here, r#"{"toleratedCalls": 1, "minDays": 1}"#)), "HttpTokens=required"),
        // The gate of the rule has ended, and is the one that applies.
        (rules(gate, &rule("a", here, r#"{"until": "2026-03-16"}"#)), "HttpTokens=required"),
    ];
    for (policy, expected) in rows {
        assert_eq!(Known { policy: &policy, ..held.clone() }.summary(), expected, "{policy}");
    }
}

#[test]
fn a_launch_follows_its_group() {
    let sibling = InstanceId::new("i-00000001").unwrap();
    let why = HeldBack::UsageRefused { why: "Forbidden: no".to_owned() };
    let held = Some(GroupUse::HeldBack { instance: sibling, why });
    let enforce = r#"{"baseline": {"HttpTokens": "required"}, "usageGate": {"launches": "enforce"}}"#;
    let (scaling, template) = (("aws:autoscaling:groupName", "web"), ("aws:ec2launchtemplate:id", "lt-1"));
    let group = |kind: &str, id: &str| format!("needs Group(Group {{ kind: {kind}, id: {id:?} }})");
    let change = "HttpTokens=required".to_owned();
    let rows: [(&str, Pairs<'_>, Option<GroupUse>, String); 8] = [
        (GATED, &[], None, change.clone()),
        (GATED, &[scaling], None, group("AutoScalingGroup", "web")),
        (GATED, &[template], None, group("LaunchTemplate", "lt-1")),
        (GATED, &[template, scaling], None, group("AutoScalingGroup", "web")),
        (GATED, &[scaling], Some(GroupUse::Free), change.clone()),
        (GATED, &[scaling], held.clone(), "in-use".to_owned()),
        (enforce, &[scaling], None, change.clone()),
        (enforce, &[scaling], held.clone(), change),
    ];
    for (policy, tags, group, expected) in rows {
        let instance = Instance { first_ran: Some(NOW), ..tagged(&[], tags) };
        let known = Known { policy, instance, is_launch: true, group, ..known(policy) };
        assert_eq!(known.summary(), expected, "{tags:?} under {policy}");
    }
    let instance = Instance { first_ran: Some(NOW), ..tagged(&[], &[scaling]) };
    let known = Known { instance, group: held, ..known(GATED) };
    let expected = "HttpTokens=required is held back: instance i-00000001 of the same Auto Scaling group \"web\" is held \
                    back (CloudWatch refused to say whether the instance makes calls without a token)";
    assert_eq!(known.held_back().as_deref(), Some(expected));
    assert_eq!(
        summary(&known.decided()).1,
        ["the permission cloudwatch:GetMetricData is missing: Forbidden: no"]
    );
}
