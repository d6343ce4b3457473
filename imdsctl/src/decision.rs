//! Decisions in words.

use imds_core::decide::Verdict;
use imds_core::metadata::Change;
use imds_core::outcome::Outcome;

/// Returns whether the instance is not, or may not be, as the policy requires.
pub fn is_finding(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Compliant { .. } | Verdict::Exempt { .. } | Verdict::OutOfScope { .. } => false,
        Verdict::Change { .. }
        | Verdict::Blocked { .. }
        | Verdict::InUse { .. }
        | Verdict::NeedsUsage(_)
        | Verdict::Incomplete { .. } => true,
    }
}

/// Returns the name of a decision: that of the function's outcome, where there is one. Tokens that are held back make it
/// `in-use`, also where another option is changed.
pub fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Compliant { .. } => Outcome::Compliant.as_str(),
        Verdict::Change { .. } if verdict.held_back().is_some() => Outcome::InUse.as_str(),
        Verdict::Change { .. } => "change",
        Verdict::Exempt { .. } => Outcome::Exempt.as_str(),
        Verdict::OutOfScope { .. } => Outcome::OutOfScope.as_str(),
        Verdict::Blocked { .. } => Outcome::Blocked.as_str(),
        Verdict::InUse { .. } => Outcome::InUse.as_str(),
        // The function asks, and then decides.
        Verdict::NeedsUsage(_) => "needs-usage",
        Verdict::Incomplete { .. } => Outcome::NotReady.as_str(),
    }
}

/// Returns what would be changed.
pub fn change(verdict: &Verdict) -> Option<&Change> {
    match verdict {
        Verdict::Change { change, .. } => Some(change),
        _ => None,
    }
}

/// Returns the reasons in sentences, or what is missing for a decision.
pub fn reasons(verdict: &Verdict) -> Vec<String> {
    match verdict {
        Verdict::NeedsUsage(needed) => vec![needed.to_string()],
        Verdict::Incomplete { missing } => {
            missing.iter().map(|value| format!("EC2 did not report {value}")).collect()
        }
        verdict => verdict.reasons().iter().map(ToString::to_string).collect(),
    }
}
