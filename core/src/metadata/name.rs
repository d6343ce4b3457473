//! The names of the options.

use std::fmt;

/// The name of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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

    /// The option with that name (case-sensitive).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|option| option.as_str() == name)
    }

    /// The valid values of the option, for error messages.
    pub fn expected(self) -> &'static str {
        match self {
            Self::HttpTokens => "required or optional",
            Self::HttpPutResponseHopLimit => "a whole number from 1 to 64",
            Self::HttpEndpoint | Self::HttpProtocolIpv6 | Self::InstanceMetadataTags => "enabled or disabled",
        }
    }
}

impl fmt::Display for OptionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
