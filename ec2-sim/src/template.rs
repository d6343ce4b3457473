//! Launch templates and images, as far as they determine metadata options.

use serde::Deserialize;

use crate::error::ApiError;
use crate::instance::{Options, check_options, is_id};

/// A launch template.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LaunchTemplate {
    /// Its id: `lt-`, and 8 or 17 hexadecimal digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The number of the default version; 0, the default, stands for that of the first version.
    pub default_version: u64,
    /// Its versions, in the order of their numbers. There is at least one.
    pub versions: Vec<LaunchTemplateVersion>,
}

/// A version of a launch template.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LaunchTemplateVersion {
    /// Its number; 0, the default, stands for the number after that of the version before it, or 1.
    pub number: u64,
    /// Its image, if it names one.
    pub image: Option<String>,
    /// The metadata options that it sets, with the API's names and values. Without any, it has no `metadataOptions`.
    pub options: Options,
}

impl LaunchTemplate {
    /// The template with the numbers that 0 stands for.
    ///
    /// # Errors
    /// If the id or an option is not valid, if there is no version, if numbers do not increase, or if the default
    /// version does not exist.
    pub(crate) fn numbered(mut self) -> Result<Self, ApiError> {
        if !is_id("lt-", &self.id) {
            return Err(ApiError::invalid_value(&self.id, "id", "It is not the id of a launch template."));
        }
        let mut before = 0;
        for version in &mut self.versions {
            if version.number == 0 {
                version.number = before + 1;
            }
            if version.number <= before {
                let number = version.number.to_string();
                return Err(ApiError::invalid_value(&number, "number", "Numbers must increase."));
            }
            before = version.number;
            check_options(&version.options)?;
        }
        if self.default_version == 0 {
            self.default_version = self.versions.first().map_or(0, |version| version.number);
        }
        if self.versions.iter().any(|version| version.number == self.default_version) {
            Ok(self)
        } else {
            let number = self.default_version.to_string();
            Err(ApiError::invalid_value(&number, "defaultVersion", "There is no such version."))
        }
    }

    /// The number of the version with the highest number.
    pub(crate) fn latest(&self) -> u64 {
        self.versions.last().map_or(0, |version| version.number)
    }
}

/// An image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    /// Its id: `ami-`, and 8 or 17 hexadecimal digits.
    pub id: String,
    /// Its name; its id if empty.
    pub name: String,
    /// The account that owns it; the account in which it is set up if empty.
    pub owner: String,
    /// `v2.0` if its instances require tokens by default.
    pub imds_support: Option<String>,
}

impl Image {
    /// Checks the id and `imds_support`.
    pub(crate) fn check(&self) -> Result<(), ApiError> {
        if !is_id("ami-", &self.id) {
            return Err(ApiError::invalid_value(&self.id, "id", "It is not the id of an image."));
        }
        match self.imds_support.as_deref() {
            None | Some("v2.0") => Ok(()),
            Some(other) => Err(ApiError::invalid_value(other, "imdsSupport", "Valid values: v2.0.")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbered_and_checked() {
        let version = |number| LaunchTemplateVersion { number, ..LaunchTemplateVersion::default() };
        let template = |numbers: &[u64], default_version| LaunchTemplate {
            id: "lt-0123456789abcdef0".to_owned(),
            name: "web".to_owned(),
            default_version,
            versions: numbers.iter().copied().map(version).collect(),
        };
        for (numbers, default, expected) in [
            (&[0][..], 0, Some((vec![1], 1))),
            (&[0, 0, 0], 2, Some((vec![1, 2, 3], 2))),
            (&[3, 0, 9], 0, Some((vec![3, 4, 9], 3))),
            (&[], 0, None),
            (&[2, 2], 0, None),
            (&[2, 1], 0, None),
            (&[1, 2], 3, None),
        ] {
            let numbered = template(numbers, default).numbered().ok().map(|template| {
                let numbers: Vec<u64> = template.versions.iter().map(|version| version.number).collect();
                (numbers, template.default_version)
            });
            assert_eq!(numbered, expected, "{numbers:?} {default}");
        }
        let mut invalid = template(&[0], 0);
        invalid.versions[0].options.insert("HttpTokens".to_owned(), "never".to_owned());
        assert!(invalid.numbered().is_err());
        assert!(LaunchTemplate { id: "lt-xyz".to_owned(), ..template(&[0], 0) }.numbered().is_err());
    }
}
