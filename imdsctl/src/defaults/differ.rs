//! Which defaults a policy does not allow.

use imds_core::metadata::{HopLimit, OptionName, OptionValue, Requirement, Switch};
use imds_engine::aws::fleet::Defaults;

/// Returns the options of which a launch that names no value gets one that the baseline does not allow.
pub fn differing(defaults: &Defaults, baseline: &[Requirement]) -> Vec<OptionName> {
    let is_allowed = |requirement: &Requirement| {
        let name = requirement.name();
        defaults.options.get(name).or_else(|| of_ec2(name)).is_none_or(|value| requirement.is_met_by(value))
    };
    baseline
        .iter()
        .filter(|requirement| !is_allowed(requirement))
        .map(|requirement| requirement.name())
        .collect()
}

/// The value that EC2 gives without a preference of the account. `None` if accounts have no preference of the option.
///
/// EC2 User Guide, "Order of precedence for instance metadata options".
fn of_ec2(name: OptionName) -> Option<OptionValue> {
    match name {
        OptionName::HttpTokens => Some(OptionValue::TOKENS_OPTIONAL),
        OptionName::HttpEndpoint => Some(OptionValue::HttpEndpoint(Switch::Enabled)),
        OptionName::HttpPutResponseHopLimit => HopLimit::new(1).map(OptionValue::HttpPutResponseHopLimit),
        OptionName::InstanceMetadataTags => Some(OptionValue::InstanceMetadataTags(Switch::Disabled)),
        OptionName::HttpProtocolIpv6 => None,
    }
}

#[cfg(test)]
mod tests {
    use imds_core::policy::Policy;

    use super::*;

    #[test]
    fn a_default_differs_if_the_baseline_does_not_allow_what_a_launch_gets() {
        const TOKENS: &str = r#""HttpTokens": "required""#;
        const HOPS: &str = r#""HttpPutResponseHopLimit": {"atMost": 2}"#;
        type Row = (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str]);
        let rows: [Row; 11] = [
            (TOKENS, &[], &["HttpTokens"]),
            (TOKENS, &[("HttpTokens", "optional")], &["HttpTokens"]),
            (TOKENS, &[("HttpTokens", "required"), ("HttpPutResponseHopLimit", "64")], &[]),
            (HOPS, &[], &[]),
            (HOPS, &[("HttpPutResponseHopLimit", "3")], &["HttpPutResponseHopLimit"]),
            (r#""HttpPutResponseHopLimit": {"atLeast": 2}"#, &[], &["HttpPutResponseHopLimit"]),
            (r#""HttpEndpoint": "disabled""#, &[], &["HttpEndpoint"]),
            (r#""InstanceMetadataTags": "disabled""#, &[], &[]),
            (
                r#""InstanceMetadataTags": "disabled""#,
                &[("InstanceMetadataTags", "enabled")],
                &["InstanceMetadataTags"],
            ),
            (r#""HttpProtocolIpv6": "enabled""#, &[], &[]),
            ("", &[("HttpTokens", "optional")], &[]),
        ];
        for (baseline, set, expected) in rows {
            let policy = Policy::from_bytes(format!(r#"{{"baseline": {{{baseline}}}}}"#).as_bytes()).unwrap();
            let baseline: Vec<Requirement> = policy.baseline().collect();
            let value =
                |(name, value): &(&str, &str)| OptionName::from_name(name).unwrap().parse(value).unwrap();
            let defaults = Defaults { options: set.iter().map(value).collect(), ..Defaults::default() };
            let found: Vec<&str> =
                differing(&defaults, &baseline).into_iter().map(OptionName::as_str).collect();
            assert_eq!(found, expected, "{baseline:?} with {set:?}");
        }
    }
}
