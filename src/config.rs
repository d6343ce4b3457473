//! The function's environment → [`Config`], all errors at once.

use std::fmt;
use std::time::Duration;

use imds_core::outcome::Mode;
use imds_core::policy::Policy;

/// How the function is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// `IMDS_MODE`: `enforce` (the default) or `dry-run`.
    pub mode: Mode,
    /// `IMDS_POLICY_FILE` or `IMDS_POLICY`, else the built-in policy.
    pub policy: Policy,
    /// `IMDS_VERIFY_SECONDS`, 0 to 600: how long to wait for `applied`; 10 by default.
    pub verify_within: Duration,
    /// `IMDS_MEMBER_ROLE`: the name of the role to assume in other accounts; none by default.
    pub member_role: Option<String>,
    /// `IMDS_MODIFY_RATE`, 0.01 to 100,000: most changes a second, per account and Region; 4 by default.
    pub modify_rate: f64,
}

/// Every variable that is wrong; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<String>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the function's configuration is wrong:\n{}", self.0.join("\n"))
    }
}

impl std::error::Error for ConfigErrors {}

impl Config {
    /// Reads the configuration through `lookup`, which is `std::env::var` in production. An empty variable of ours counts
    /// as unset.
    ///
    /// # Errors
    /// Every variable that is wrong, each with its name and the mend. A retry needs another configuration.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigErrors> {
        let set = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let mut errors = Vec::new();
        let config = Self {
            mode: or_note(mode(set("IMDS_MODE")), &mut errors),
            policy: or_note(policy(set("IMDS_POLICY_FILE"), set("IMDS_POLICY")), &mut errors),
            member_role: or_note(member_role(set("IMDS_MEMBER_ROLE")), &mut errors),
            verify_within: or_note(verify_within(set("IMDS_VERIFY_SECONDS")), &mut errors),
            modify_rate: or_note(modify_rate(set("IMDS_MODIFY_RATE")), &mut errors),
        };
        // Without root certificates no call would succeed, and none would say why.
        or_note(root_certificates(lookup("SSL_CERT_FILE")), &mut errors);
        if errors.is_empty() { Ok(config) } else { Err(ConfigErrors(errors)) }
    }
}

fn or_note<T: Default>(result: Result<T, String>, errors: &mut Vec<String>) -> T {
    result.unwrap_or_else(|error| {
        errors.push(error);
        T::default()
    })
}

fn mode(value: Option<String>) -> Result<Mode, String> {
    match value.as_deref() {
        None | Some("enforce") => Ok(Mode::Enforce),
        Some("dry-run") => Ok(Mode::DryRun),
        Some(other) => Err(format!("IMDS_MODE must be enforce or dry-run, not {other:?}")),
    }
}

fn policy(file: Option<String>, inline: Option<String>) -> Result<Policy, String> {
    let (place, document) = match (file, inline) {
        (None, None) => return Ok(Policy::default()),
        (Some(_), Some(_)) => {
            return Err("IMDS_POLICY_FILE and IMDS_POLICY are both set: leave one of them empty".to_owned());
        }
        (Some(path), None) => {
            let document = std::fs::read_to_string(&path)
                .map_err(|error| format!("IMDS_POLICY_FILE: {path} cannot be read: {error}"))?;
            (format!("IMDS_POLICY_FILE {path}"), document)
        }
        (None, Some(document)) => ("IMDS_POLICY".to_owned(), document),
    };
    Policy::parse(&document).map_err(|errors| errors.in_document(&place))
}

fn member_role(value: Option<String>) -> Result<Option<String>, String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    match value {
        Some(name) if name.len() > 64 || !name.chars().all(is_allowed) => Err(format!(
            "IMDS_MEMBER_ROLE must be the name of a role, without path or ARN: 1 to 64 of A-Z a-z 0-9 _+=,.@-, not \
             {name:?}"
        )),
        name => Ok(name),
    }
}

fn verify_within(value: Option<String>) -> Result<Duration, String> {
    let Some(value) = value else { return Ok(Duration::from_secs(10)) };
    match value.parse() {
        Ok(seconds @ 0..=600) => Ok(Duration::from_secs(seconds)),
        _ => {
            Err(format!("IMDS_VERIFY_SECONDS must be a whole number of seconds from 0 to 600, not {value:?}"))
        }
    }
}

