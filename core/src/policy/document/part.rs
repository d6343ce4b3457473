//! A part of the document, and how objects are read.

use std::collections::BTreeMap;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::text::Quoted;

/// A part of the document, read separately so that one error does not hide the others.
#[derive(Debug, Default)]
pub(in crate::policy) enum Part<T> {
    #[default]
    Absent,
    Read(T),
    Wrong(String),
}

/// What a part must be, for the error message.
pub(in crate::policy) trait Expected {
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
pub(in crate::policy) type Unknown = BTreeMap<String, IgnoredAny>;

/// Defines an object of the document and the keys that it may have.
macro_rules! object {
    ($(#[$doc:meta])* $name:ident { $($(#[$attribute:meta])* $key:literal $field:ident: $type:ty,)* }) => {
        #[derive(Debug, Default, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
        #[serde(default)]
        $(#[$doc])*
        pub(in crate::policy) struct $name {
            $($(#[$attribute])* #[serde(rename = $key)] pub(in crate::policy) $field: Part<$type>,)*
            #[cfg_attr(feature = "schema", schemars(skip))]
            #[serde(flatten)]
            pub(in crate::policy) unknown: Unknown,
        }

        impl $name {
            pub(in crate::policy) const KEYS: &[&str] = &[$($key),*];
        }

        impl Expected for $name {
            const EXPECTED: &'static str = "an object";
        }
    };
}

/// Says what values of these types must be.
macro_rules! expected {
    ($($type:ty: $expected:expr,)*) => {
        $(impl Expected for $type {
            const EXPECTED: &'static str = $expected;
        })*
    };
}

pub(super) use {expected, object};
