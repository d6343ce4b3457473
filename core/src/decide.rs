//! Policy × facts × now → decision.

use std::collections::BTreeMap;
use std::fmt;

use time::OffsetDateTime;

use crate::ids::{AccountId, Region};
use crate::instance::{Instance, InstanceState};
use crate::metadata::{Change, HttpTokens, MetadataOptions, OptionName, OptionValue, Requirement, Switch};
use crate::policy::Policy;

/// All that is known about an instance when it is decided on.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The account that owns it.
    pub account: &'a AccountId,
    /// The Region it is in.
    pub region: &'a Region,
    /// What EC2 said of it.
    pub instance: &'a Instance,
    /// Whether the account's defaults enforce tokens (`HttpTokensEnforced`); `None` where nobody asked EC2.
    pub tokens_enforced: Option<bool>,
}

/// What has to be done about an instance, and what its owner should know beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What has to be done.
    pub verdict: Verdict,
    /// What was left out or ignored on the way.
    pub warnings: Vec<Warning>,
}

/// What has to be done about an instance, with the reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every requirement already holds.
    Compliant {
        /// The requirements that hold.
        reasons: Vec<Reason>,
    },
    /// Send exactly `change`; nothing else moves.
    Change {
        /// What differs.
        change: Change,
        /// The requirements that ask for it.
        reasons: Vec<Reason>,
    },
    /// Not ours to change.
    OutOfScope {
        /// Why not.
        reasons: Vec<Reason>,
    },
    /// Something is required, but EC2 would refuse all of it; the warnings say why.
    Blocked {
        /// The requirements that cannot be met.
        reasons: Vec<Reason>,
    },
}

impl Verdict {
    /// Why it was decided so.
    pub fn reasons(&self) -> &[Reason] {
        match self {
            Self::Compliant { reasons }
            | Self::Change { reasons, .. }
            | Self::OutOfScope { reasons }
            | Self::Blocked { reasons } => reasons,
        }
    }
}

/// Why a decision is what it is. `Display` is the sentence that reports show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// A part of the policy requires it.
    Required(Demand),
    /// The policy asks nothing of this instance.
    NothingRequired,
    /// IMDS is off and nothing asks for it, so the other options are moot.
    EndpointDisabled,
    /// The instance is on its way out.
    Ending(InstanceState),
    /// Another operator manages the instance.
    ManagedBy(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Required(demand) => write!(f, "{} requires {}", demand.origin, demand.requirement),
            Self::NothingRequired => f.write_str("the policy requires nothing of this instance"),
            Self::EndpointDisabled => {
                f.write_str("HttpEndpoint is disabled, which makes the other options moot")
            }
            Self::Ending(state) => write!(f, "the instance is {state}"),
            Self::ManagedBy(operator) => write!(f, "the instance is managed by {}", operator.escape_debug()),
        }
    }
}

/// What is required of one option of an instance, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    /// What is required.
    pub requirement: Requirement,
    /// Where it comes from.
    pub origin: Origin,
}

impl Demand {
    fn is_met_by(&self, options: &MetadataOptions) -> bool {
        options.get(self.requirement.name()).is_some_and(|value| self.requirement.is_met_by(value))
    }
}

/// The part of the policy that a requirement comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// `baseline`.
    Baseline,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Baseline => f.write_str("baseline"),
        }
    }
}

/// Something that was left out of a change, or ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// `InstanceMetadataTags=enabled` is left out: EC2 refuses it while the instance has this tag key.
    TagKeyForbidsMetadataTags {
        /// The first such key.
        key: String,
    },
    /// `HttpTokens=optional` is left out: EC2 refuses it while the account's defaults enforce tokens.
    TokensEnforced,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TagKeyForbidsMetadataTags { key } => write!(
                f,
                "InstanceMetadataTags=enabled is left out: EC2 refuses it while the instance has the tag key {key:?}"
            ),
            Self::TokensEnforced => f.write_str(
                "HttpTokens=optional is left out: EC2 refuses it while the account's HttpTokensEnforced is enabled",
            ),
        }
    }
}

