//! The policy document as written. The JSON Schema is generated from these types.

use std::collections::BTreeMap;

use serde::de::{DeserializeOwned, Error, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::day::parse_date;
use super::model::Authority;
use crate::metadata::{HopLimit, HttpTokens, Switch};
use crate::text::Quoted;

/// A part of the document, read separately so that one error does not hide the others.
#[derive(Debug, Default)]
pub(super) enum Part<T> {
    #[default]
    Absent,
    Read(T),
    Wrong(String),
}

/// What a part must be, for the error message.
pub(super) trait Expected {
    const EXPECTED: &'static str;
}

impl<'de, T: DeserializeOwned + Expected> Deserialize<'de> for Part<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Ok(match T::deserialize(&value) {
            Ok(read) => Self::Read(read),
            Err(_) => Self::Wrong(format!("must be {}, not {}", T::EXPECTED, kind_of(&value))),
        })
    }
}

/// Reads one of several words. Unlike a derived `Deserialize`, it does not accept `{"required": null}`.
macro_rules! words {
    ($($type:ty: $expected:literal,)*) => {
        $(impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::parse(&String::deserialize(deserializer)?).ok_or_else(|| D::Error::custom($expected))
            }
        }

        impl Expected for $type {
            const EXPECTED: &'static str = $expected;
        })*
    };
}

words! {
    HttpTokens: "required or optional",
    Switch: "enabled or disabled",
    Authority: "none, tighten or loosen",
}

/// How an error message describes an invalid value.
fn kind_of(value: &Value) -> String {
    match value {
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::String(text) => Quoted(text).to_string(),
        scalar => scalar.to_string().chars().take(64).collect(),
    }
}

/// Keys that are not in the schema.
pub(super) type Unknown = BTreeMap<String, IgnoredAny>;

/// Defines an object of the document and the keys that it may have.
macro_rules! object {
    ($(#[$doc:meta])* $name:ident { $($(#[$attribute:meta])* $key:literal $field:ident: $type:ty,)* }) => {
        #[derive(Debug, Default, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
        #[serde(default)]
        $(#[$doc])*
        pub(super) struct $name {
            $($(#[$attribute])* #[serde(rename = $key)] pub(super) $field: Part<$type>,)*
            #[cfg_attr(feature = "schema", schemars(skip))]
            #[serde(flatten)]
            pub(super) unknown: Unknown,
        }

        impl $name {
            pub(super) const KEYS: &[&str] = &[$($key),*];
        }

        impl Expected for $name {
            const EXPECTED: &'static str = "an object";
        }
    };
}

object! {
    /// The instance metadata options that imds-enforcer requires of EC2 instances.
    Document {
        /// The JSON Schema that an editor checks this document against. It has no other effect.
        "$schema" schema: String,
        /// Requirements for every instance. Options without a requirement are not changed.
        "baseline" baseline: Options,
        /// Rules, in order. Each matching rule overrides the baseline and earlier rules, option by option.
        "rules" rules: Vec<Part<Rule>>,
        /// What an instance's own tags may set.
        "instanceTags" instance_tags: InstanceTags,
    }
}

object! {
    /// Requirements by option, with the names and values of the EC2 API.
    Options {
        /// `required` means IMDSv2 only.
        "HttpTokens" http_tokens: HttpTokens,
        /// Whether IMDS answers at all. If `disabled` is required and IMDS is on, only this option is changed.
        "HttpEndpoint" http_endpoint: Switch,
        /// How many network hops a token may travel. A limit outside a range is changed to the nearest bound.
        "HttpPutResponseHopLimit" http_put_response_hop_limit: Hops,
        /// Whether IMDS answers over IPv6.
        "HttpProtocolIpv6" http_protocol_ipv6: Switch,
        /// Whether IMDS shows the instance's tags.
        "InstanceMetadataTags" instance_metadata_tags: Switch,
    }
}

object! {
    /// A hop limit's bounds, either one or both.
    #[cfg_attr(feature = "schema", schemars(extend("minProperties" = 1)))]
    Range {
        /// The lowest limit allowed.
        "atLeast" at_least: HopLimit,
        /// The highest limit allowed.
        "atMost" at_most: HopLimit,
    }
}

object! {
    /// Requirements or an exemption for the instances that it matches.
    #[cfg_attr(feature = "schema", schemars(extend(
        "required" = ["name"],
        "oneOf" = [{"required": ["require"]}, {"required": ["exempt"]}],
        "if" = {"required": ["exempt"]},
        "then" = {"required": ["when"], "properties": {"when": {"minProperties": 1}}}
    )))]
    Rule {
        /// The name of the rule in reports. It must be unique.
        #[cfg_attr(feature = "schema", schemars(extend("pattern" = "\\S")))]
        "name" name: String,
        /// Conditions that an instance must meet. Without them, the rule matches every instance, and may not exempt.
        "when" when: When,
        /// Requirements for the matching instances.
        #[cfg_attr(feature = "schema", schemars(extend("minProperties" = 1)))]
        "require" require: Options,
        /// Exempts the matching instances, regardless of the order of rules.
        "exempt" exempt: Exempt,
    }
}

