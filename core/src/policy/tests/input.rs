//! Hostile and foreign input.

use super::*;

#[test]
fn no_null_and_no_object_stands_for_a_word() {
    let rule = |part: &str| format!(r#"{{"rules": [{{"name": "a", "when": {{"regions": "*"}}, {part}}}]}}"#);
    let option = |name: &str, value: &str| format!(r#"{{"baseline": {{"{name}": {value}}}}}"#);
    let mut rows = Vec::new();
    for (name, word) in [
        ("HttpTokens", "required"),
        ("HttpTokens", "optional"),
        ("HttpEndpoint", "disabled"),
        ("HttpProtocolIpv6", "enabled"),
        ("InstanceMetadataTags", "disabled"),
    ] {
        let words = ["null", r#"[null]"#, r#"{}"#, "true", "1"].map(str::to_owned);
        let variants = ["null", "{}", "[]", "true"].map(|content| format!(r#"{{"{word}": {content}}}"#));
        rows.extend(
            words.into_iter().chain(variants).map(|value| (option(name, &value), format!("baseline.{name}"))),
        );
    }
    for value in ["null", "[]", "[1, 2]", "true"] {
        rows.push((option("HttpPutResponseHopLimit", value), "baseline.HttpPutResponseHopLimit".to_owned()));
    }
    let at_most = option("HttpPutResponseHopLimit", r#"{"atMost": null}"#);
    rows.push((at_most, "baseline.HttpPutResponseHopLimit.atMost".to_owned()));
    for value in ["null", r#"{"none": null}"#, r#"{"loosen": null}"#, "[]"] {
        let document = format!(r#"{{"instanceTags": {{"authority": {value}}}}}"#);
        rows.push((document, "instanceTags.authority".to_owned()));
    }
    for (part, place) in [
        (r#""exempt": {"until": null}"#, "rules[0].exempt.until"),
        (r#""exempt": {"until": {"2027-01-01": null}}"#, "rules[0].exempt.until"),
        (r#""exempt": null"#, "rules[0].exempt"),
        (r#""require": null"#, "rules[0].require"),
        (r#""mode": null"#, "rules[0].mode"),
        (r#""mode": {"enforce": null}"#, "rules[0].mode"),
        (r#""mode": "dry-run", "until": null"#, "rules[0].until"),
        (r#""usageGate": null"#, "rules[0].usageGate"),
        (r#""usageGate": {"launches": {"follow": null}}"#, "rules[0].usageGate.launches"),
    ] {
        rows.push((rule(part), place.to_owned()));
    }
    for (document, place) in [
        (r#"{"baseline": null}"#, "baseline"),
        (r#"{"rules": null}"#, "rules"),
        (r#"{"rules": [null]}"#, "rules[0]"),
        (r#"{"instanceTags": null}"#, "instanceTags"),
        (r#"{"instanceTags": {"prefix": null}}"#, "instanceTags.prefix"),
        (r#"{"instanceTags": {"exemptions": null}}"#, "instanceTags.exemptions"),
        (r#"{"instanceTags": {"exemptions": {"maxDays": null}}}"#, "instanceTags.exemptions.maxDays"),
        (
            r#"{"instanceTags": {"exemptions": {"maxDays": 1, "maxAgeDays": null}}}"#,
            "instanceTags.exemptions.maxAgeDays",
        ),
        (r#"{"$schema": null}"#, "$schema"),
        (r#"{"mode": null}"#, "mode"),
        (r#"{"mode": {"dry-run": null}}"#, "mode"),
        (r#"{"usageGate": null}"#, "usageGate"),
        (r#"{"usageGate": {"lookbackDays": null}}"#, "usageGate.lookbackDays"),
        (r#"{"usageGate": {"onUnknown": {"hold": null}}}"#, "usageGate.onUnknown"),
        (r#"{"limits": null}"#, "limits"),
        (r#"{"limits": {"changesPerSweep": null}}"#, "limits.changesPerSweep"),
        (r#"{"instanceTags": {"options": null}}"#, "instanceTags.options"),
        (r#"{"instanceTags": {"options": [null]}}"#, "instanceTags.options[0]"),
        (r#"{"instanceTags": {"options": [{"HttpTokens": null}]}}"#, "instanceTags.options[0]"),
        (r#"{"rules": [{"name": null, "require": {"HttpTokens": "required"}}]}"#, "rules[0].name"),
        (
            r#"{"rules": [{"name": "a", "when": null, "require": {"HttpTokens": "required"}}]}"#,
            "rules[0].when",
        ),
        (
            r#"{"rules": [{"name": "a", "when": {"tags": null}, "require": {"HttpTokens": "required"}}]}"#,
            "rules[0].when.tags",
        ),
        (
            r#"{"rules": [{"name": "a", "when": {"tags": {"App": null}}, "require": {"HttpTokens": "required"}}]}"#,
            "rules[0].when.tags.App",
        ),
        (
            r#"{"rules": [{"name": "a", "when": {"accounts": [null]}, "require": {"HttpTokens": "required"}}]}"#,
            "rules[0].when.accounts[0]",
        ),
    ] {
        rows.push((document.to_owned(), place.to_owned()));
    }
    for (document, place) in rows {
        let errors = Policy::parse(&document).expect_err(&document).0;
        assert_eq!(errors[0].place, place, "{document}: {errors:?}");
    }
}

#[test]
fn a_document_is_utf_8_with_or_without_a_byte_order_mark() {
    let text = r#"{"baseline": {"HttpTokens": "required"}}"#;
    let marked = format!("\u{feff}{text}");
    assert_eq!(Policy::parse(&marked), Ok(Policy::default()));
    for bytes in [text.as_bytes(), marked.as_bytes()] {
        assert_eq!(Policy::from_bytes(bytes), Ok(Policy::default()));
    }
    let utf_16 = "is not UTF-8 but, by its zero bytes or byte order mark, UTF-16: save it as UTF-8";
    let little: Vec<u8> = marked.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = marked.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let latin_1 = b"{\"rules\": [{\"name\": \"pay\xe9\"}]}";
    let rows: [(&str, &[u8], &str); 8] = [
        ("UTF-16, little-endian", &little, utf_16),
        ("UTF-16, big-endian", &big, utf_16),
        ("UTF-16 without a mark, little-endian", &little[2..], utf_16),
        ("UTF-16 without a mark, big-endian", &big[2..], utf_16),
        ("the mark alone", b"\xff\xfe", utf_16),
        ("a zero byte", b"{}\0", utf_16),
        ("Latin-1", latin_1, "is not UTF-8 from byte 25 on: save it as UTF-8"),
        ("cut in a character", b"\xc3", "is not UTF-8 from byte 1 on: save it as UTF-8"),
    ];
    for (name, bytes, expected) in rows {
        let errors = Policy::from_bytes(bytes).expect_err(name);
        assert_eq!(errors.to_string(), format!("the document: {expected}"), "{name}");
    }
}

#[test]
fn foreign_text_in_messages_is_escaped_and_cut() {
    let (hostile, long) = ("\u{1b}[31m\u{202e}\u{9b}\u{200b}", "x".repeat(100_000));
    let rule = |name: &str, key: &str, value: &str| {
        let rule = serde_json::json!({"name": name, "when": {"tags": {key: value}, "regions": value},
            "require": {"HttpTokens": "required"}});
        serde_json::json!({"rules": [rule.clone(), rule]})
    };
    for text in [hostile, &long] {
        let documents = [
            rule(text, text, text),
            rule("a", "App", text),
            serde_json::json!({text: 1}),
            serde_json::json!({"baseline": {"HttpTokens": text, text: 1, "HttpPutResponseHopLimit": text}}),
            serde_json::json!({"instanceTags": {"authority": text, "prefix": format!("{text}{}", "p".repeat(64))}}),
            serde_json::json!({"rules": [{"name": "a", "exempt": {"until": text}}]}),
        ];
        let duplicate = format!(r#"{{"{0}": 1, "{0}": 2}}"#, text.replace('\u{1b}', ""));
        for document in documents.map(|document| document.to_string()).into_iter().chain([duplicate]) {
            let errors = Policy::parse(&document).expect_err("an invalid document");
            for line in errors.in_document("p.json").lines() {
                let is_shown = |c: char| !c.is_control() && !"\u{202e}\u{200b}".contains(c);
                assert!(line.chars().all(is_shown), "{line:?}");
                assert!(line.chars().count() < 1000, "{} characters: {line:.200}", line.len());
            }
        }
    }
    let document = serde_json::json!({
        "rules": [{"name": "\u{202e}", "when": {"tags": {"k\u{9b}": "v\u{200b}"}, "accounts": "*"},
            "require": {"HttpTokens": "required"}}],
        "instanceTags": {"prefix": "\u{202e}:"},
    });
    let document = document.to_string();
    let summary =
        Policy::parse(&document).unwrap_or_else(|errors| panic!("{document}: {errors}")).summary(NOW);
    let expected = r#"Rule "\u{202e}": an instance whose tag "k\u{9b}" is "v\u{200b}" and in account "*" must have HttpTokens=required."#;
    assert!(summary.iter().any(|line| line == expected), "{summary:#?}");
    assert!(
        summary.iter().any(|line| line.starts_with(r"A tag such as \u{202e}:HttpTokens")),
        "{summary:#?}"
    );
}
