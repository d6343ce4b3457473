//! The five instance-metadata options, their values, and what may be required of them.
//!
//! Names and values are spelled as `ModifyInstanceMetadataOptions` spells them.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};

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

/// Whether IMDS answers without a session token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum HttpTokens {
    /// IMDSv2 only.
    Required,
    /// IMDSv1 answers as well.
    Optional,
}

impl HttpTokens {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "required" => Some(Self::Required),
            "optional" => Some(Self::Optional),
            _ => None,
        }
    }
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Switch {
    /// Off, the tighter of the two.
    Disabled,
    /// On.
    Enabled,
}

impl Switch {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "disabled" => Some(Self::Disabled),
            "enabled" => Some(Self::Enabled),
            _ => None,
        }
    }
}

/// A hop limit, 1 to 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("minimum" = 1, "maximum" = 64)))]
#[serde(try_from = "i64")]
pub struct HopLimit(u8);

impl TryFrom<i64> for HopLimit {
    type Error = &'static str;

    fn try_from(hops: i64) -> Result<Self, Self::Error> {
        Self::new(hops).ok_or("a hop limit is 1 to 64")
    }
}

impl HopLimit {
    /// The limit of `hops`; `None` outside 1 to 64.
    pub fn new(hops: i64) -> Option<Self> {
        u8::try_from(hops).ok().filter(|hops| (1..=64).contains(hops)).map(Self)
    }

    /// The number of hops.
    pub fn get(self) -> u8 {
        self.0
    }

    fn parse(text: &str) -> Option<Self> {
        let plain = text.len() <= 2 && text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
        text.parse().ok().filter(|_| plain).and_then(Self::new)
    }
}

/// One option with one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OptionValue {
    /// See [`OptionName::HttpTokens`].
    HttpTokens(HttpTokens),
    /// See [`OptionName::HttpEndpoint`].
    HttpEndpoint(Switch),
    /// See [`OptionName::HttpPutResponseHopLimit`].
    HttpPutResponseHopLimit(HopLimit),
    /// See [`OptionName::HttpProtocolIpv6`].
    HttpProtocolIpv6(Switch),
    /// See [`OptionName::InstanceMetadataTags`].
    InstanceMetadataTags(Switch),
}

impl OptionValue {
    /// The option whose value this is.
    pub fn name(self) -> OptionName {
        match self {
            Self::HttpTokens(_) => OptionName::HttpTokens,
            Self::HttpEndpoint(_) => OptionName::HttpEndpoint,
            Self::HttpPutResponseHopLimit(_) => OptionName::HttpPutResponseHopLimit,
            Self::HttpProtocolIpv6(_) => OptionName::HttpProtocolIpv6,
            Self::InstanceMetadataTags(_) => OptionName::InstanceMetadataTags,
        }
    }

    /// Whether this value is less strict than `other`, a value of the same option.
    pub fn is_looser_than(self, other: Self) -> bool {
        debug_assert_eq!(self.name(), other.name());
        self.looseness() > other.looseness()
    }

    fn looseness(self) -> u8 {
        match self {
            Self::HttpTokens(tokens) => u8::from(tokens == HttpTokens::Optional),
            Self::HttpPutResponseHopLimit(limit) => limit.get(),
            Self::HttpEndpoint(switch)
            | Self::HttpProtocolIpv6(switch)
            | Self::InstanceMetadataTags(switch) => u8::from(switch == Switch::Enabled),
        }
    }

    /// The value alone, as the API spells it: `required`, `2`.
    pub fn text(self) -> String {
        match self {
            Self::HttpTokens(HttpTokens::Required) => "required".to_owned(),
            Self::HttpTokens(HttpTokens::Optional) => "optional".to_owned(),
            Self::HttpEndpoint(switch)
            | Self::HttpProtocolIpv6(switch)
            | Self::InstanceMetadataTags(switch) => match switch {
                Switch::Disabled => "disabled".to_owned(),
                Switch::Enabled => "enabled".to_owned(),
            },
            Self::HttpPutResponseHopLimit(limit) => limit.get().to_string(),
        }
    }
}

/// `HttpTokens=required`, as in a tag.
impl fmt::Display for OptionValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name(), self.text())
    }
}

/// The value alone: a string, or a number for a hop limit.
impl Serialize for OptionValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::HttpPutResponseHopLimit(limit) => serializer.serialize_u8(limit.get()),
            _ => serializer.serialize_str(&self.text()),
        }
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

/// What the policy demands of one option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Requirement {
    /// This value and no other.
    Exactly(OptionValue),
    /// A hop limit within bounds, both of them allowed; `at_least` is not above `at_most`.
    HopLimit {
        /// The lowest limit allowed, if there is one.
        at_least: Option<HopLimit>,
        /// The highest limit allowed, if there is one.
        at_most: Option<HopLimit>,
    },
}

