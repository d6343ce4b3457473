//! Exemptions, and what tags may set.

use super::*;

#[test]
fn an_exemption_is_active_exactly_through_its_last_day_in_utc() {
    let rule = r#"{"baseline": {"HttpTokens": "required"}, "rules": [
        {"name": "SEC-1", "when": {"regions": "us-*"}, "exempt": {"until": "2026-03-31"}}, {"name": "later", "require": {"HttpEndpoint": "disabled"}}
    ]}"#;
    let tag = r#"{"baseline": {"HttpTokens": "required"}, "instanceTags": {"exemptions": {"maxDays": 90}}}"#;
    let by_tag = tagged(&[], &[("imds:ExemptUntil", "2026-03-31")]);
    let expired_rule = r#"the exemption in rule "SEC-1" expired after 2026-03-31"#;
    let expired_tag = r#"tag "imds:ExemptUntil" with value "2026-03-31" is ignored: the day has passed"#;
    let rows = [
        ("rule", rule, &instance(&[]), "HttpEndpoint=disabled", expired_rule),
        ("tag", tag, &by_tag, "HttpTokens=required", expired_tag),
    ];
    for (name, policy, instance, otherwise, warning) in rows {
        for now in [
            NOW,
            datetime!(2026-03-31 23:59:59.999_999_999 UTC),
            // After midnight at this offset, but not in UTC.
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
        "tag \"imds:ExemptUntil\" exempts the instance through 2026-03-31"
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
        (
            allowed,
            "2026-06-16",
            Some("the day is more than 90 days ahead, the maximum that the policy allows"),
        ),
        (
            allowed,
            "9999-12-31",
            Some("the day is more than 90 days ahead, the maximum that the policy allows"),
        ),
        (allowed, "2025-03-16", Some("the day has passed")),
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

#[test]
fn a_tag_exempts_no_longer_than_the_policy_allows_after_the_first_run() {
    let policy = r#"{"baseline": {"HttpTokens": "required"},
        "instanceTags": {"exemptions": {"maxDays": 90, "maxAgeDays": 100}}}"#;
    let too_old =
        "the instance first ran on 2025-12-06, more than 100 days ago, the maximum that the policy allows";
    let unknown = "the policy allows it for 100 days after the instance first ran, and EC2 did not report when that \
                   was (AttachTime of the primary network interface)";
    let rows = [
        (Some(datetime!(2026-03-17 00:00 UTC)), Ok("2026-04-30")),
        (Some(datetime!(2026-01-10 12:00 UTC)), Ok("2026-04-20")),
        (Some(datetime!(2025-12-07 23:59 UTC)), Ok("2026-03-17")),
        (Some(datetime!(2025-12-08 01:00 +2)), Ok("2026-03-17")),
        (Some(datetime!(2025-12-06 23:59 UTC)), Err(too_old)),
        // The clocks of EC2 and Lambda may differ.
        (Some(datetime!(2026-03-17 00:05 UTC)), Ok("2026-04-30")),
        (None, Err(unknown)),
    ];
    for (first_ran, expected) in rows {
        let instance = Instance { first_ran, ..tagged(&[], &[("imds:ExemptUntil", "2026-04-30")]) };
        let decision = decide_with(policy, &instance, None);
        let (verdict, warnings) = summary(&decision);
        match expected {
            Ok(until) => {
                let reason = format!("tag \"imds:ExemptUntil\" exempts the instance through {until}");
                assert_eq!(decision.verdict.reasons()[0].to_string(), reason, "{first_ran:?}");
                assert_eq!((verdict.as_str(), warnings.len()), ("exempt", 0), "{first_ran:?}");
            }
            Err(why) => {
                let warning = format!("tag \"imds:ExemptUntil\" with value \"2026-04-30\" is ignored: {why}");
                assert_eq!(
                    (verdict.as_str(), warnings),
                    ("HttpTokens=required", vec![warning]),
                    "{first_ran:?}"
                );
            }
        }
    }
}

/// The policy, the present hop limit, the tag, the change, and why the tag is ignored, if it is.
type TagRow<'a> = (&'a str, &'a str, (&'a str, &'a str), &'a str, Option<&'a str>);

#[test]
fn a_tag_sets_only_what_the_policy_allows() {
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
        (silent, "5", ("HttpEndpoint", "disabled"), "compliant", Some("HttpEndpoint cannot be set by a tag")),
        (silent, "5", ("HttpEndpoint", "enabled"), "compliant", Some("HttpEndpoint cannot be set by a tag")),
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
        (
            &high,
            "1",
            ("HttpPutResponseHopLimit", "3"),
            "compliant",
            Some("it is less strict than HttpPutResponseHopLimit=1, which applies without the tag"),
        ),
        (&high, "3", ("HttpPutResponseHopLimit", "2"), "HttpPutResponseHopLimit=2", None),
        (&high, "5", ("HttpPutResponseHopLimit", "3"), "HttpPutResponseHopLimit=3", None),
        (&high, "5", ("HttpPutResponseHopLimit", "1"), "HttpPutResponseHopLimit=1", None),
        (
            &high,
            "5",
            ("HttpPutResponseHopLimit", "4"),
            "HttpPutResponseHopLimit=3",
            Some("baseline requires"),
        ),
        (&range, "3", ("HttpPutResponseHopLimit", "4"), "compliant", Some("it is less strict than")),
        (&range, "3", ("HttpPutResponseHopLimit", "2"), "HttpPutResponseHopLimit=2", None),
        (&range, "3", ("HttpPutResponseHopLimit", "1"), "compliant", Some("baseline requires")),
        (
            &range,
            "1",
            ("HttpPutResponseHopLimit", "3"),
            "HttpPutResponseHopLimit=2",
            Some("it is less strict than"),
        ),
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
fn authority_determines_what_tags_may_set() {
    let tags = [("imds:HttpTokens", "optional"), ("imds:HttpEndpoint", "disabled"), ("imds:Nonsense", "x")];
    let instance = tagged(&[("HttpTokens", "required")], &tags);
    let policy =
        |authority| format!(r#"{{"baseline": {{"HttpTokens": "required"}}, "instanceTags": {authority}}}"#);
    let rows = [
        (r#"{"authority": "none"}"#, "compliant", 0),
        ("{}", "compliant", 3),
        (r#"{"authority": "tighten"}"#, "compliant", 3),
        (r#"{"authority": "loosen"}"#, "HttpTokens=optional", 2),
        (r#"{"authority": "loosen", "options": ["HttpEndpoint"]}"#, "HttpEndpoint=disabled", 2),
        (r#"{"authority": "loosen", "options": ["HttpEndpoint", "HttpTokens"]}"#, "HttpEndpoint=disabled", 1),
        (r#"{"authority": "loosen", "options": []}"#, "compliant", 3),
        (r#"{"options": []}"#, "compliant", 3),
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
fn a_tag_sets_only_what_the_policy_lists() {
    let not_listed = "the policy does not list the option in instanceTags.options";
    let endpoint = "HttpEndpoint cannot be set by a tag; use a rule";
    let hops = r#"{"options": ["HttpPutResponseHopLimit"]}"#;
    let loosen = r#"{"authority": "loosen"}"#;
    let rows = [
        (hops, ("HttpTokens", "required"), "compliant", Some(not_listed)),
        (hops, ("HttpEndpoint", "disabled"), "compliant", Some(endpoint)),
        (hops, ("HttpPutResponseHopLimit", "1"), "HttpPutResponseHopLimit=1", None),
        (hops, ("HttpTokens", "on"), "compliant", Some("HttpTokens must be required or optional")),
        (loosen, ("HttpEndpoint", "disabled"), "compliant", Some(not_listed)),
        (r#"{"options": []}"#, ("HttpTokens", "required"), "compliant", Some(not_listed)),
        (r#"{"options": [], "exemptions": {"maxDays": 90}}"#, ("ExemptUntil", "2026-04-01"), "exempt", None),
    ];
    for (rules, (name, value), verdict, ignored) in rows {
        let (policy, key) = (format!(r#"{{"instanceTags": {rules}}}"#), format!("imds:{name}"));
        let instance = tagged(&[("HttpPutResponseHopLimit", "2")], &[(&key, value)]);
        let warning = ignored.map(|why| format!("tag {key:?} with value {value:?} is ignored: {why}"));
        let expected = (verdict.to_owned(), warning.into_iter().collect());
        assert_eq!(summary(&decide_with(&policy, &instance, None)), expected, "{key}={value} under {rules}");
    }
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
    assert_eq!(warnings.len(), 50, "each has a warning");
    for (key, _) in &tags {
        assert!(warnings.iter().any(|warning| warning.contains(&format!("{key:?}"))), "{key:?}");
    }
    assert!(
        !warnings.iter().any(|warning| warning.chars().any(char::is_control)),
        "control characters are escaped"
    );
    assert!(!warnings.iter().any(|warning| warning.contains(&long)), "long values are truncated");

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
