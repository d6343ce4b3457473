//! `imdsctl demo`.

use crate::{command, imdsctl, run, stderr, stdout};

#[test]
fn the_demo_enforces_its_policy_and_fits_80_columns() {
    let output = imdsctl(&["demo"], "");
    let printed = stdout(&output);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{printed}");
    let long = printed.lines().find(|line| line.chars().count() > 80);
    assert_eq!(long, None, "{printed}");
    for part in [
        ": enforced\n",
        ": compliant\n",
        ": exempt\n",
        ": out-of-scope\n",
        "  HttpTokens: optional -> required\n",
        "  because baseline requires HttpTokens=required\n",
        "Every instance complies with the policy, and nothing else was changed",
    ] {
        assert!(printed.contains(part), "{part:?} is not in {printed}");
    }
}

#[test]
fn the_demo_names_nothing_that_has_ended_and_no_date_that_never_comes() {
    let printed = stdout(&imdsctl(&["demo"], ""));
    assert!(!printed.contains("127.0.0.1") && !printed.contains("http://"), "{printed}");
    let until: Vec<&str> = printed.split("\"until\": \"").skip(1).collect();
    let year: i32 = until[0][..4].parse().unwrap();
    assert!(until.len() == 1 && year < 2200, "{printed}");
}

#[test]
fn the_demo_needs_no_settings_of_aws() {
    let output = run(
        command(&["demo"]).env_clear().envs([
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
            ("AWS_PROFILE", "nobody"),
            ("IMDS_MODE", "nonsense"),
        ]),
        b"",
    );
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}