impl Requirement {
    /// The option that it is about.
    pub fn name(self) -> OptionName {
        match self {
            Self::Exactly(value) => value.name(),
            Self::HopLimit { .. } => OptionName::HttpPutResponseHopLimit,
        }
    }

    /// The value nearest to `present` that the requirement allows, so `present` itself where that is allowed.
    ///
    /// Without a present value, that of a range is its tightest stated bound.
    pub fn nearest(self, present: Option<OptionValue>) -> OptionValue {
        match (self, present) {
            (Self::Exactly(value), _) => value,
            (Self::HopLimit { at_least, at_most }, Some(OptionValue::HttpPutResponseHopLimit(limit))) => {
                let limit = at_least.map_or(limit, |low| limit.max(low));
                OptionValue::HttpPutResponseHopLimit(at_most.map_or(limit, |high| limit.min(high)))
            }
            (Self::HopLimit { at_least, at_most }, _) => {
                OptionValue::HttpPutResponseHopLimit(at_least.or(at_most).unwrap_or(HopLimit(1)))
            }
        }
    }

    /// Whether `value`, a value of the same option, is allowed.
    pub fn is_met_by(self, value: OptionValue) -> bool {
        self.nearest(Some(value)) == value
    }
}

/// `HttpTokens=required`, or a hop limit's bounds.
impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        match self {
            Self::Exactly(value) => value.fmt(f),
            Self::HopLimit { at_least: Some(low), at_most: Some(high) } => {
                write!(f, "{name} from {} to {}", low.get(), high.get())
            }
            Self::HopLimit { at_least: Some(low), at_most: None } => {
                write!(f, "{name} at least {}", low.get())
            }
            Self::HopLimit { at_least: None, at_most: Some(high) } => {
                write!(f, "{name} at most {}", high.get())
            }
            Self::HopLimit { at_least: None, at_most: None } => write!(f, "{name} of any value"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_values_spelled_as_ec2_spells_them_parse() {
        use OptionName::*;
        let rows = [
            (HttpTokens, "required", true),
            (HttpTokens, "optional", true),
            (HttpTokens, "Required", false),
            (HttpTokens, "required ", false),
            (HttpEndpoint, "disabled", true),
            (HttpProtocolIpv6, "on", false),
            (InstanceMetadataTags, "enabled", true),
            (HttpPutResponseHopLimit, "1", true),
            (HttpPutResponseHopLimit, "64", true),
            (HttpPutResponseHopLimit, "0", false),
            (HttpPutResponseHopLimit, "65", false),
            (HttpPutResponseHopLimit, "-1", false),
            (HttpPutResponseHopLimit, "+2", false),
            (HttpPutResponseHopLimit, "02", false),
            (HttpPutResponseHopLimit, "2.0", false),
            (HttpPutResponseHopLimit, " 2", false),
            (HttpPutResponseHopLimit, "２", false),
            (HttpPutResponseHopLimit, "", false),
        ];
        for (name, text, valid) in rows {
            let parsed = name.parse(text);
            assert_eq!(parsed.is_some(), valid, "{name}={text}");
            if let Some(value) = parsed {
                assert_eq!(value.to_string(), format!("{name}={text}"));
            }
        }
    }

    #[test]
    fn a_range_moves_a_hop_limit_to_its_nearest_bound_only() {
        let limit = |hops| HopLimit::new(hops).map(OptionValue::HttpPutResponseHopLimit);
        let rows = [
            (Some(2), Some(4), Some(1), 2),
            (Some(2), Some(4), Some(3), 3),
            (Some(2), Some(4), Some(64), 4),
            (None, Some(2), Some(1), 1),
            (None, Some(2), Some(3), 2),
            (Some(3), None, Some(1), 3),
            (Some(3), None, Some(9), 9),
            (Some(2), Some(4), None, 2),
            (None, Some(4), None, 4),
        ];
        for (low, high, present, nearest) in rows {
            let range = Requirement::HopLimit {
                at_least: low.and_then(HopLimit::new),
                at_most: high.and_then(HopLimit::new),
            };
            assert_eq!(
                Some(range.nearest(present.and_then(limit))),
                limit(nearest),
                "{low:?}..{high:?} at {present:?}"
            );
        }
    }

    #[test]
    fn looser_is_less_strict() {
        let rows = [
            ("HttpTokens", "optional", "required"),
            ("HttpEndpoint", "enabled", "disabled"),
            ("HttpPutResponseHopLimit", "3", "2"),
            ("HttpProtocolIpv6", "enabled", "disabled"),
            ("InstanceMetadataTags", "enabled", "disabled"),
        ];
        for (name, loose, tight) in rows {
            let name = OptionName::from_name(name).unwrap();
            let (loose, tight) = (name.parse(loose).unwrap(), name.parse(tight).unwrap());
            assert!(loose.is_looser_than(tight), "{loose} is looser than {tight}");
            assert!(!tight.is_looser_than(loose), "{tight} is not looser than {loose}");
            assert!(!loose.is_looser_than(loose), "{loose} is not looser than itself");
        }
    }
}
