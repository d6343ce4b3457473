//! The built function outside of Lambda: its help and its error messages.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

/// The exit code, and what is printed to stdout and stderr.
fn run(arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_imds-enforcer"));
    let output = command.args(arguments).env_clear().envs(variables.iter().copied()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Asserts that it is the package's version, with the commit if the project is in a repository.
fn assert_version(text: &str) {
    let mut git = Command::new("git");
    let tracked = git.args(["ls-files", "Cargo.toml"]).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let is_tracked = tracked.is_ok_and(|output| output.status.success() && !output.stdout.is_empty());
    let version = concat!("imds-enforcer ", env!("CARGO_PKG_VERSION"));
    match text.trim().split_once(" (") {
        None => assert!(!is_tracked && text.trim() == version, "{text}"),
        Some((before, commit)) => {
            let commit = commit.split([',', ')']).next().unwrap();
            assert!(is_tracked && before == version && commit.len() >= 12, "{text}");
            assert!(commit.bytes().all(|byte| byte.is_ascii_hexdigit()), "{text}");
        }
    }
}

#[test]
fn version_and_help_are_printed() {
    let (code, version, errors) = run(&["--version"], &[]);
    assert_eq!((code, &*version, &*errors), (0, &*format!("imds-enforcer {}\n", imds_enforcer::VERSION), ""));
    assert_version(&version);
    let (code, help, errors) = run(&["--help"], &[("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:1")]);
    assert_eq!((code, &*errors), (0, ""));
    assert!(help.contains("AWS Lambda") && help.contains("IMDS_POLICY_FILE"), "{help}");
    assert_eq!(run(&["-h"], &[]), (0, help, String::new()));
}

#[test]
fn a_wrong_start_is_refused_in_one_line() {
    let wrong_mode = ("IMDS_MODE", "audit");
    for (arguments, expected) in
        [(&["serve"][..], "unknown argument \"serve\""), (&[], "it runs only in AWS Lambda")]
    {
        let (code, out, errors) = run(arguments, &[wrong_mode]);
        assert_eq!((code, &*out), (2, ""), "{arguments:?}: {errors}");
        assert_eq!(errors.lines().count(), 1, "{arguments:?}: {errors}");
        assert!(errors.contains(expected) && !errors.contains("IMDS_MODE"), "{arguments:?}: {errors}");
    }
}

#[test]
fn a_wrong_configuration_is_another_error() {
    let in_lambda = ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:1");
    let (code, _, errors) = run(&[], &[in_lambda, ("IMDS_MODE", "audit"), ("IMDS_POLICYFILE", "")]);
    assert_eq!(code, 1);
    for expected in
        ["IMDS_MODE must be enforce or dry-run", "\"IMDS_POLICYFILE\" is not a variable of imds-enforcer"]
    {
        assert!(errors.contains(expected), "{expected}: {errors}");
    }
}
