//! What `imdsctl policy check` warns of.

use super::*;

/// The warnings about a document, each with its place, and cut where the advice begins.
pub(super) fn warnings(document: &str) -> Vec<String> {
    warnings_at(document, NOW)
}

pub(super) fn warnings_at(document: &str, now: OffsetDateTime) -> Vec<String> {
    let policy = Policy::parse(document).unwrap_or_else(|errors| panic!("{document}: {errors}"));
    let short = |warning: PolicyWarning| {
        let PolicyWarning { place, problem } = warning;
        format!("{place}: {}", problem.split(": ").next().unwrap_or_default())
    };
    policy.warnings(now).into_iter().map(short).collect()
}

/// The warning about a policy that requires tokens and has no usage gate.
const NO_GATE: &str = "usageGate: there is no usage gate, so HttpTokens=required also reaches instances that still use \
    IMDSv1, and breaks what uses it";

#[test]
fn what_is_probably_not_meant_has_a_warning() {
    let gated = r#""baseline": {"HttpTokens": "required"}, "usageGate": {}"#;
    let rules = |rules: &str| format!(r#"{{{gated}, "rules": [{rules}]}}"#);
    let rule = |when: &str, effect: &str| rules(&format!(r#"{{"name": "a", "when": {{{when}}}, {effect}}}"#));
    let (app, aws) = (r#""tags": {"App": "x"}"#, r#""tags": {"aws:autoscaling:groupName": "x"}"#);
    let both = r#""tags": {"App": "x", "aws:cloudformation:stack-name": "x"}"#;
    let account = r#""accounts": "111122223333""#;
    let exempt = |until: &str| format!(r#""exempt": {{"until": "{until}"}}"#);
    let until = "rules[0].exempt.until";
    let require = |options: &str| format!(r#""require": {{{options}}}"#);
    let optional = require(r#""HttpTokens": "optional""#);
    let needs = "which the function may set only if the template's AllowLoosening is true";
    let by_app = r#"and anyone who may set the tag "App" gets it"#;
    let looser =
        |option: &str| format!("rules[0].require.{option}: is looser than without the rule, {by_app}");
    let hops = "HttpPutResponseHopLimit";
    let limit = |limit: &str| require(&format!(r#""{hops}": {limit}"#));
    let at_most_2 = r#"{"baseline": {"HttpTokens": "required", "HttpPutResponseHopLimit": {"atMost": 2}}, "usageGate": {}, "#;
    let in_range = |limit: &str| {
        format!(
            r#"{at_most_2}"rules": [{{"name": "a", "when": {{{app}}}, "require": {{"{hops}": {limit}}}}}]}}"#
        )
    };
    let none: Vec<String> = Vec::new();
    let rows = [
        // Exemptions that have ended, or end far ahead.
        (rule(account, &exempt("2026-03-16")), vec![format!("{until}: the exemption ended on 2026-03-16")]),
        (rule(account, &exempt("2026-03-17")), none.clone()),
        (rule(account, &exempt("2028-03-17")), none.clone()),
        (rule(account, &exempt("2028-03-18")), vec![format!("{until}: is more than two years ahead")]),
        (rule(account, &exempt("9999-12-31")), vec![format!("{until}: is more than two years ahead")]),
        // Exemptions of everything.
        (
            rule(r#""accounts": ["111122223333", "*"]"#, &exempt("2026-12-31")),
            vec!["rules[0].when.tags: the rule exempts every instance".to_owned()],
        ),
        // Exemptions by tags that anyone can set.
        (
            rule(app, &exempt("2026-04-01")),
            vec![r#"rules[0].when.tags: anyone who may set the tag "App" exempts the instance"#.to_owned()],
        ),
        (
            rule(&format!("{app}, {account}"), &exempt("2026-04-01")),
            vec![r#"rules[0].when.tags: anyone who may set the tag "App" exempts the instance"#.to_owned()],
        ),
        (rule(aws, &exempt("2026-04-01")), none.clone()),
        (rule(both, &exempt("2026-04-01")), none.clone()),
        (rule(app, &exempt("2026-03-16")), vec![format!("{until}: the exemption ended on 2026-03-16")]),
        // Rules that loosen by tags that anyone can set.
        (
            rule(app, &optional),
            vec![format!("rules[0].require.HttpTokens: requires optional, {needs}"), looser("HttpTokens")],
        ),
        (rule(aws, &optional), vec![format!("rules[0].require.HttpTokens: requires optional, {needs}")]),
        (rule(app, &require(r#""HttpTokens": "required""#)), none.clone()),
        (rule(app, &require(r#""HttpEndpoint": "disabled""#)), none.clone()),
        (rule(app, &require(r#""HttpEndpoint": "enabled""#)), vec![looser("HttpEndpoint")]),
        (rule(app, &require(r#""InstanceMetadataTags": "enabled""#)), vec![looser("InstanceMetadataTags")]),
        (rule(aws, &require(r#""HttpProtocolIpv6": "enabled""#)), none.clone()),
        (rule(account, &require(r#""HttpProtocolIpv6": "enabled""#)), none.clone()),
        (rule(app, &limit("1")), none.clone()),
        (rule(app, &limit("2")), vec![looser(hops)]),
        (rule(app, &limit(r#"{"atMost": 5}"#)), none.clone()),
        (rule(app, &limit(r#"{"atLeast": 2}"#)), vec![looser(hops)]),
        (in_range("1"), none.clone()),
        (in_range(r#"{"atMost": 1}"#), none.clone()),
        (in_range(r#"{"atMost": 2}"#), none.clone()),
        (in_range("2"), vec![looser(hops)]),
        (in_range(r#"{"atMost": 3}"#), vec![looser(hops)]),
        // An earlier rule without conditions is part of what applies without the rule.
        (
            rules(&format!(
                r#"{{"name": "a", "require": {{"HttpProtocolIpv6": "enabled"}}}},
                   {{"name": "b", "when": {{{app}}}, "require": {{"HttpProtocolIpv6": "enabled"}}}}"#
            )),
            none.clone(),
        ),
        // Optional tokens.
        (
            r#"{"baseline": {"HttpTokens": "optional"}}"#.to_owned(),
            vec![format!("baseline.HttpTokens: requires optional, {needs}")],
        ),
        (
            format!(r#"{{{gated}, "instanceTags": {{"authority": "loosen"}}}}"#),
            vec![format!("instanceTags.authority: lets a tag require HttpTokens=optional, {needs}")],
        ),
        (format!(r#"{{{gated}, "instanceTags": {{"authority": "none"}}}}"#), none.clone()),
        (
            format!(r#"{{{gated}, "instanceTags": {{"authority": "loosen", "options": ["HttpEndpoint"]}}}}"#),
            vec!["instanceTags.options: anyone who may tag an instance can switch its IMDS off".to_owned()],
        ),
        // An empty policy.
        ("{}".to_owned(), vec!["baseline: the policy requires nothing".to_owned()]),
        (
            format!(r#"{{"rules": [{{"name": "a", "when": {{{account}}}, {}}}]}}"#, exempt("2026-04-01")),
            vec!["baseline: the policy requires nothing".to_owned()],
        ),
        (format!(r#"{{"rules": [{{"name": "a", "when": {{{account}}}, {}}}]}}"#, limit("1")), none.clone()),
        // The policy that is built in.
        (r#"{"baseline": {"HttpTokens": "required"}}"#.to_owned(), vec![NO_GATE.to_owned()]),
        (format!("{{{gated}}}"), none),
    ];
    for (document, expected) in rows {
        assert_eq!(warnings(&document), expected, "{document}");
    }
}

#[test]
fn a_rule_that_can_never_decide_has_a_warning() {
    let tokens = r#""require": {"HttpTokens": "required"}"#;
    let both = r#""require": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}"#;
    let hops = r#""require": {"HttpPutResponseHopLimit": 1}"#;
    let exempt = r#""exempt": {"until": "2026-04-01"}"#;
    let (here, there) = (r#""when": {"regions": "eu-*"}, "#, r#""when": {"regions": "us-*"}, "#);
    let one = "rules[0]: never has an effect, because rules[1] overrides it";
    let two = "rules[0]: never has an effect, because rules[1] or rules[2] overrides it";
    type Row<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);
    let rows: &[Row<'_>] = &[
        (&[(here, tokens), ("", tokens)], &[one]),
        (&[(here, tokens), (here, both)], &[one]),
        (&[("", tokens), ("", tokens)], &[one]),
        (&[(here, both), (here, tokens), ("", hops)], &[two]),
        (&[(here, tokens), (there, tokens)], &[]),
        (&[("", tokens), (here, tokens)], &[]),
        (&[(here, both), ("", tokens)], &[]),
        (&[(here, tokens), (here, exempt)], &[]),
        (&[(here, exempt), ("", tokens)], &[]),
    ];
    for (rules, expected) in rows {
        let rules = rules.iter().enumerate();
        let rules =
            rules.map(|(number, (when, effect))| format!(r#"{{"name": "{number}", {when}{effect}}}"#));
        let document =
            format!(r#"{{"usageGate": {{}}, "rules": [{}]}}"#, rules.collect::<Vec<_>>().join(", "));
        assert_eq!(warnings(&document), *expected, "{document}");
    }
}
