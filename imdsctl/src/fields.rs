//! Values in files that commands read: identifiers, options and times, checked as they are read.

use std::borrow::Cow;
use std::fmt;

use imds_core::ids::{AccountId, InstanceId, Region};
use imds_core::metadata::{Change, MetadataOptions, OptionName};
use imds_core::text::Quoted;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

fn text<'de, T, E: fmt::Display, D: Deserializer<'de>>(
    deserializer: D,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, D::Error> {
    parse(&Cow::<str>::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// Reads the ID of an account.
pub fn account<'de, D: Deserializer<'de>>(deserializer: D) -> Result<AccountId, D::Error> {
    text(deserializer, AccountId::new)
}

/// Reads a Region.
pub fn region<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Region, D::Error> {
    text(deserializer, Region::new)
}

/// Reads the ID of an instance.
pub fn instance_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<InstanceId, D::Error> {
    text(deserializer, InstanceId::new)
}

/// Reads a time in RFC 3339.
pub fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<OffsetDateTime, D::Error> {
    text(deserializer, |text| {
        OffsetDateTime::parse(text, &Rfc3339)
            .map_err(|_| format!("{} is not a time in RFC 3339", Quoted(text)))
    })
}

/// Returns a time in RFC 3339.
///
/// # Errors
/// The year has more than four digits.
pub fn rfc3339(time: OffsetDateTime) -> Result<String, time::error::Format> {
    time.format(&Rfc3339)
}

/// Reads options with the names and values of the EC2 API.
pub fn options<'de, D: Deserializer<'de>>(deserializer: D) -> Result<MetadataOptions, D::Error> {
    deserializer.deserialize_map(Options)
}

/// Reads a change: at least one option.
pub fn change<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Change, D::Error> {
    Change::new(options(deserializer)?).ok_or_else(|| D::Error::custom("a change has at least one option"))
}

struct Options;

impl<'de> Visitor<'de> for Options {
    type Value = MetadataOptions;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of options")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<MetadataOptions, A::Error> {
        let mut options = MetadataOptions::default();
        while let Some(key) = entries.next_key::<Cow<'_, str>>()? {
            let unknown = || A::Error::custom(format!("unknown option {}", Quoted(&key)));
            let name = OptionName::from_name(&key).ok_or_else(unknown)?;
            let found = entries.next_value::<serde_json::Value>()?;
            let text = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
            let is_of_type = found.is_string() != (name == OptionName::HttpPutResponseHopLimit);
            let value = name.parse(&text).filter(|_| is_of_type);
            let wrong = || {
                let text = found.to_string();
                A::Error::custom(format!("{name} must be {}, not {}", name.expected(), Quoted(&text)))
            };
            if options.get(name).is_some() {
                return Err(A::Error::custom(format!("{name} is there twice")));
            }
            options.set(value.ok_or_else(wrong)?);
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<MetadataOptions, String> {
        options(&mut serde_json::Deserializer::from_str(json)).map_err(|error| error.to_string())
    }

    #[test]
    fn options_are_read_as_they_are_written() {
        for json in [
            "{}",
            r#"{"HttpTokens":"required","HttpEndpoint":"enabled","HttpPutResponseHopLimit":64}"#,
            r#"{"HttpProtocolIpv6":"disabled","InstanceMetadataTags":"enabled"}"#,
        ] {
            assert_eq!(serde_json::to_string(&read(json).unwrap()).unwrap(), json);
        }
    }

    #[test]
    fn an_option_that_ec2_does_not_have_is_an_error() {
        let rows = [
            (r#"{"HttpToken":"required"}"#, "unknown option \"HttpToken\""),
            ("{\"\\u001b[31m\":1}", r#"unknown option "\u{1b}[31m""#),
            (r#"{"HttpTokens":"on"}"#, r#"HttpTokens must be required or optional, not "\"on\"""#),
            (r#"{"HttpTokens":null}"#, "HttpTokens must be required or optional, not \"null\""),
            (
                r#"{"HttpPutResponseHopLimit":"2"}"#,
                "HttpPutResponseHopLimit must be a whole number from 1 to 64",
            ),
            (
                r#"{"HttpPutResponseHopLimit":65}"#,
                "HttpPutResponseHopLimit must be a whole number from 1 to 64",
            ),
            (
                r#"{"HttpPutResponseHopLimit":2.5}"#,
                "HttpPutResponseHopLimit must be a whole number from 1 to 64",
            ),
            (r#"{"HttpTokens":"optional","HttpTokens":"required"}"#, "HttpTokens is there twice"),
            ("[]", "an object of options"),
        ];
        for (json, expected) in rows {
            let error = read(json).unwrap_err();
            assert!(error.contains(expected), "{json}: {error}");
        }
        let none = change(&mut serde_json::Deserializer::from_str("{}")).unwrap_err().to_string();
        assert!(none.contains("at least one option"), "{none}");
    }
}
