//! Which instances an event names.

use std::fmt;

use time::OffsetDateTime;

use crate::ids::InstanceId;
use crate::text::Quoted;

/// How an event names its instances.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum InstanceSelector {
    /// By their ids.
    Ids(Vec<InstanceId>),
    /// All that were launched with this client token, if CloudTrail omitted the ids.
    ClientToken {
        /// The token.
        token: String,
        /// The minimum number that the launch requested, and so the minimum number that exist.
        at_least: usize,
    },
    /// All that were launched at about this time, if CloudTrail omitted both the ids and the token.
    LaunchedAround(OffsetDateTime),
    /// All with this tag, terminated ones included.
    Tagged {
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
    },
    /// All instances that are not terminated.
    All,
}

impl fmt::Display for InstanceSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ids(ids) => {
                f.write_str(&ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
            }
            Self::ClientToken { token, .. } => write!(f, "the launch with client token {}", Quoted(token)),
            Self::LaunchedAround(time) => write!(f, "the launch at {time}"),
            Self::Tagged { key, value } => write!(f, "the instances with the tag {key}={}", Quoted(value)),
            Self::All => f.write_str("every instance"),
        }
    }
}
