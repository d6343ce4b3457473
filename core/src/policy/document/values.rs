//! The words, dates and numbers of a document.

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::part::{Expected, expected};
use crate::metadata::{HopLimit, HttpTokens, OptionName, Switch};
use crate::mode::Mode;
use crate::policy::day::parse_date;
use crate::policy::model::Authority;
use crate::policy::usage_gate::{Launches, OnUnknown};

/// Reads one of several words. Unlike a derived `Deserialize`, it does not accept `{"required": null}`.
macro_rules! words {
    ($($type:ty, $parse:path: $expected:literal,)*) => {
        $(impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $parse(&String::deserialize(deserializer)?).ok_or_else(|| D::Error::custom($expected))
            }
        }

        impl Expected for $type {
            const EXPECTED: &'static str = $expected;
        })*
    };
}

words! {
    HttpTokens, HttpTokens::parse: "required or optional",
    Switch, Switch::parse: "enabled or disabled",
    Authority, Authority::parse: "none, tighten or loosen",
    Mode, Mode::parse: "enforce or dry-run",
    Launches, Launches::parse: "follow or enforce",
    OnUnknown, OnUnknown::parse: "hold or enforce",
    OptionName, OptionName::from_name: "the name of an option, such as HttpTokens",
}

/// A date such as `2027-03-31`.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String")]
#[cfg_attr(feature = "schema", schemars(with = "String", extend("format" = "date", "pattern" = "^\\d{4}-\\d{2}-\\d{2}$")))]
pub(in crate::policy) struct DateText(pub(in crate::policy) time::Date);

impl TryFrom<String> for DateText {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        parse_date(&text).map(Self).ok_or(Self::EXPECTED)
    }
}

/// Defines whole numbers within inclusive bounds.
macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident($type:ident): $low:literal to $high:literal, $expected:literal;)*) => {
        $($(#[$doc])*
        #[derive(Debug, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(try_from = "u64")]
        #[cfg_attr(feature = "schema", schemars(with = "u64", extend("minimum" = $low, "maximum" = $high)))]
        pub(in crate::policy) struct $name(pub(in crate::policy) $type);

        impl TryFrom<u64> for $name {
            type Error = &'static str;

            fn try_from(number: u64) -> Result<Self, Self::Error> {
                let number = $type::try_from(number).ok().filter(|number| ($low..=$high).contains(number));
                number.map(Self).ok_or(Self::EXPECTED)
            }
        }

        impl Expected for $name {
            const EXPECTED: &'static str = $expected;
        })*
    };
}

numbers! {
    /// A number of days, 1 to 3650.
    Days(u16): 1 to 3650, "a whole number from 1 to 3650";
    /// A number of days of use, 1 to 90.
    DaysOfUse(u16): 1 to 90, "a whole number from 1 to 90";
    /// A number of calls, 0 to 1,000,000.
    Calls(u64): 0 to 1_000_000, "a whole number from 0 to 1000000";
    // `Limits::MOST_CHANGES` is the same number.
    /// A number of changes, 1 to 10,000.
    Changes(usize): 1 to 10_000, "a whole number from 1 to 10000";
}

expected! {
    String: "a string",
    HopLimit: "a whole number from 1 to 64",
    DateText: "a date such as 2027-03-31",
}
