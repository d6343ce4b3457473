//! What the policy requires of an option.

use std::fmt;

use super::name::OptionName;
use super::value::{HopLimit, OptionValue};

/// What the policy requires of one option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Requirement {
    /// This value and no other.
    Exactly(OptionValue),
    /// A hop limit within inclusive bounds; `at_least` is not above `at_most`.
    HopLimit {
        /// The lowest limit allowed, if there is one.
        at_least: Option<HopLimit>,
        /// The highest limit allowed, if there is one.
        at_most: Option<HopLimit>,
    },
}

impl Requirement {
    /// The option that it applies to.
    pub fn name(self) -> OptionName {
        match self {
            Self::Exactly(value) => value.name(),
            Self::HopLimit { .. } => OptionName::HttpPutResponseHopLimit,
        }
    }

    /// The allowed value nearest to `present`, a value of the same option: `present` itself if it is allowed.
    pub fn nearest(self, present: OptionValue) -> OptionValue {
        debug_assert_eq!(self.name(), present.name());
        match (self, present) {
            (Self::Exactly(value), _) => value,
            (Self::HopLimit { at_least, at_most }, OptionValue::HttpPutResponseHopLimit(limit)) => {
                let limit = at_least.map_or(limit, |low| limit.max(low));
                OptionValue::HttpPutResponseHopLimit(at_most.map_or(limit, |high| limit.min(high)))
            }
            (Self::HopLimit { .. }, other) => other,
        }
    }

    /// Whether `value`, a value of the same option, is allowed.
    pub fn is_met_by(self, value: OptionValue) -> bool {
        self.nearest(value) == value
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
    fn a_range_moves_a_hop_limit_to_its_nearest_bound_only() {
        let limit = |hops| OptionValue::HttpPutResponseHopLimit(HopLimit::new(hops).unwrap());
        let rows = [
            (Some(2), Some(4), 1, 2),
            (Some(2), Some(4), 3, 3),
            (Some(2), Some(4), 64, 4),
            (None, Some(2), 1, 1),
            (None, Some(2), 3, 2),
            (Some(3), None, 1, 3),
            (Some(3), None, 9, 9),
        ];
        for (low, high, present, nearest) in rows {
            let range = Requirement::HopLimit {
                at_least: low.and_then(HopLimit::new),
                at_most: high.and_then(HopLimit::new),
            };
            assert_eq!(range.nearest(limit(present)), limit(nearest), "{low:?}..{high:?} at {present}");
        }
    }
}