fn modify_rate(value: Option<String>) -> Result<f64, String> {
    let Some(value) = value else { return Ok(4.0) };
    match value.parse() {
        Ok(rate) if (0.01..=100_000.0).contains(&rate) => Ok(rate),
        _ => Err(format!(
            "IMDS_MODIFY_RATE must be a number of changes a second, from 0.01 to 100000, not {value:?}"
        )),
    }
}

/// An empty variable is one that is set: rustls takes it for the name of a file, finds no certificates and does not say so.
fn root_certificates(file: Option<String>) -> Result<(), String> {
    let Some(path) = file else { return Ok(()) };
    match std::fs::File::open(&path).and_then(|file| file.metadata()) {
        Ok(found) if found.is_file() && found.len() > 0 => Ok(()),
        Ok(_) => Err(format!("SSL_CERT_FILE: {path:?} must be a file with root certificates in PEM")),
        Err(error) => Err(format!("SSL_CERT_FILE: {path:?} cannot be read: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
        Config::from_lookup(|name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn an_empty_environment_gives_the_defaults() {
        for variables in [
            &[][..],
            &[("IMDS_MODE", ""), ("IMDS_POLICY", ""), ("IMDS_VERIFY_SECONDS", ""), ("IMDS_MODIFY_RATE", "")],
        ] {
            let config = read(variables).unwrap();
            assert_eq!(config.mode, Mode::Enforce);
            assert_eq!(config.policy, Policy::default());
            assert_eq!(config.verify_within, Duration::from_secs(10));
            assert_eq!(config.modify_rate, 4.0);
        }
    }

    #[test]
    fn a_policy_comes_from_the_variable_or_the_file() {
        let inline = read(&[("IMDS_POLICY", r#"{"baseline": {"HttpEndpoint": "disabled"}}"#)]).unwrap();
        assert_ne!(inline.policy, Policy::default());
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/policy/policy.json");
        assert_eq!(read(&[("IMDS_POLICY_FILE", file)]).unwrap().policy, Policy::default());
    }

    #[test]
    fn every_error_is_listed() {
        let errors = read(&[
            ("IMDS_MODE", "audit"),
            ("IMDS_POLICY", r#"{"baseline": {"HttpTokens": "on", "HttpPutResponseHopLimit": 0}}"#),
            ("IMDS_VERIFY_SECONDS", "-1"),
            ("IMDS_MODIFY_RATE", "NaN"),
            ("IMDS_MEMBER_ROLE", "arn:aws:iam::*:role/x"),
        ])
        .unwrap_err()
        .to_string();
        for expected in [
            "IMDS_MODE must be enforce or dry-run, not \"audit\"",
            "IMDS_POLICY: baseline.HttpTokens: must be required or optional",
            "IMDS_POLICY: baseline.HttpPutResponseHopLimit: must be a whole number from 1 to 64, or an object",
            "IMDS_MODIFY_RATE must be a number of changes a second, from 0.01",
            "IMDS_MEMBER_ROLE must be the name of a role, without path or ARN",
            "IMDS_VERIFY_SECONDS must be a whole number of seconds from 0 to 600",
        ] {
            assert!(errors.contains(expected), "{expected}\nnot in\n{errors}");
        }
        let both = read(&[("IMDS_POLICY", "{}"), ("IMDS_POLICY_FILE", "x")]).unwrap_err().to_string();
        assert!(both.contains("both set"), "{both}");
        let missing = read(&[("IMDS_POLICY_FILE", "/nowhere/policy.json")]).unwrap_err().to_string();
        assert!(missing.contains("/nowhere/policy.json cannot be read"), "{missing}");
        for (path, why) in
            [("/nowhere/roots.pem", "cannot be read"), ("", "cannot be read"), ("/", "must be a file")]
        {
            let error = read(&[("SSL_CERT_FILE", path)]).unwrap_err().to_string();
            assert!(error.contains(&format!("SSL_CERT_FILE: {path:?} {why}")), "{error}");
        }
    }
}