/// Decides what `policy` asks of the instance in `facts`.
///
/// `_now` decides which exemptions hold.
pub fn decide(policy: &Policy, facts: &Facts<'_>, _now: OffsetDateTime) -> Decision {
    let mut warnings = Vec::new();
    let verdict = match out_of_scope(facts.instance) {
        Some(reason) => Verdict::OutOfScope { reasons: vec![reason] },
        None => plan(&demands(policy), facts, &mut warnings),
    };
    Decision { verdict, warnings }
}

fn out_of_scope(instance: &Instance) -> Option<Reason> {
    if instance.state.is_final() {
        return Some(Reason::Ending(instance.state));
    }
    instance.managed_by.clone().map(Reason::ManagedBy)
}

/// What is required of one instance, an option each.
type Demands = BTreeMap<OptionName, Demand>;

fn demands(policy: &Policy) -> Demands {
    let demand = |&requirement| Demand { requirement, origin: Origin::Baseline };
    policy.baseline.iter().map(|(&name, requirement)| (name, demand(requirement))).collect()
}

/// What to send so that the demands hold.
fn plan(demands: &Demands, facts: &Facts<'_>, warnings: &mut Vec<Warning>) -> Verdict {
    let present = &facts.instance.options;
    let mut unmet: Vec<&Demand> = demands.values().filter(|demand| !demand.is_met_by(present)).collect();

    let off = OptionValue::HttpEndpoint(Switch::Disabled);
    if unmet.iter().any(|demand| demand.requirement == Requirement::Exactly(off)) {
        // Switching IMDS off makes the rest moot, so it goes alone.
        unmet.retain(|demand| demand.requirement.name() == OptionName::HttpEndpoint);
    } else if present.get(OptionName::HttpEndpoint) == Some(off)
        && !unmet.iter().any(|demand| demand.requirement.name() == OptionName::HttpEndpoint)
    {
        return Verdict::Compliant { reasons: vec![Reason::EndpointDisabled] };
    }
    if unmet.is_empty() {
        let reasons =
            if demands.is_empty() { vec![Reason::NothingRequired] } else { reasons(demands.values()) };
        return Verdict::Compliant { reasons };
    }

    let wanted = |demand: &Demand| demand.requirement.nearest(present.get(demand.requirement.name()));
    let (sent, held): (Vec<&Demand>, Vec<&Demand>) = unmet.into_iter().partition(|demand| {
        let refusal = refusal(wanted(demand), facts);
        warnings.extend(refusal.iter().cloned());
        refusal.is_none()
    });
    match Change::new(sent.iter().map(|demand| wanted(demand)).collect()) {
        Some(change) => Verdict::Change { change, reasons: reasons(sent) },
        None => Verdict::Blocked { reasons: reasons(held) },
    }
}

fn reasons<'d>(demands: impl IntoIterator<Item = &'d Demand>) -> Vec<Reason> {
    demands.into_iter().cloned().map(Reason::Required).collect()
}

/// Why EC2 would refuse this value on this instance, where that can be told beforehand.
fn refusal(value: OptionValue, facts: &Facts<'_>) -> Option<Warning> {
    match value {
        OptionValue::InstanceMetadataTags(Switch::Enabled) => {
            let key = facts.instance.tags.keys().find(|key| !metadata_can_carry(key))?;
            Some(Warning::TagKeyForbidsMetadataTags { key: key.clone() })
        }
        OptionValue::HttpTokens(HttpTokens::Optional) if facts.tokens_enforced == Some(true) => {
            Some(Warning::TokensEnforced)
        }
        _ => None,
    }
}

