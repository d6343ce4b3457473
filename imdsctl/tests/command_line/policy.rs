//! `imdsctl policy`.

use std::path::PathBuf;

use crate::{imdsctl, project, stderr, stdout};

#[test]
fn the_published_schema_is_current() {
    let schema = std::fs::read_to_string(project().join("policy/policy.schema.json")).unwrap();
    let printed = stdout(&imdsctl(&["policy", "schema"], ""));
    assert!(schema == printed, "run: cargo run --bin imdsctl -- policy schema > policy/policy.schema.json");
}

#[test]
fn every_published_policy_is_valid() {
    let examples = std::fs::read_dir(project().join("policy/examples")).unwrap();
    let files: Vec<PathBuf> = examples.map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 4, "a new example needs a test of its decisions");
    for file in files.iter().chain([&project().join("policy/policy.json")]) {
        let output = imdsctl(&["policy", "check", file.to_str().unwrap()], "");
        assert!(output.status.success(), "{}: {}", file.display(), stderr(&output));
    }
}

#[test]
fn policy_check_lists_every_error_or_says_what_the_policy_does() {
    let folder = std::env::temp_dir().join(format!("imdsctl-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("wrong.json");
    std::fs::write(&file, r#"{"baseline": {"HttpTokens": "on"}, "rules": [{"name": "a"}]}"#).unwrap();
    let output = imdsctl(&["policy", "check", file.to_str().unwrap()], "");
    std::fs::remove_dir_all(&folder).unwrap();
    let (message, name) = (stderr(&output), file.display());
    assert_eq!(output.status.code(), Some(2));
    assert!(
        message.contains(&format!("{name}: baseline.HttpTokens: must be required or optional, not \"on\"")),
        "{message}"
    );
    assert!(message.contains(&format!("{name}: rules[0]: must have require or exempt")), "{message}");

    let output = imdsctl(&["policy", "check", "policy/policy.json"], "");
    assert_eq!(output.status.code(), Some(0));
    assert!(
        stdout(&output).starts_with("Every instance must have HttpTokens=required.\n"),
        "{}",
        stdout(&output)
    );
}
