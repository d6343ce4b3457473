//! The function's environment → [`Config`]. All errors are reported at once.

mod names;

use std::fmt;
use std::time::Duration;

use imds_core::mode::Mode;
use imds_core::policy::Policy;
use imds_core::text::Quoted;
use imds_engine::aws::clients::RegionClients;
use imds_engine::aws::rate_limit::RateLimit;
use imds_engine::reconcile::Enforcer;
use names::{member_role, outcome_bus};

/// Every variable of ours that the function reads.
pub const VARIABLES: [&str; 8] = [
    "IMDS_MODE",
    "IMDS_POLICY_FILE",
    "IMDS_POLICY",
    "IMDS_MEMBER_ROLE",
    "IMDS_OUTCOME_BUS",
    "IMDS_VERIFY_SECONDS",
    "IMDS_MODIFY_RATE",
    "IMDS_MODIFY_BURST",
];

/// The configuration of the function.
#[derive(Debug, Clone)]
pub struct Config {
    /// `IMDS_MODE`: `enforce` (the default) or `dry-run`.
    pub mode: Mode,
    /// `IMDS_POLICY_FILE` or `IMDS_POLICY`; the built-in policy by default.
    pub policy: Policy,
    /// `IMDS_VERIFY_SECONDS`, 0 to 600: how long to wait for the state `applied`; 10 by default.
    pub verify_within: Duration,
    /// `IMDS_MEMBER_ROLE`: the role to assume in other accounts, as `NAME` or `PATH/NAME`; none by default.
    pub member_role: Option<String>,
    /// The limit of changes of this process, per account and Region. `IMDS_MODIFY_RATE`, 0.01 to 100,000 a second; 4 by
    /// default. `IMDS_MODIFY_BURST`, 1 to 1,000 at once; 80 by default.
    pub modify_limit: RateLimit,
    /// `IMDS_OUTCOME_BUS`: the event bus that gets outcome events, by its name or ARN; none by default.
    pub outcome_bus: Option<String>,
}

/// The error of every invalid variable; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<String>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the function's configuration is invalid:\n{}", self.0.join("\n"))
    }
}

impl std::error::Error for ConfigErrors {}

impl Config {
    /// Reads the configuration through `lookup`, which is `std::env::var` in production. An empty variable counts as
    /// unset.
    ///
    /// # Errors
    /// Every invalid variable, with how to fix it. A retry helps only after the configuration has changed.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigErrors> {
        let set = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let mut errors = Vec::new();
        let config = Self {
            mode: or_note(mode(set("IMDS_MODE")), &mut errors),
            policy: or_note(policy(set("IMDS_POLICY_FILE"), set("IMDS_POLICY")), &mut errors),
            member_role: or_note(member_role(set("IMDS_MEMBER_ROLE")), &mut errors),
            outcome_bus: or_note(outcome_bus(set("IMDS_OUTCOME_BUS")), &mut errors),
            verify_within: or_note(verify_within(set("IMDS_VERIFY_SECONDS")), &mut errors),
            modify_limit: RateLimit {
                ceiling: or_note(modify_rate(set("IMDS_MODIFY_RATE")), &mut errors),
                burst: or_note(modify_burst(set("IMDS_MODIFY_BURST")), &mut errors),
            },
        };
        if errors.is_empty() { Ok(config) } else { Err(ConfigErrors(errors)) }
    }

    /// Creates the enforcer with this configuration. It calls EC2 through `clients`.
    pub fn into_enforcer(self, clients: RegionClients) -> Enforcer {
        Enforcer::new(self.mode, self.policy, self.verify_within, clients)
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
            let document = std::fs::read(&path)
                .map_err(|error| format!("IMDS_POLICY_FILE: {} cannot be read: {error}", Quoted(&path)))?;
            (format!("IMDS_POLICY_FILE {}", Quoted(&path)), document)
        }
        (None, Some(document)) => ("IMDS_POLICY".to_owned(), document.into_bytes()),
    };
    Policy::from_bytes(&document).map_err(|errors| errors.in_document(&place))
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

