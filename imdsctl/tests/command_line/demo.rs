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
        "Every instance complies with the policy or is held back, and nothing else was\nchanged: ",
    ] {
        assert!(printed.contains(part), "{part:?} is not in {printed}");
    }
}

/// Returns the lines about the only instance whose title has `name`, from its outcome on. Wrapped lines are joined.
fn about(printed: &str, name: &str) -> String {
    let (_, rest) = printed.split_once(&format!("\"{name}\", running: ")).unwrap();
    let rest = rest.replace("\n    ", " ");
    let mut lines = rest.lines();
    let outcome = lines.next().unwrap().to_owned();
    lines.take_while(|line| line.starts_with("  ")).fold(outcome, |all, line| all + "\n" + line)
}

#[test]
fn the_demo_holds_back_the_instance_that_still_uses_imdsv1_and_says_why() {
    let printed = stdout(&imdsctl(&["demo"], ""));

    let used = about(&printed, "ran for weeks, uses IMDSv1");
    assert!(used.starts_with("in-use\n"), "{used}");
    assert!(used.contains("\n  HttpPutResponseHopLimit: 3 -> 2\n"), "{used}");
    assert!(!used.contains("optional -> required"), "{used}");
    let (_, why) = used.split_once("\n  because HttpTokens=required is held back: ").unwrap();
    let (calls, last) = why.split_once(" calls without a token in 14 days, the last on 2").unwrap();
    assert!(calls != "0" && last.contains('-'), "{used}");

    let unused = about(&printed, "ran for weeks, uses IMDSv2 only");
    assert!(unused.starts_with("enforced\n"), "{unused}");
    assert!(unused.contains("\n  HttpTokens: optional -> required\n"), "{unused}");

    let meaning = "\nin-use: IMDSv2 is required only after 14 days without a call of IMDSv1.\n";
    assert!(printed.contains("1 in-use") && printed.contains(meaning), "{printed}");
    assert!(printed.contains(" descriptions, 1 GetMetricData, "), "{printed}");
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
