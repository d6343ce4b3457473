//! How rules are named in reports.

use std::fmt;

use crate::text::Quoted;

/// A rule's name, and who answers for it. `Display` is the name in quotation marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleLabel {
    /// The name, unique in the policy.
    pub name: String,
    /// The person or team that answers for the rule.
    pub owner: Option<String>,
    /// The ticket in which the rule was requested or approved.
    pub ticket: Option<String>,
}

impl RuleLabel {
    /// The maximum number of characters of an owner and of a ticket.
    pub(crate) const MOST_CHARACTERS: usize = 200;

    /// ` (owner: payments, ticket: SEC-1234)`, to follow what names the rule; empty without owner and ticket. A valid policy
    /// has nothing in them that needs to be escaped.
    pub fn responsible(&self) -> String {
        let owner = self.owner.iter().map(|owner| format!("owner: {owner}"));
        let ticket = self.ticket.iter().map(|ticket| format!("ticket: {ticket}"));
        let parts: Vec<String> = owner.chain(ticket).collect();
        if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
    }
}

impl fmt::Display for RuleLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Quoted(&self.name).fmt(f)
    }
}