fn modify_burst(value: Option<String>) -> Result<u32, String> {
    let Some(value) = value else { return Ok(80) };
    match value.parse() {
        Ok(burst @ 1..=1000) => Ok(burst),
        _ => Err(format!(
            "IMDS_MODIFY_BURST must be a whole number of changes at once, from 1 to 1000, not {value:?}"
        )),
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
            &["IMDS_MODE", "IMDS_POLICY", "IMDS_VERIFY_SECONDS", "IMDS_MODIFY_RATE", "IMDS_MODIFY_BURST"]
                .map(|name| (name, "")),
        ] {
            let config = read(variables).unwrap();
            assert_eq!(config.mode, Mode::Enforce);
            assert_eq!(config.policy, Policy::default());
            assert_eq!(config.verify_within, Duration::from_secs(10));
            assert_eq!(config.modify_limit, RateLimit { ceiling: 4.0, burst: 80 });
        }
    }

    #[test]
    fn the_burst_is_a_whole_number_from_1_to_1000() {
        for (value, expected) in [("1", Some(1)), ("40", Some(40)), ("1000", Some(1000))]
            .into_iter()
            .chain(["0", "1001", "-1", "2.5", "1e2", " 40", "many"].map(|value| (value, None)))
        {
            let config = read(&[("IMDS_MODIFY_BURST", value)]);
            assert_eq!(config.map(|config| config.modify_limit.burst).ok(), expected, "{value:?}");
        }
    }

    #[test]
    fn a_policy_comes_from_the_variable_or_the_file() {
        let inline = read(&[("IMDS_POLICY", r#"{"baseline": {"HttpEndpoint": "disabled"}}"#)]).unwrap();
        assert_ne!(inline.policy, Policy::default());
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/policy/policy.json");
        let shipped = Policy::parse(r#"{"baseline": {"HttpTokens": "required"}, "usageGate": {}}"#).unwrap();
        assert_eq!(read(&[("IMDS_POLICY_FILE", file)]).unwrap().policy, shipped);
    }

    #[test]
    fn a_policy_file_may_have_a_byte_order_mark_and_is_not_utf_16() {
        let path = std::env::temp_dir().join(format!("imds-enforcer-policy-{}.json", std::process::id()));
        let file = path.to_str().unwrap();
        let text = format!("\u{feff}{}", r#"{"baseline": {"HttpTokens": "required"}}"#);
        std::fs::write(&path, &text).unwrap();
        let marked = read(&[("IMDS_POLICY_FILE", file)]);
        std::fs::write(&path, text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>()).unwrap();
        let utf_16 = read(&[("IMDS_POLICY_FILE", file)]);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(marked.unwrap().policy, Policy::default());
        let error = utf_16.unwrap_err().to_string();
        assert!(error.contains(&format!("IMDS_POLICY_FILE {file:?}: the document: is not UTF-8")), "{error}");
    }

    #[test]
    fn every_error_is_listed() {
        let errors = read(&[
            ("IMDS_MODE", "audit"),
            ("IMDS_POLICY", r#"{"baseline": {"HttpTokens": "on", "HttpPutResponseHopLimit": 0}}"#),
            ("IMDS_VERIFY_SECONDS", "-1"),
            ("IMDS_MODIFY_RATE", "NaN"),
            ("IMDS_MODIFY_BURST", "0"),
            ("IMDS_MEMBER_ROLE", "arn:aws:iam::*:role/x"),
            ("IMDS_OUTCOME_BUS", "two words"),
        ])
        .unwrap_err()
        .to_string();
        for expected in [
            "IMDS_MODE must be enforce or dry-run, not \"audit\"",
            "IMDS_POLICY: baseline.HttpTokens: must be required or optional",
            "IMDS_POLICY: baseline.HttpPutResponseHopLimit: must be a whole number from 1 to 64, or an object",
            "IMDS_MODIFY_RATE must be a number of changes a second, from 0.01",
            "IMDS_MODIFY_BURST must be a whole number of changes at once, from 1 to 1000, not \"0\"",
            "IMDS_MEMBER_ROLE must be the name of a role, with its path if it has one",
            "IMDS_OUTCOME_BUS must be the name or ARN of an event bus",
            "IMDS_VERIFY_SECONDS must be a whole number of seconds from 0 to 600",
        ] {
            assert!(errors.contains(expected), "{expected}\nnot in\n{errors}");
        }
        let both = read(&[("IMDS_POLICY", "{}"), ("IMDS_POLICY_FILE", "x")]).unwrap_err().to_string();
        assert!(both.contains("both set"), "{both}");
        let missing = read(&[("IMDS_POLICY_FILE", "/nowhere/policy.json")]).unwrap_err().to_string();
        assert!(missing.contains("\"/nowhere/policy.json\" cannot be read"), "{missing}");
    }
}
