//! What a decision says, in sentences.

use imds_core::decide::{Decision, Verdict};

use crate::reconcile::decide::{DecisionContext, makes_tokens_optional};

/// Returns the reason why nothing was decided, if EC2 did not report what the decision needs.
pub(super) fn not_said(decision: &Decision) -> Option<String> {
    let Verdict::Incomplete { missing } = &decision.verdict else { return None };
    let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
    Some(format!("EC2 did not report {}", names.join(", ")))
}

/// Returns the warnings for the instance's owner.
pub(super) fn warnings(decision: &Decision, context: &DecisionContext<'_>) -> Vec<String> {
    let unknown = match (&decision.verdict, &context.tokens_enforced) {
        (Verdict::Change { change, .. }, Some(Err(error))) if makes_tokens_optional(change) => {
            Some(format!("cannot determine whether the account enforces tokens: {error}"))
        }
        _ => None,
    };
    decision.warnings.iter().map(ToString::to_string).chain(unknown).collect()
}