object! {
    /// Conditions; all must hold. `*` and `?` are wildcards. Everything else is literal and case-sensitive.
    When {
        /// Literal tag keys, each with the values that match; `*` matches whenever the tag is present.
        #[cfg_attr(feature = "schema", schemars(extend("minProperties" = 1, "propertyNames" = {"pattern": "^[^*?]{1,128}$"})))]
        "tags" tags: BTreeMap<String, Part<Patterns>>,
        /// Account ids.
        "accounts" accounts: Patterns,
        /// Region codes.
        "regions" regions: Patterns,
    }
}

object! {
    /// How long an exemption lasts.
    #[cfg_attr(feature = "schema", schemars(extend("required" = ["until"])))]
    Exempt {
        /// The last day of the exemption, in UTC.
        "until" until: DateText,
    }
}

object! {
    /// What an instance's own tags may set, one tag per option, such as `imds:HttpTokens=required`.
    #[cfg_attr(feature = "schema", schemars(extend("not" = {
        "required": ["authority", "exemptions"],
        "properties": {"authority": {"const": "none"}}
    })))]
    InstanceTags {
        /// The prefix of the keys of these tags. The default is `imds:`.
        #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 64), extend("pattern" = "^(?![aA][wW][sS]:)")))]
        "prefix" prefix: String,
        /// What a tag may change. The default is `tighten`.
        "authority" authority: Authority,
        /// Lets the tag `ExemptUntil` under the prefix exempt its instance. Without it, no tag can.
        "exemptions" exemptions: Exemptions,
    }
}

object! {
    /// How long a tag may exempt its instance.
    #[cfg_attr(feature = "schema", schemars(extend("required" = ["maxDays"])))]
    Exemptions {
        /// The maximum number of days from today. It limits each renewal, not the total.
        "maxDays" max_days: Days,
        /// The maximum number of days since the instance first ran. It limits all renewals together.
        "maxAgeDays" max_age_days: Days,
    }
}

/// A hop limit, or its bounds.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub(super) enum Hops {
    Exactly(HopLimit),
    Range(Range),
}

/// A pattern, or a list of patterns of which one must match.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub(super) enum Patterns {
    One(String),
    Several(#[cfg_attr(feature = "schema", schemars(length(min = 1)))] Vec<Part<String>>),
}

/// A date such as `2027-03-31`.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String")]
#[cfg_attr(feature = "schema", schemars(with = "String", extend("format" = "date", "pattern" = "^\\d{4}-\\d{2}-\\d{2}$")))]
pub(super) struct DateText(pub(super) time::Date);

impl TryFrom<String> for DateText {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        parse_date(&text).map(Self).ok_or(Self::EXPECTED)
    }
}

/// A number of days, 1 to 3650.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "u16")]
#[cfg_attr(feature = "schema", schemars(with = "u16", extend("minimum" = 1, "maximum" = 3650)))]
pub(super) struct Days(pub(super) u16);

impl TryFrom<u16> for Days {
    type Error = &'static str;

    fn try_from(days: u16) -> Result<Self, Self::Error> {
        if (1..=3650).contains(&days) { Ok(Self(days)) } else { Err(Self::EXPECTED) }
    }
}

macro_rules! expected {
    ($($type:ty: $expected:expr,)*) => {
        $(impl Expected for $type {
            const EXPECTED: &'static str = $expected;
        })*
    };
}

expected! {
    String: "a string",
    Vec<Part<Rule>>: "a list of rules",
    BTreeMap<String, Part<Patterns>>: "an object of tag keys",
    HopLimit: "a whole number from 1 to 64",
    Hops: "a whole number from 1 to 64, or an object with atLeast, atMost or both",
    Patterns: "a pattern or a list of patterns",
    DateText: "a date such as 2027-03-31",
    Days: "a whole number from 1 to 3650",
}
