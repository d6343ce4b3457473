//! Account ids, Regions and instance ids, checked before they are used.
//!
//! They come from events and are used in filters, host names and ARNs, where a stray `*` or `/` would change the
//! meaning.

use std::fmt;

use serde::Serialize;

use crate::text::Quoted;

/// Text that is not a valid identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is not {expected}", Quoted(text))]
pub struct InvalidId {
    text: String,
    expected: &'static str,
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $is_valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Checks `text`.
            ///
            /// # Errors
            /// If it does not have the form of this identifier.
            pub fn new(text: &str) -> Result<Self, InvalidId> {
                let is_valid: fn(&str) -> bool = $is_valid;
                if is_valid(text) {
                    return Ok(Self(text.to_owned()));
                }
                Err(InvalidId { text: text.chars().take(64).collect(), expected: $expected })
            }

            /// The identifier as AWS writes it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

identifier!(
    /// An AWS account's id: 12 digits.
    AccountId,
    "an AWS account id (12 digits)",
    |text| text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
);

identifier!(
    /// A Region's code: `us-east-1`, `us-gov-west-1`.
    Region,
    "a Region code such as us-east-1",
    is_region
);

identifier!(
    /// An instance's id: `i-` and 8 or 17 hexadecimal digits.
    InstanceId,
    "an instance id (i- and 8 or 17 hexadecimal digits)",
    |text| text.strip_prefix("i-").is_some_and(|hex| {
        matches!(hex.len(), 8 | 17) && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
);

/// Lowercase words joined by hyphens, then a number. The limit of 32 characters is well above any Region code.
fn is_region(text: &str) -> bool {
    let Some((words, number)) = text.rsplit_once('-') else { return false };
    text.len() <= 32
        && words.contains('-')
        && words.split('-').all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase()))
        && !number.is_empty()
        && number.bytes().all(|b| b.is_ascii_digit())
}

/// One account in one Region: the scope of a client and of EC2's API limits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountRegion {
    /// The account that owns the instances.
    pub account: AccountId,
    /// The Region they are in.
    pub region: Region,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_checked() {
        type New = fn(&str) -> bool;
        let account: New = |text| AccountId::new(text).is_ok();
        let region: New = |text| Region::new(text).is_ok();
        let instance: New = |text| InstanceId::new(text).is_ok();
        let rows: &[(New, &str, bool)] = &[
            (account, "111122223333", true),
            (account, "11112222333", false),
            (account, "11112222333x", false),
            (account, "１11122223333", false),
            (region, "us-east-1", true),
            (region, "us-gov-west-1", true),
            (region, "ap-southeast-12", true),
            (region, "us-east-1.evil.example/", false),
            (region, "us-east-", false),
            (region, "east-1", false),
            (region, "", false),
            (instance, "i-0123456789abcdef0", true),
            (instance, "i-01234567", true),
            (instance, "i-*", false),
            (instance, "i-0123456789ABCDEF0", false),
            (instance, "i-0123456789abcdef01", false),
        ];
        for (is_valid, text, expected) in rows {
            assert_eq!(is_valid(text), *expected, "{text:?}");
        }
    }
}
