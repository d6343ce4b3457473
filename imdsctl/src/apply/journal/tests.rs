use std::path::PathBuf;

use super::read::read;
use super::*;

const HEADER: &str = r#"{"kind":"journal","version":1,"planSha256":"aa","policy":{},"role":null}"#;
const RUN: &str =
    r#"{"kind":"run","at":"2026-11-24T12:00:00Z","caller":"arn:aws:iam::111122223333:root","pid":7}"#;
const PLACE: &str =
    r#""at":"2026-11-24T12:00:00Z","account":"111122223333","region":"us-east-1","instanceId":"i-01234567""#;

fn intention(before: &str, change: &str) -> String {
    format!(r#"{{"kind":"intention",{PLACE},"before":{before},"change":{change}}}"#)
}

fn result(change: &str, result: &str) -> String {
    format!(r#"{{"kind":"result",{PLACE},"change":{change},"result":{result}}}"#)
}

fn outcome(outcome: &str) -> String {
    format!(r#"{{"kind":"outcome",{PLACE},"outcome":"{outcome}","reasons":[],"warnings":[]}}"#)
}

const OPTIONAL: &str = r#"{"HttpTokens":"optional"}"#;
const REQUIRED: &str = r#"{"HttpTokens":"required"}"#;
const TWO: &str = r#"{"HttpPutResponseHopLimit":2}"#;
const THREE: &str = r#"{"HttpPutResponseHopLimit":3}"#;
const MAY_BE: &str = r#""refused","why":"no answer","mayBeMade":true"#;

/// What a journal with these lines after the first two says of its instance: accepted, uncertain, before, and whether it is
/// done.
fn progress(lines: &[String]) -> (String, String, String, bool) {
    let text: Vec<&str> = [HEADER, RUN].into_iter().chain(lines.iter().map(String::as_str)).collect();
    let read = read((text.join("\n") + "\n").as_bytes()).unwrap();
    let progress = read.instances.values().next().unwrap();
    let json = |options| serde_json::to_string(options).unwrap();
    (json(&progress.accepted), json(&progress.uncertain), json(&progress.before), progress.is_done())
}

#[test]
fn what_was_accepted_and_what_may_be_made_is_known() {
    let both = r#"{"HttpTokens":"required","HttpPutResponseHopLimit":2}"#;
    let both_before = r#"{"HttpTokens":"optional","HttpPutResponseHopLimit":3}"#;
    let rows = [
        ("no result", vec![intention(OPTIONAL, REQUIRED)], "{}", REQUIRED, OPTIONAL, false),
        (
            "accepted and verified",
            vec![intention(OPTIONAL, REQUIRED), result(REQUIRED, r#""accepted""#), outcome("enforced")],
            REQUIRED,
            "{}",
            OPTIONAL,
            true,
        ),
        (
            "accepted and not verified",
            vec![intention(OPTIONAL, REQUIRED), result(REQUIRED, r#""accepted""#), outcome("pending")],
            REQUIRED,
            "{}",
            OPTIONAL,
            false,
        ),
        (
            "refused",
            vec![
                intention(OPTIONAL, REQUIRED),
                result(REQUIRED, r#""refused","why":"no""#),
                outcome("denied"),
            ],
            "{}",
            "{}",
            OPTIONAL,
            false,
        ),
        (
            "no answer",
            vec![intention(OPTIONAL, REQUIRED), result(REQUIRED, MAY_BE)],
            "{}",
            REQUIRED,
            OPTIONAL,
            false,
        ),
        (
            "not sent",
            vec![intention(OPTIONAL, REQUIRED), result(REQUIRED, r#""not-sent""#)],
            "{}",
            "{}",
            OPTIONAL,
            false,
        ),
        (
            "killed, and the next run was killed as well",
            vec![intention(OPTIONAL, REQUIRED), RUN.to_owned(), intention(THREE, TWO), RUN.to_owned()],
            "{}",
            both,
            both_before,
            false,
        ),
        (
            "one of two options was accepted",
            vec![
                intention(both_before, both),
                result(both, r#""refused","why":"no""#),
                intention(OPTIONAL, REQUIRED),
                result(REQUIRED, r#""accepted""#),
                intention(THREE, TWO),
            ],
            REQUIRED,
            TWO,
            both_before,
            false,
        ),
        (
            "what it was before an attempt that may be made",
            vec![
                intention(OPTIONAL, REQUIRED),
                RUN.to_owned(),
                intention(REQUIRED, REQUIRED),
                result(REQUIRED, r#""accepted""#),
            ],
            REQUIRED,
            REQUIRED,
            OPTIONAL,
            false,
        ),
        (
            "somebody changed it after an attempt that was refused",
            vec![
                intention(THREE, TWO),
                result(TWO, r#""refused","why":"no""#),
                intention(r#"{"HttpPutResponseHopLimit":9}"#, TWO),
                result(TWO, r#""accepted""#),
            ],
            TWO,
            "{}",
            r#"{"HttpPutResponseHopLimit":9}"#,
            false,
        ),
    ];
    for (name, lines, accepted, uncertain, before, is_done) in rows {
        let expected = (accepted.to_owned(), uncertain.to_owned(), before.to_owned(), is_done);
        assert_eq!(progress(&lines), expected, "{name}");
    }
}

#[test]
fn a_torn_line_is_ignored_and_another_wrong_line_is_not() {
    let whole = format!("{HEADER}\n{RUN}\n");
    for torn in ["", "{", "{\"kind\":\"intention\"", &intention(OPTIONAL, REQUIRED), "\0\0"] {
        let found = read(format!("{whole}{torn}").as_bytes()).unwrap();
        assert_eq!((found.whole, found.instances.len()), (whole.len() as u64, 0), "{torn}");
    }
    let nothing = read(&HEADER.as_bytes()[..20]).unwrap();
    assert!(nothing.header.is_none() && nothing.whole == 0);
    let rows = [
        (format!("{whole}{{\n{RUN}\n"), "line 3 is damaged"),
        (format!("{whole}{HEADER}\n"), "line 3 is damaged: the first line, and no other, names the plan"),
        (format!("{RUN}\n"), "line 1 is damaged: the first line, and no other, names the plan"),
        (whole.replace("\"version\":1", "\"version\":2"), "version 2 of a journal is not known"),
        (format!("{whole}{}\n", intention(OPTIONAL, "{}")), "a change has at least one option"),
        (format!("{whole}{}\n", intention(OPTIONAL, REQUIRED).replace("i-", "j-")), "is not an instance id"),
    ];
    for (text, expected) in rows {
        let error = format!("{:#}", read(text.as_bytes()).unwrap_err());
        assert!(error.contains(expected), "{text}: {error}");
    }
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("imdsctl-journal-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn header(sha256: &str) -> Header {
    Header { version: VERSION, plan_sha256: sha256.to_owned(), policy: serde_json::json!({}), role: None }
}

fn error(path: &Path, header: &Header) -> String {
    Journal::open(path, header).err().map(|error| format!("{error:#}")).unwrap_or_default()
}

fn a_run() -> Run {
    serde_json::from_str(RUN).unwrap()
}

#[tokio::test]
async fn a_journal_is_held_by_one_process_and_belongs_to_one_plan() {
    let folder = Folder::new("held");
    let path = path_of(&folder.0.join("plan.json"));
    let journal = Journal::open(&path, &header("aa")).unwrap();
    assert!(journal.is_new && path.ends_with("plan.json.journal.jsonl"));
    assert!(error(&path, &header("aa")).contains("another process holds"));
    let writer = journal.write(a_run()).unwrap();
    let line: Line = serde_json::from_str(&intention(OPTIONAL, REQUIRED)).unwrap();
    assert_eq!(writer.sync(&line).await, Ok(()));
    let held = error(&path, &header("aa"));
    assert!(
        held.contains("process 7 of arn:aws:iam::111122223333:root, since 2026-11-24T12:00:00Z"),
        "{held}"
    );
    assert!(read_file(&path).unwrap_err().to_string().contains("process 7"));
    writer.close().unwrap();
    let (_, restoring) = read_file(&path).unwrap();
    assert!(error(&path, &header("aa")).contains("another process holds"), "restore keeps apply away");
    drop(restoring);
    assert!(error(&path, &header("bb")).contains("is the journal of another plan"));
    let again = Journal::open(&path, &header("aa")).unwrap();
    assert_eq!((again.is_new, again.read.instances.len()), (false, 1));
}

#[test]
fn a_process_that_inherits_the_file_does_not_hold_the_journal() {
    let folder = Folder::new("inherited");
    let path = folder.0.join("journal");
    // A process that another thread starts has a copy of the file until it runs its program.
    let mut inherited = Vec::new();
    let journal = Journal::open(&path, &header("aa")).unwrap();
    inherited.push(journal.file.try_clone().unwrap());
    journal.write(a_run()).unwrap().close().unwrap();
    let (_, restoring) = read_file(&path).unwrap();
    inherited.push(restoring.try_clone().unwrap());
    drop(restoring);
    let journal = Journal::open(&path, &header("aa")).unwrap();
    inherited.push(journal.file.try_clone().unwrap());
    drop(journal);
    assert_eq!(error(&path, &header("aa")), "");
}

#[test]
fn a_torn_line_is_removed_before_the_next_one() {
    let folder = Folder::new("torn");
    for (torn, expected) in [
        (
            format!("{HEADER}\n{RUN}\n{}", &intention(OPTIONAL, REQUIRED)[..40]),
            format!("{HEADER}\n{RUN}\n{RUN}\n"),
        ),
        (HEADER[..40].to_owned(), format!("{HEADER}\n{RUN}\n")),
        (String::new(), format!("{HEADER}\n{RUN}\n")),
        // Of another plan, whose run never began.
        (format!("{}\n", HEADER.replace("aa", "bb")), format!("{HEADER}\n{RUN}\n")),
    ] {
        let path = folder.0.join("journal");
        fs::write(&path, &torn).unwrap();
        Journal::open(&path, &header("aa")).unwrap().write(a_run()).unwrap().close().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), expected, "{torn}");
    }
}

#[cfg(unix)]
#[test]
fn only_the_owner_reads_a_journal_and_a_link_is_refused() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = Folder::new("mode");
    let path = folder.0.join("journal");
    drop(Journal::open(&path, &header("aa")).unwrap());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let link = folder.0.join("link");
    symlink(&path, &link).unwrap();
    assert!(error(&link, &header("aa")).contains("it is not a regular file"));
}
