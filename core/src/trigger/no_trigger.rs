//! Events that give no trigger.

use std::fmt;

use crate::text::Quoted;

/// Why an event gives no trigger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoTrigger {
    /// The event is done: it names no instance that matters.
    #[error("{0}")]
    Ignored(Ignored),
    /// The event has the source and detail-type of one that matters, but cannot be read, for example because AWS changed
    /// its format. A retry helps only after the function was updated, so the event must be kept.
    #[error("the event cannot be read: {field} is missing or malformed")]
    Unreadable {
        /// The field that is missing or malformed.
        field: &'static str,
    },
}

/// Why an event is ignored. This is not an error: EventBridge rules may match events that are not needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ignored {
    /// Not an EventBridge event.
    NotAnEvent,
    /// An event with a source and detail-type that are not handled.
    Unrelated {
        /// The event's source.
        source: String,
        /// The event's detail-type.
        detail_type: String,
    },
    /// A CloudTrail record of another call.
    OtherCall(String),
    /// The call failed: nothing was launched or changed.
    FailedCall(String),
    /// A change to a state that requires no action.
    OtherState(String),
    /// A change of tags that the policy does not read.
    OtherTags,
    /// A change of tags on a resource that is not an instance.
    OtherResource(String),
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnEvent => f.write_str("not an EventBridge event: source or detail-type is missing"),
            Self::Unrelated { source, detail_type } => {
                write!(f, "source {} with detail-type {} is not handled", Quoted(source), Quoted(detail_type))
            }
            Self::OtherCall(name) => write!(f, "the call {} is not handled", Quoted(name)),
            Self::FailedCall(code) => write!(f, "the call failed with {}", Quoted(code)),
            Self::OtherState(state) => write!(f, "the state {} requires no action", Quoted(state)),
            Self::OtherTags => f.write_str("the policy reads none of the changed tags"),
            Self::OtherResource(kind) => write!(f, "tags of {} are not handled", Quoted(kind)),
        }
    }
}
