//! A journal or log lines → the changes that were made.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use imds_core::ids::InstanceId;
use imds_core::metadata::MetadataOptions;
use imds_core::policy::Policy;

use super::log::{self, Changed};
use crate::apply::{Line, Locked, Read, read_file};
use crate::input;

/// What a file says was changed.
pub struct Made {
    /// The changes of each instance, together.
    pub changes: Changes,
    /// The policy, if the file has it.
    pub policy: Option<Policy>,
    /// The role that was assumed in other accounts, if the file has it.
    pub role: Option<String>,
    /// The journal, which `apply` cannot continue until this is dropped.
    pub held: Option<Locked>,
}

/// The changes of each instance, together.
pub type Changes = BTreeMap<InstanceId, Changed>;

/// Reads the file.
///
/// # Errors
/// It cannot be read, or a line is wrong: which, and why.
pub fn read(file: &Path) -> Result<Made> {
    let name = input::name(file);
    let bytes = input::read(file).with_context(|| format!("{name} cannot be read"))?;
    let text = input::text(&bytes).map_err(|error| anyhow!("{name} {error:#}"))?;
    let first = text.lines().next().unwrap_or_default();
    if let Ok(Line::Journal(_)) = serde_json::from_str(first) {
        ensure!(
            !input::is_stdin(file),
            "a journal must be named, so that it is not read while it is written"
        );
        let (read, held) = read_file(file)?;
        return Ok(Made { held: Some(held), ..of_journal(read)? });
    }
    let changes = combined(log::changes(text).with_context(|| name.clone())?).with_context(|| name)?;
    Ok(Made { changes, policy: None, role: None, held: None })
}

fn of_journal(read: Read) -> Result<Made> {
    let header = read.header.context("the journal has no first line")?;
    let policy = Policy::parse(&header.policy.to_string())
        .map_err(|errors| anyhow!("the journal's policy is invalid:\n{}", errors.in_document("policy")))?;
    let mut changes = Changes::new();
    for (id, progress) in read.instances {
        // A change whose result is not known is restored only where the value is the one that was to be set.
        let set: MetadataOptions = progress.uncertain.iter().chain(progress.accepted.iter()).collect();
        if !set.is_empty() {
            changes.insert(
                id,
                Changed { account_region: progress.account_region, set, before: progress.before },
            );
        }
    }
    Ok(Made { changes, policy: Some(policy), role: header.role, held: None })
}

/// Puts several changes of an instance together: the last values that were set, and the first values before.
///
/// # Errors
/// An instance is in two accounts or Regions.
fn combined(changes: Vec<(InstanceId, Changed)>) -> Result<Changes> {
    let mut all = Changes::new();
    for (id, next) in changes {
        let Some(so_far) = all.get_mut(&id) else {
            all.insert(id, next);
            continue;
        };
        ensure!(so_far.account_region == next.account_region, "{id} is in two accounts or Regions");
        let new = next.before.iter().filter(|value| so_far.set.get(value.name()).is_none());
        so_far.before = so_far.before.iter().chain(new).collect();
        so_far.set = so_far.set.iter().chain(next.set.iter()).collect();
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(lines: &[&str]) -> Result<Changes, String> {
        let read = log::changes(&lines.join("\n")).and_then(combined);
        read.map_err(|error| format!("{error:#}"))
    }

    fn line(at: u8, before: &str, change: &str) -> String {
        format!(
            r#"{{"timestamp":"2026-03-17T08:00:{at:02}Z","level":"INFO","requestId":"r","account":"111122223333",
            "region":"us-east-1","instanceId":"i-01234567","trigger":"launch","mode":"enforce","outcome":"enforced",
            "before":{before},"change":{change},"state":"applied","reasons":[],"warnings":[]}}"#
        )
        .replace('\n', "")
    }

    #[test]
    fn the_oldest_options_before_and_the_last_that_were_set_count() {
        let first =
            line(1, r#"{"HttpTokens":"optional","HttpEndpoint":"enabled"}"#, r#"{"HttpTokens":"required"}"#);
        let second = line(
            2,
            r#"{"HttpTokens":"optional","HttpPutResponseHopLimit":3}"#,
            r#"{"HttpTokens":"required","HttpPutResponseHopLimit":2}"#,
        );
        let third = line(3, r#"{"HttpPutResponseHopLimit":9}"#, r#"{"HttpPutResponseHopLimit":1}"#);
        for lines in [[&first, &second, &third], [&third, &first, &second]] {
            let changes = changes(&lines.map(String::as_str)).unwrap();
            let changed = changes.values().next().unwrap();
            let json = |options| serde_json::to_string(options).unwrap();
            assert_eq!(json(&changed.set), r#"{"HttpTokens":"required","HttpPutResponseHopLimit":1}"#);
            assert_eq!(json(&changed.before), r#"{"HttpTokens":"optional","HttpPutResponseHopLimit":3}"#);
        }
    }

    #[test]
    fn log_lines_are_read_in_every_form_of_an_export() {
        let own = line(1, r#"{"HttpTokens":"optional"}"#, r#"{"HttpTokens":"required"}"#);
        let expected = changes(&[&own]).unwrap();
        let event = |message: &str| serde_json::json!({"timestamp": 1, "message": message, "eventId": "1"});
        let answer =
            serde_json::json!({"events": [event("START RequestId: 1\n"), event(&format!("{own}\n"))]});
        for text in [
            own.clone(),
            format!("2026-03-17T08:00:01.000Z\t{own}"),
            format!("2026-03-17T08:00:01.000Z {own}\r"),
            format!("START RequestId: 1\n\n{own}\nREPORT {{not JSON\n{{\"message\": \"batch done\"}}"),
            format!("{answer:#}"),
            answer.to_string(),
        ] {
            assert_eq!(changes(&[&text]).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn only_changes_that_ec2_accepted_are_taken() {
        let enforced = line(1, r#"{"HttpTokens":"optional"}"#, r#"{"HttpTokens":"required"}"#);
        let rows = [
            ("enforced", "pending", 1),
            ("enforced", "in-use", 1),
            ("enforced", "failed", 0),
            ("enforced", "denied", 0),
            ("enforced", "would-enforce", 0),
            ("\"mode\":\"enforce\"", "\"mode\":\"dry-run\"", 0),
            ("\"change\"", "\"changes\"", 0),
            ("\"before\"", "\"were\"", 0),
        ];
        for (part, replacement, count) in rows {
            let text = enforced.replace(part, replacement);
            assert_eq!(changes(&[&text]).unwrap().len(), count, "{part} -> {replacement}");
        }
    }

    #[test]
    fn a_line_that_is_wrong_is_an_error_with_its_number() {
        let own = line(1, r#"{"HttpTokens":"optional"}"#, r#"{"HttpTokens":"required"}"#);
        let rows = [
            ("i-01234567", "i-*", "line 2: \"i-*\" is not an instance id"),
            ("required", "on", "line 2: HttpTokens must be required or optional"),
            ("\"warnings\":[]}", "\"warn", "line 2: it is cut off, or not JSON"),
            ("111122223333", "444455556666", "i-01234567 is in two accounts or Regions"),
        ];
        for (part, replacement, expected) in rows {
            let error = changes(&[&own, &own.replace(part, replacement)]).unwrap_err();
            assert!(error.contains(expected), "{part} -> {replacement}: {error}");
        }
    }
}
