//! The values of the options.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use super::name::OptionName;

/// Whether IMDS answers without a session token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename_all = "lowercase"))]
pub enum HttpTokens {
    /// IMDSv2 only.
    Required,
    /// IMDSv1 answers as well.
    Optional,
}

impl HttpTokens {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "required" => Some(Self::Required),
            "optional" => Some(Self::Optional),
            _ => None,
        }
    }
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename_all = "lowercase"))]
pub enum Switch {
    /// Off, the stricter value.
    Disabled,
    /// On.
    Enabled,
}

impl Switch {
    pub(crate) fn parse(text: &str) -> Option<Self> {
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

impl OptionName {
    /// Parses a value of this option from a tag or an EC2 response; `None` if it is not valid.
    ///
    /// A hop limit is plain ASCII digits without a sign, spaces or leading zeros.
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

impl OptionName {
    /// Every value of this option.
    pub(crate) fn values(self) -> Vec<OptionValue> {
        let texts = ["required", "optional", "enabled", "disabled"].map(str::to_owned);
        let numbers = (1..=64).map(|hops| hops.to_string());
        texts.into_iter().chain(numbers).filter_map(|text| self.parse(&text)).collect()
    }
}

impl OptionValue {
    /// Calls without a token are refused: IMDSv2 only.
    pub const TOKENS_REQUIRED: Self = Self::HttpTokens(HttpTokens::Required);

    /// Calls without a token are answered: IMDSv1 and IMDSv2.
    pub const TOKENS_OPTIONAL: Self = Self::HttpTokens(HttpTokens::Optional);

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