/// Whether instance metadata can show a tag of this key, whose value becomes a path under `/tags/instance/`.
///
/// From the EC2 User Guide, "Work with instance tags in instance metadata".
fn metadata_can_carry(key: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_+=,.@:".contains(&b);
    (1..=255).contains(&key.len()) && key.bytes().all(allowed) && !matches!(key, "." | ".." | "_index")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::InstanceId;
    use time::macros::datetime;

    /// An instance with all five options, `overrides` on top of IMDSv1's old defaults.
    fn instance(overrides: &[(&str, &str)]) -> Instance {
        let defaults = [
            ("HttpTokens", "optional"),
            ("HttpEndpoint", "enabled"),
            ("HttpPutResponseHopLimit", "1"),
            ("HttpProtocolIpv6", "disabled"),
            ("InstanceMetadataTags", "disabled"),
        ];
        let value = |(name, text): &(&str, &str)| OptionName::from_name(name).unwrap().parse(text).unwrap();
        Instance {
            id: InstanceId::new("i-0123456789abcdef0").unwrap(),
            state: InstanceState::Running,
            tags: BTreeMap::new(),
            options: defaults.iter().chain(overrides).map(value).collect(),
            options_state: None,
            launch_time: None,
            managed_by: None,
        }
    }

    fn decide_with(policy: &str, instance: &Instance, tokens_enforced: Option<bool>) -> Decision {
        let account = AccountId::new("111122223333").unwrap();
        let region = Region::new("us-east-1").unwrap();
        let facts = Facts { account: &account, region: &region, instance, tokens_enforced };
        decide(&Policy::parse(policy).unwrap(), &facts, datetime!(2026-03-17 00:00 UTC))
    }

    /// The verdict's kind and change in one line, and the warnings.
    fn summary(decision: &Decision) -> (String, Vec<String>) {
        let verdict = match &decision.verdict {
            Verdict::Compliant { .. } => "compliant".to_owned(),
            Verdict::Change { change, .. } => {
                change.options().iter().map(|value| value.to_string()).collect::<Vec<_>>().join(" ")
            }
            Verdict::OutOfScope { .. } => "out-of-scope".to_owned(),
            Verdict::Blocked { .. } => "blocked".to_owned(),
        };
        (verdict, decision.warnings.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_baseline_changes_only_what_differs() {
        let tokens = r#"{"baseline": {"HttpTokens": "required"}}"#;
        let tokens_and_hop = r#"{"baseline": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}}"#;
        let range = r#"{"baseline": {"HttpPutResponseHopLimit": {"atMost": 2}}}"#;
        let off = r#"{"baseline": {"HttpEndpoint": "disabled", "HttpTokens": "required"}}"#;
        let on = r#"{"baseline": {"HttpEndpoint": "enabled", "HttpTokens": "required", "HttpProtocolIpv6": "enabled"}}"#;
        let (disabled, v2) = (("HttpEndpoint", "disabled"), ("HttpTokens", "required"));
        let rows: &[(&str, &str, &[(&str, &str)], &str)] = &[
            ("IMDSv1", tokens, &[], "HttpTokens=required"),
            ("IMDSv2 already", tokens, &[v2], "compliant"),
            (
                "hop limit nobody asked for",
                tokens,
                &[("HttpPutResponseHopLimit", "3")],
                "HttpTokens=required",
            ),
            // Cloud Custodian ANDs its filters and would skip this one.
            ("only one of two differs", tokens_and_hop, &[], "HttpTokens=required"),
            (
                "the other of two differs",
                tokens_and_hop,
                &[v2, ("HttpPutResponseHopLimit", "2")],
                "HttpPutResponseHopLimit=1",
            ),
            ("limit inside its range", range, &[("HttpPutResponseHopLimit", "2")], "compliant"),
            (
                "limit above its range",
                range,
                &[("HttpPutResponseHopLimit", "3")],
                "HttpPutResponseHopLimit=2",
            ),
            ("nothing required", "{}", &[], "compliant"),
            // Others send HttpEndpoint=enabled with every change.
            ("endpoint switched off on purpose", tokens, &[disabled], "compliant"),
            ("endpoint to be switched off", off, &[], "HttpEndpoint=disabled"),
            ("endpoint off as required", off, &[disabled], "compliant"),
            (
                "endpoint to be switched on",
                on,
                &[disabled],
                "HttpTokens=required HttpEndpoint=enabled HttpProtocolIpv6=enabled",
            ),
            ("endpoint on as required", on, &[], "HttpTokens=required HttpProtocolIpv6=enabled"),
        ];
        for (name, policy, overrides, expected) in rows {
            let decision = decide_with(policy, &instance(overrides), None);
            assert_eq!(summary(&decision), ((*expected).to_owned(), vec![]), "{name}");
        }
    }

    #[test]
    fn an_option_that_ec2_does_not_report_is_sent() {
        let mut instance = instance(&[]);
        instance.options = MetadataOptions::default();
        let decision = decide_with(r#"{"baseline": {"HttpTokens": "required"}}"#, &instance, None);
        assert_eq!(summary(&decision).0, "HttpTokens=required");
    }

    #[test]
    fn what_ec2_would_refuse_is_left_out_and_the_rest_is_sent() {
        let both = r#"{"baseline": {"HttpTokens": "required", "InstanceMetadataTags": "enabled"}}"#;
        let mut tagged = instance(&[]);
        tagged.tags.insert("kubernetes.io/cluster/x".to_owned(), "owned".to_owned());
        let warning = "InstanceMetadataTags=enabled is left out: EC2 refuses it while the instance has the tag key \
                       \"kubernetes.io/cluster/x\"";
        let decision = decide_with(both, &tagged, None);
        assert_eq!(summary(&decision), ("HttpTokens=required".to_owned(), vec![warning.to_owned()]));

        let tags_only = r#"{"baseline": {"InstanceMetadataTags": "enabled"}}"#;
        let decision = decide_with(tags_only, &tagged, None);
        assert_eq!(summary(&decision), ("blocked".to_owned(), vec![warning.to_owned()]));

        let loosen = r#"{"baseline": {"HttpTokens": "optional", "HttpPutResponseHopLimit": 2}}"#;
        let decision = decide_with(loosen, &instance(&[("HttpTokens", "required")]), Some(true));
        assert_eq!(summary(&decision).0, "HttpPutResponseHopLimit=2");
        assert_eq!(decision.warnings, [Warning::TokensEnforced]);
    }

    #[test]
    fn tag_keys_that_metadata_cannot_carry() {
        for key in ["Name", "eks:cluster-name", "a+b=c,d.e@f_g-h", &"k".repeat(255)] {
            assert!(metadata_can_carry(key), "{key}");
        }
        for key in ["", ".", "..", "_index", "a b", "kubernetes.io/cluster/x", "ключ", &"k".repeat(256)] {
            assert!(!metadata_can_carry(key), "{key}");
        }
    }

    #[test]
    fn instances_that_end_or_that_others_manage_are_out_of_scope() {
        let tokens = r#"{"baseline": {"HttpTokens": "required"}}"#;
        for (state, expected) in [
            (InstanceState::Pending, "HttpTokens=required"),
            (InstanceState::Stopping, "HttpTokens=required"),
            (InstanceState::Stopped, "HttpTokens=required"),
            (InstanceState::ShuttingDown, "out-of-scope"),
            (InstanceState::Terminated, "out-of-scope"),
        ] {
            let decision = decide_with(tokens, &Instance { state, ..instance(&[]) }, None);
            assert_eq!(summary(&decision).0, expected, "{state}");
        }
        let managed = Instance { managed_by: Some("eks.amazonaws.com".to_owned()), ..instance(&[]) };
        let decision = decide_with(tokens, &managed, None);
        assert_eq!(decision.verdict.reasons()[0].to_string(), "the instance is managed by eks.amazonaws.com");
    }

    #[test]
    fn reasons_name_the_part_of_the_policy() {
        let decision = decide_with(r#"{"baseline": {"HttpTokens": "required"}}"#, &instance(&[]), None);
        assert_eq!(decision.verdict.reasons()[0].to_string(), "baseline requires HttpTokens=required");
    }
}
