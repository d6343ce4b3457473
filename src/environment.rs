//! The environment of the process.

use std::collections::BTreeMap;
use std::ffi::OsString;

use crate::config::VARIABLES;

/// The prefixes of the variables that the function and the AWS SDK read.
const READ: [&str; 3] = ["IMDS_", "AWS_", "SSL_CERT_"];

/// The variables that the function may read, all of them UTF-8.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Takes the variables, which are `std::env::vars_os()` in production. The second result is what is wrong with them:
    /// each that begins with `IMDS_` and is not known, and each that is read and is not UTF-8.
    pub fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> (Self, Vec<String>) {
        let (mut read, mut errors) = (BTreeMap::new(), Vec::new());
        for (name, value) in variables {
            let name = name.to_string_lossy().into_owned();
            if !READ.iter().any(|prefix| name.starts_with(prefix)) {
                continue;
            }
            if name.starts_with("IMDS_") && !VARIABLES.contains(&&*name) {
                let known = VARIABLES.join(", ");
                errors.push(format!(
                    "{name:?} is not a variable of imds-enforcer: remove it, or use one of {known}"
                ));
            }
            match value.into_string() {
                Ok(value) => drop(read.insert(name, value)),
                Err(_) => errors.push(format!("{name:?} must be UTF-8")),
            }
        }
        (Self(read), errors)
    }

    /// Returns the value of a variable.
    pub fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    fn environment(variables: &[(&str, &[u8])]) -> (Environment, Vec<String>) {
        let os = |text: &[u8]| OsString::from_vec(text.to_vec());
        Environment::new(variables.iter().map(|(name, value)| (os(name.as_bytes()), os(value))))
    }

    #[test]
    fn known_variables_are_read() {
        let read = environment(&[("IMDS_MODE", b"dry-run"), ("SSL_CERT_FILE", b""), ("OTHER", b"\xff")]).0;
        assert_eq!(read.get("IMDS_MODE").as_deref(), Some("dry-run"));
        assert_eq!((read.get("SSL_CERT_FILE").as_deref(), read.get("OTHER")), (Some(""), None));
    }

    #[test]
    fn unknown_variables_and_values_that_are_not_utf_8_are_errors() {
        let rows: [(&str, &[u8], &str); 4] = [
            ("IMDS_MODES", b"enforce", "\"IMDS_MODES\" is not a variable of imds-enforcer"),
            ("IMDS_MODIFYRATE", b"", "\"IMDS_MODIFYRATE\" is not a variable of imds-enforcer"),
            ("IMDS_MODE", b"enforce\xff", "\"IMDS_MODE\" must be UTF-8"),
            ("SSL_CERT_FILE", b"/\xff", "\"SSL_CERT_FILE\" must be UTF-8"),
        ];
        for (name, value, expected) in rows {
            let errors = environment(&[(name, value)]).1;
            assert!(errors.len() == 1 && errors[0].starts_with(expected), "{name}: {errors:?}");
        }
    }
}
