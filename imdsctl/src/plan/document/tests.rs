use super::*;

/// Names that a terminal must not see and that JSON, CSV or a shell could take for something else.
const HOSTILE: &str = "\u{1b}[31m\u{202e}\",\n=cmd|'/c calc'!A1 $(touch x) \\";

fn change(number: usize, name: Option<&str>) -> PlannedChange {
    let option = |name: &str, text: &str| {
        let name = OptionName::from_name(name).unwrap();
        name.parse(text).unwrap()
    };
    PlannedChange {
        account: AccountId::new("111122223333").unwrap(),
        region: Region::new("us-east-1").unwrap(),
        instance_id: InstanceId::new(&format!("i-{number:017x}")).unwrap(),
        name: name.map(str::to_owned),
        before: [option("HttpTokens", "optional"), option("HttpPutResponseHopLimit", "3")]
            .into_iter()
            .collect(),
        change: Change::new([option("HttpTokens", "required")].into_iter().collect()).unwrap(),
        reasons: vec!["baseline requires HttpTokens=required".to_owned()],
        warnings: Vec::new(),
        source: name.map(|name| PlannedSource {
            kind: "auto-scaling-group".to_owned(),
            id: name.to_owned(),
            version: None,
        }),
    }
}

fn plan(changes: Vec<PlannedChange>) -> Plan {
    Plan {
        version: VERSION,
        created_at: time::macros::datetime!(2026-11-24 12:00 UTC),
        caller: "arn:aws:iam::111122223333:user/operator".to_owned(),
        role: Some("imds-enforcer-member".to_owned()),
        policy: serde_json::json!({"baseline": {"HttpTokens": "required"}}),
        complete: false,
        errors: vec!["444455556666 eu-west-1 cannot be read".to_owned()],
        counts: [("change".to_owned(), changes.len()), ("compliant".to_owned(), 3)].into(),
        changes,
    }
}

fn written(plan: &Plan) -> String {
    let mut bytes = Vec::new();
    plan.write(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_plan_is_read_as_it_was_written_and_has_one_line_for_each_change() {
    for changes in [vec![], vec![change(1, None)], vec![change(1, Some(HOSTILE)), change(2, Some("web"))]] {
        let (lines, plan) = (changes.len(), plan(changes));
        let text = written(&plan);
        assert_eq!(Plan::read(text.as_bytes(), "plan.json").unwrap(), plan, "{text}");
        let of_change = |line: &&str| line.trim_start().starts_with(r#"{"account""#);
        assert_eq!(text.lines().filter(of_change).count(), lines, "{text}");
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let text = written(&plan(vec![change(1, Some("web")), change(2, None)]));
    let rows = [
        ("", "", "line 1, column 0: not JSON: EOF"),
        (r#""version": 1"#, r#""version": 2"#, "version 2 of a plan is not known"),
        (r#""version": 1"#, r#""version": "1""#, "version \"1\" of a plan is not known"),
        (r#"  "version": 1,"#, "", "missing field `version`"),
        ("\"complete\"", "\"completed\"", "line 7, column 13: unknown field `completed`, expected one of"),
        ("\"reasons\"", "\"reason\"", "line 11, column "),
        (r#""role": "#, r#""roles": "#, "unknown field `roles`"),
        ("111122223333\",\"region", "11112222333\",\"region", "\"11112222333\" is not an AWS account id"),
        ("us-east-1", "us-east-1.evil.example/", "\"us-east-1.evil.example/\" is not a Region code"),
        ("i-00000000000000001", "i-*", "\"i-*\" is not an instance id"),
        ("{\"HttpTokens\":\"optional\"", "{\"HttpToken\":\"optional\"", "unknown option \"HttpToken\""),
        ("{\"HttpTokens\":\"required\"},\"reasons", "{},\"reasons", "a change has at least one option"),
        (
            "\"HttpPutResponseHopLimit\":3",
            "\"HttpPutResponseHopLimit\":65",
            "must be a whole number from 1 to 64",
        ),
        (
            "i-00000000000000002",
            "i-00000000000000001",
            "changes[1]: i-00000000000000001 is in changes[0] already",
        ),
        ("{\"baseline\"", "{\"base\"", "the policy is invalid:\npolicy: base: "),
        ("2026-11-24T12:00:00Z", "yesterday", "\"yesterday\" is not a time in RFC 3339"),
        ("  ]\n}", "  ]", "not JSON: EOF"),
    ];
    for (part, replacement, expected) in rows {
        assert!(text.contains(part), "{part} is not in {text}");
        let wrong = if part.is_empty() { String::new() } else { text.replacen(part, replacement, 1) };
        let error = format!("{:#}", Plan::read(wrong.as_bytes(), "plan.json").unwrap_err());
        assert!(
            error.starts_with("plan.json") && error.contains(expected),
            "{part} -> {replacement}: {error}"
        );
    }
}

#[test]
fn a_plan_of_50_000_changes_is_written_and_read() {
    let plan = plan((0..50_000).map(|number| change(number, Some("web"))).collect());
    let text = written(&plan);
    assert_eq!(Plan::read(text.as_bytes(), "plan.json").unwrap(), plan);
}
