//! Variables that name something in AWS.

/// `IMDS_MEMBER_ROLE`.
pub(super) fn member_role(value: Option<String>) -> Result<Option<String>, String> {
    let Some(value) = value else { return Ok(None) };
    let role = value.strip_prefix('/').unwrap_or(&value);
    match flaw(role) {
        None => Ok(Some(role.to_owned())),
        Some(flaw) => Err(format!(
            "IMDS_MEMBER_ROLE must be the name of a role, with its path if it has one, such as imds-enforcer-member or \
             /platform/imds-enforcer-member, not {value:?}: {flaw}"
        )),
    }
}

/// Returns why IAM does not accept `PATH/NAME` or `NAME` (IAM API reference, `CreateRole`). In IAM, a path begins and
/// ends with a slash, and both count toward its length.
fn flaw(role: &str) -> Option<&'static str> {
    let (path, name) = role.rsplit_once('/').unwrap_or(("", role));
    let is_in_name = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    let flaws = [
        // Checked first, as an ARN would otherwise be read as a path.
        (role.starts_with("arn:"), "it is an ARN"),
        (name.is_empty(), "it ends with a slash"),
        (role.split('/').any(str::is_empty), "a segment of its path is empty"),
        (name.len() > 64, "its name has more than 64 characters"),
        (path.len() + 2 > 512, "its path has more than 512 characters"),
        (!name.chars().all(is_in_name), "its name has characters other than A-Z a-z 0-9 _+=,.@-"),
        (
            !path.chars().all(|c| c.is_ascii_graphic()),
            "its path has characters other than visible ASCII characters",
        ),
    ];
    flaws.into_iter().find_map(|(is_so, flaw)| is_so.then_some(flaw))
}

/// `IMDS_OUTCOME_BUS`.
pub(super) fn outcome_bus(value: Option<String>) -> Result<Option<String>, String> {
    let Some(value) = value else { return Ok(None) };
    let name = match value.strip_prefix("arn:") {
        None => Some(&*value),
        Some(rest) => match rest.split(':').collect::<Vec<_>>()[..] {
            [_, "events", _, _, resource] => resource.strip_prefix("event-bus/"),
            _ => None,
        },
    };
    // EventBridge API reference, `PutEvents`.
    let is_in_name = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    match name {
        Some(name) if (1..=256).contains(&name.len()) && name.chars().all(is_in_name) => Ok(Some(value)),
        _ => Err(format!(
            "IMDS_OUTCOME_BUS must be the name or ARN of an event bus, such as outcomes or \
             arn:aws:events:us-east-1:111122223333:event-bus/outcomes, not {value:?}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_member_role_may_have_a_path() {
        let role = |value: &str| member_role(Some(value.to_owned()));
        let (longest_path, longest_name) = ("p".repeat(510), "n".repeat(64));
        for (value, expected) in [
            ("imds-enforcer-member", Some("imds-enforcer-member")),
            ("/imds-enforcer-member", Some("imds-enforcer-member")),
            ("platform/imds-enforcer-member", Some("platform/imds-enforcer-member")),
            ("/platform/security/a_+=,.@-9", Some("platform/security/a_+=,.@-9")),
            (&longest_name, Some(&*longest_name)),
            (&format!("/{longest_path}/x"), Some(&*format!("{longest_path}/x"))),
        ] {
            assert_eq!(role(value), Ok(expected.map(str::to_owned)), "{value:?}");
        }
        for (value, flaw) in [
            ("arn:aws:iam::111122223333:role/platform/x", "it is an ARN"),
            ("/arn:aws:iam::111122223333:role/x", "it is an ARN"),
            ("/", "it ends with a slash"),
            ("platform/x/", "it ends with a slash"),
            ("a//b", "a segment of its path is empty"),
            ("//x", "a segment of its path is empty"),
            (&format!("a/{longest_name}n"), "its name has more than 64 characters"),
            (&format!("/{longest_path}p/x"), "its path has more than 512 characters"),
            ("a/b:c", "its name has characters other than A-Z a-z 0-9 _+=,.@-"),
            ("r\u{f6}le", "its name has characters other than A-Z a-z 0-9 _+=,.@-"),
            ("a b/c", "its path has characters other than visible ASCII characters"),
        ] {
            let errors = role(value).unwrap_err().to_string();
            assert!(errors.ends_with(&format!("not {value:?}: {flaw}")), "{value:?}: {errors}");
        }
    }

    #[test]
    fn the_event_bus_has_a_name_or_an_arn() {
        let longest = "b".repeat(256);
        for value in
            ["default", "a/b.c_D-9", &longest, "arn:aws-us-gov:events:us-gov-west-1:111122223333:event-bus/x"]
        {
            assert_eq!(outcome_bus(Some(value.to_owned())), Ok(Some(value.to_owned())));
        }
        for value in [
            &*format!("{longest}b"),
            "two words",
            "b\u{fc}s",
            "arn:aws:events:us-east-1:111122223333:rule/x",
            "arn:aws:events:us-east-1:111122223333:event-bus/",
            "arn:aws:sns:us-east-1:111122223333:x",
            "arn:",
        ] {
            let error = outcome_bus(Some(value.to_owned())).unwrap_err();
            assert!(error.ends_with(&format!("not {value:?}")), "{error}");
        }
    }
}
