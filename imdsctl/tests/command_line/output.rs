//! Where the output goes: pipes that close, disks that are full, terminals with and without colors.

use std::fs::OpenOptions;
use std::io::Write;

use serde_json::{Value, json};

use crate::{POLICY, command, described, imdsctl, instance, run, stderr, stdout};

/// Every command that prints, with its exit code.
const COMMANDS: &[(&[&str], i32)] = &[
    (&["explain", "--policy", POLICY], 1),
    (&["explain", "--policy", POLICY, "--json"], 1),
    (&["policy", "check", POLICY], 0),
    (&["policy", "check", "--json", POLICY], 0),
    (&["policy", "schema"], 0),
    (&["demo"], 0),
    (&["completions", "bash"], 0),
    (&["--help"], 0),
    (&["explain", "--help"], 0),
    (&["--version"], 0),
];

fn input() -> String {
    let many: Vec<Value> = (0..2000).map(|number| instance(number, "optional", json!([]))).collect();
    described(&many)
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    let input = input();
    for (arguments, code) in COMMANDS {
        let mut child = command(arguments).spawn().unwrap();
        drop(child.stdout.take());
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        assert_eq!(
            (stderr(&output).as_str(), output.status.code()),
            ("", Some(*code)),
            "{arguments:?}: the exit code is that of the result"
        );
    }
}

#[test]
fn a_full_disk_is_an_error() {
    let input = input();
    for (arguments, _) in COMMANDS {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = run(command(arguments).stdout(full), input.as_bytes());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(
            stderr(&output).contains("standard output cannot be written: No space left"),
            "{arguments:?}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn errors_are_told_by_the_exit_code_even_if_they_cannot_be_printed() {
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    for arguments in [&["policy", "check", "nothing.json"][..], &["explain", "--policy", POLICY]] {
        let output = run(command(arguments).stdout(full()).stderr(full()), b"nonsense");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn colors_are_for_terminals() {
    let input = described(&[instance(1, "optional", json!([]))]);
    for (arguments, input) in [(&["explain", "--policy", POLICY][..], input.as_str()), (&["demo"], "")] {
        let colored = |variables: &[(&str, &str)]| {
            let output = run(command(arguments).envs(variables.iter().copied()), input.as_bytes());
            stdout(&output).contains('\u{1b}')
        };
        assert!(!colored(&[]), "{arguments:?}: a pipe");
        assert!(colored(&[("CLICOLOR_FORCE", "1")]), "{arguments:?}: colors are wanted");
        assert!(!colored(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]), "{arguments:?}: NO_COLOR");
    }
}

#[test]
fn help_fits_80_columns_and_names_the_exit_codes() {
    for arguments in [
        &["--help"][..],
        &["explain", "--help"],
        &["policy", "--help"],
        &["policy", "check", "--help"],
        &["policy", "schema", "--help"],
        &["demo", "--help"],
        &["defaults", "--help"],
        &["defaults", "set", "--help"],
        &["completions", "--help"],
    ] {
        let help = stdout(&imdsctl(arguments, ""));
        let long = help.lines().find(|line| line.chars().count() > 80);
        assert_eq!(long, None, "{arguments:?}");
        assert!(help.contains("Exit codes: 0 "), "{arguments:?}: {help}");
    }
}

#[test]
fn incorrect_usage_is_an_error() {
    for arguments in [
        &["explain"][..],
        &["policy", "check"],
        &["nothing"],
        &[],
        &["defaults", "set"],
        &["defaults", "set", "--yes", "--region", "us-east-1"],
        &["defaults", "--json", "set", "--http-tokens", "required"],
        &["completions"],
    ] {
        let output = imdsctl(arguments, "");
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""), "{arguments:?}");
        assert!(stderr(&output).contains("Usage: imdsctl"), "{arguments:?}: {}", stderr(&output));
    }
}
