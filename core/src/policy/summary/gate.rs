//! The usage gate in plain sentences.

use time::OffsetDateTime;

use crate::policy::model::Policy;
use crate::policy::usage_gate::{Launches, OnUnknown, UsageGate};
use crate::text::counted;

/// What the gate does not concern.
const NOT_GATED: &str = "The usage gate concerns only the change of HttpTokens from optional to required while the \
    endpoint stays enabled. It holds back no change of HttpEndpoint, HttpPutResponseHopLimit, HttpProtocolIpv6 or \
    InstanceMetadataTags.";

/// What happens without a gate.
const BREAKS: &str =
    "HttpTokens=required also reaches instances that still use IMDSv1, and breaks what uses it.";

/// What the gate of the policy does, and what no gate concerns.
pub(super) fn of_policy(policy: &Policy, now: OffsetDateTime) -> Vec<String> {
    let whole = match &policy.usage_gate {
        Some(gate) => format!("Usage gate: HttpTokens=required {}", held_back(gate, now)),
        None if policy.gates().next().is_some() => format!("No usage gate beyond the rules: {BREAKS}"),
        None => format!("No usage gate: {BREAKS}"),
    };
    let not_gated = policy.gates().next().map(|_| NOT_GATED.to_owned());
    [whole].into_iter().chain(not_gated).collect()
}

/// What the gate of a rule does, after what it matches.
pub(super) fn of_rule(gate: Option<&UsageGate>, now: OffsetDateTime) -> String {
    match gate {
        None => "has no usage gate: HttpTokens=required reaches it even if it still uses IMDSv1.".to_owned(),
        Some(gate) => format!("has its own usage gate: HttpTokens=required {}", held_back(gate, now)),
    }
}

fn held_back(gate: &UsageGate, now: OffsetDateTime) -> String {
    let UsageGate { lookback_days, min_days, tolerated_calls, launches, on_unknown, until } = gate;
    if let Some(until) = until.filter(|_| !gate.is_active(now)) {
        return format!("was held back through {until} (UTC); this gate has ended and holds nothing back.");
    }
    let calls = match tolerated_calls {
        0 => "a call".to_owned(),
        1 => "more than 1 call".to_owned(),
        calls => format!("more than {calls} calls"),
    };
    let unknown = match on_unknown {
        OnUnknown::Hold => format!(", or has data on fewer than {}", counted(*min_days, "day", "days")),
        OnUnknown::Enforce => String::new(),
    };
    let enforced = match on_unknown {
        OnUnknown::Hold => "",
        OnUnknown::Enforce => " An instance with too little data is enforced.",
    };
    let launches = match launches {
        Launches::Follow => {
            "is held back while an older instance of its Auto Scaling group or launch template is"
        }
        Launches::Enforce => "is enforced",
    };
    let end = until.map(|until| format!(" through {until} (UTC)")).unwrap_or_default();
    format!(
        "is held back{end} from an instance that made {calls} without a token in {}{unknown}.{enforced} A new instance \
         {launches}.",
        counted(*lookback_days, "day", "days")
    )
}
