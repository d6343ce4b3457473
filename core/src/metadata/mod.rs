//! The five instance-metadata options, their values, and what may be required of them.
//!
//! Names and values are spelled as `ModifyInstanceMetadataOptions` spells them.

mod requirement;
mod value;

use std::fmt;

use serde::{Serialize, Serializer, ser::SerializeMap};

pub use requirement::Requirement;
pub use value::{HopLimit, HttpTokens, OptionValue, Switch};

/// The name of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OptionName {
    /// Whether IMDSv2's session tokens are required: `required` or `optional`.
    HttpTokens,
    /// Whether IMDS answers at all: `enabled` or `disabled`.
    HttpEndpoint,
    /// How many network hops a token's response may travel: 1 to 64.
    HttpPutResponseHopLimit,
    /// Whether IMDS also answers over IPv6: `enabled` or `disabled`.
    HttpProtocolIpv6,
    /// Whether IMDS shows the instance's tags: `enabled` or `disabled`.
    InstanceMetadataTags,
}

impl OptionName {
    /// Every option, in the order in which reports list them.
    pub const ALL: [Self; 5] = [
        Self::HttpTokens,
        Self::HttpEndpoint,
        Self::HttpPutResponseHopLimit,
        Self::HttpProtocolIpv6,
        Self::InstanceMetadataTags,
    ];

    /// The name as the EC2 API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HttpTokens => "HttpTokens",
            Self::HttpEndpoint => "HttpEndpoint",
            Self::HttpPutResponseHopLimit => "HttpPutResponseHopLimit",
            Self::HttpProtocolIpv6 => "HttpProtocolIpv6",
            Self::InstanceMetadataTags => "InstanceMetadataTags",
        }
    }

    /// The option of that name; case counts.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|option| option.as_str() == name)
    }

    /// The values that the option takes, for error messages.
    pub fn expected(self) -> &'static str {
        match self {
            Self::HttpTokens => "required or optional",
            Self::HttpPutResponseHopLimit => "a whole number from 1 to 64",
            Self::HttpEndpoint | Self::HttpProtocolIpv6 | Self::InstanceMetadataTags => "enabled or disabled",
        }
    }

    /// The value of this option that `text` spells, as in a tag or in EC2's answers; `None` when it is none.
    ///
    /// A hop limit is plain ASCII digits without sign, blanks or leading zeros.
    pub fn parse(self, text: &str) -> Option<OptionValue> {
        match self {
            Self::HttpTokens => HttpTokens::parse(text).map(OptionValue::HttpTokens),
            Self::HttpEndpoint => Switch::parse(text).map(OptionValue::HttpEndpoint),
            Self::HttpPutResponseHopLimit => HopLimit::parse(text).map(OptionValue::HttpPutResponseHopLimit),
            Self::HttpProtocolIpv6 => Switch::parse(text).map(OptionValue::HttpProtocolIpv6),
            Self::InstanceMetadataTags => Switch::parse(text).map(OptionValue::InstanceMetadataTags),
        }
    }
}

impl fmt::Display for OptionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether instance metadata can show a tag of this key, whose value becomes a path under `/tags/instance/`.
///
/// From the EC2 User Guide, "Work with instance tags in instance metadata".
pub(crate) fn metadata_can_carry(key: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_+=,.@:".contains(&b);
    (1..=255).contains(&key.len()) && key.bytes().all(allowed) && !matches!(key, "." | ".." | "_index")
}

/// Values of some or all options: as EC2 reports an instance's, where an option that is not in the set is one
/// that EC2 did not report (or with a value that is not known here).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MetadataOptions([Option<OptionValue>; 5]);

impl MetadataOptions {
    /// The option's value, if it is in the set.
    pub fn get(&self, name: OptionName) -> Option<OptionValue> {
        self.0[name as usize]
    }

    /// Puts a value in, over an earlier one of the same option.
    pub fn set(&mut self, value: OptionValue) {
        self.0[value.name() as usize] = Some(value);
    }

    /// Every value in the set, in the order of [`OptionName::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = OptionValue> + '_ {
        self.0.iter().copied().flatten()
    }

    /// Whether the set has no option.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// These options with `change` on top: what EC2 makes of the instance when it applies the change.
    pub fn with(mut self, change: &Change) -> Self {
        change.0.iter().for_each(|value| self.set(value));
        self
    }

    /// Whether every option that `change` names has the value it names.
    pub fn contains(&self, change: &Change) -> bool {
        change.0.iter().all(|value| self.get(value.name()) == Some(value))
    }
}

impl FromIterator<OptionValue> for MetadataOptions {
    fn from_iter<I: IntoIterator<Item = OptionValue>>(values: I) -> Self {
        let mut options = Self::default();
        values.into_iter().for_each(|value| options.set(value));
        options
    }
}

/// A map from option name to value.
impl Serialize for MetadataOptions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for value in self.iter() {
            map.serialize_entry(value.name().as_str(), &value)?;
        }
        map.end()
    }
}

/// The options to send to EC2, never empty; those that are not in it keep their state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Change(MetadataOptions);

impl Change {
    /// The change to `options`; `None` when there is nothing to send.
    pub fn new(options: MetadataOptions) -> Option<Self> {
        (!options.is_empty()).then_some(Self(options))
    }

    /// The options that the change names.
    pub fn options(&self) -> &MetadataOptions {
        &self.0
    }
}
