//! `imdsctl policy`.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::{Folder, POLICY, command, imdsctl, project, run, stderr, stdout};

const WRONG: &str = r#"{"baseline": {"HttpTokens": "on"}, "rules": [{"name": "a"}]}"#;
/// The exemption has ended.
const ENDED: &str = r#"{"baseline": {"HttpTokens": "required"}, "rules": [
    {"name": "old", "when": {"accounts": "111122223333"}, "exempt": {"until": "2020-01-31"}}]}"#;

#[test]
fn the_published_schema_is_current() {
    let schema = std::fs::read_to_string(project().join("policy/policy.schema.json")).unwrap();
    let printed = stdout(&imdsctl(&["policy", "schema"], ""));
    assert!(schema == printed, "run: cargo run -p imdsctl -- policy schema > policy/policy.schema.json");
}

#[test]
fn every_published_policy_is_valid() {
    let examples = std::fs::read_dir(project().join("policy/examples")).unwrap();
    let files: Vec<PathBuf> = examples.map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 8, "a new example needs a test of its decisions");
    let files: Vec<&str> = files.iter().map(|file| file.to_str().unwrap()).chain([POLICY]).collect();
    let output = imdsctl(&[&["policy", "check"], &files[..]].concat(), "");
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    for file in files {
        assert!(stdout(&output).contains(&format!("{file}:\n")), "{file}: {}", stdout(&output));
    }
}

#[test]
fn check_lists_every_error_or_says_what_the_policy_does() {
    let folder = Folder::new("check");
    let name = folder.file("wrong.json", WRONG);
    let output = imdsctl(&["policy", "check", &name], "");
    let message = stderr(&output);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""));
    for part in
        ["baseline.HttpTokens: must be required or optional, not \"on\"", "rules[0]: must have require"]
    {
        assert!(message.contains(&format!("{name}: {part}")), "{part}: {message}");
    }

    let output = imdsctl(&["policy", "check", POLICY], "");
    assert_eq!(output.status.code(), Some(0));
    assert!(
        stdout(&output).starts_with("Every instance must have HttpTokens=required.\n"),
        "{}",
        stdout(&output)
    );
}

#[test]
fn check_exits_with_2_for_errors_and_with_1_for_warnings_if_strict() {
    let folder = Folder::new("strict");
    let (wrong, ended) = (folder.file("wrong.json", WRONG), folder.file("ended.json", ENDED));
    let (wrong, ended) = (wrong.as_str(), ended.as_str());
    let rows: [(&[&str], i32); 9] = [
        (&[POLICY], 0),
        (&["--strict", POLICY], 0),
        (&[ended], 0),
        (&["--strict", ended], 1),
        (&["--strict", POLICY, ended, POLICY], 1),
        (&["--strict", "--json", ended], 1),
        (&["--strict", ended, wrong], 2),
        (&["--json", wrong, POLICY], 2),
        (&["nothing.json", POLICY], 2),
    ];
    for (arguments, code) in rows {
        let output = imdsctl(&[&["policy", "check"], arguments].concat(), "");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn check_tells_about_each_of_several_files() {
    let folder = Folder::new("several");
    let (wrong, ended) = (folder.file("wrong.json", WRONG), folder.file("ended.json", ENDED));
    let output = imdsctl(&["policy", "check", &wrong, "nothing.json", "-", &ended], r#"{"baseline": {}}"#);
    let (printed, message) = (stdout(&output), stderr(&output));
    assert!(printed.contains("standard input:\n  The baseline requires nothing."), "{printed}");
    assert!(
        printed.contains(&format!("{ended}:\n  Every instance must have HttpTokens=required.")),
        "{printed}"
    );
    assert!(printed.contains("  warning: rules[0].exempt.until: "), "{printed}");
    assert!(message.contains(&format!("{wrong}: baseline.HttpTokens: ")), "{message}");
    assert!(message.contains("nothing.json: cannot be read: No such file"), "{message}");
}

#[test]
fn the_json_of_check_has_its_published_form() {
    let folder = Folder::new("check-json");
    let (wrong, ended) = (folder.file("wrong.json", WRONG), folder.file("ended.json", ENDED));
    let output = imdsctl(&["policy", "check", "--json", &wrong, &ended, "nothing.json", "-"], "{}");
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(2), ""));
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    let places = |entry: &Value, key: &str| -> Vec<String> {
        let found = entry[key].as_array().unwrap().iter();
        found.map(|finding| finding["place"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(list[0]["file"], json!(wrong));
    assert_eq!(
        (&list[0]["ok"], &list[1]["ok"], &list[2]["ok"]),
        (&json!(false), &json!(true), &json!(false))
    );
    assert_eq!(places(&list[0], "errors"), ["baseline.HttpTokens", "rules[0]"]);
    assert_eq!(
        list[0]["errors"][0]["problem"],
        json!("must be required or optional, not \"on\""),
        "{list:#}"
    );
    assert_eq!(list[0]["summary"], json!([]));
    assert!(places(&list[1], "warnings").contains(&"rules[0].exempt.until".to_owned()), "{list:#}");
    assert_eq!(list[1]["summary"][0], json!("Every instance must have HttpTokens=required."));
    assert!(list[2]["errors"][0]["problem"].as_str().unwrap().starts_with("cannot be read: No such file"));
    assert_eq!(list[3]["file"], json!("standard input"));
}

#[test]
fn a_byte_order_mark_is_accepted_and_utf_16_is_named_as_the_cause() {
    let text = "{\"baseline\": {\"HttpTokens\": \"required\"}}";
    let output = imdsctl(&["policy", "check", "-"], &format!("\u{feff}{text}"));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let utf_16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let output = run(&mut command(&["policy", "check", "-"]), &utf_16);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("UTF-8"), "{}", stderr(&output));
}

#[test]
fn hostile_text_in_a_policy_does_not_reach_the_terminal_raw() {
    let hostile = "a\u{1b}[2J\u{9b}31m\u{202e}\u{feff}";
    let rule =
        |effect: Value| json!({"name": hostile, "when": {"tags": {hostile: hostile}}, "exempt": effect});
    let valid = json!({"rules": [rule(json!({"until": "2020-01-31"}))]}).to_string();
    let wrong = json!({hostile: 1, "rules": [rule(json!({hostile: hostile}))]}).to_string();
    let folder = Folder::new("hostile");
    let files = [folder.file("\u{1b}[2J\u{202e}.json", valid), folder.file("wrong.json", wrong)];
    let is_raw = |c: char| c.is_control() && c != '\n' || matches!(c, '\u{202e}' | '\u{feff}');
    for more in [&[][..], &["--json"]] {
        let output = imdsctl(&[&["policy", "check", &files[0], &files[1]], more].concat(), "");
        for printed in [stdout(&output), stderr(&output)] {
            assert_eq!(printed.find(is_raw), None, "{more:?}: {printed:?}");
        }
        assert!(stdout(&output).contains("[2J"), "{more:?}: {}", stdout(&output));
    }
}
