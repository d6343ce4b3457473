//! What a policy reads of an instance, beside its state and options.

use super::model::{Authority, Conditions, Effect, Policy};
use super::usage_gate::Launches;
use crate::metadata::{OptionValue, Requirement, Switch, metadata_can_carry};

impl Policy {
    /// Whether a change of the tag with this key can change a decision. The tags that name an instance's group do not
    /// count: AWS sets them at launch, or later when an instance is attached to a group, and the gate reads them only
    /// of an instance that first ran a short time ago.
    pub fn reads_tag(&self, key: &str) -> bool {
        let shows_tags = Requirement::Exactly(OptionValue::InstanceMetadataTags(Switch::Enabled));
        let is_loose = self.tags.authority == Authority::Loosen;
        let is_asked = self.tags.authority != Authority::None && key.starts_with(&self.tags.prefix);
        let is_matched = self.rules.iter().any(|rule| rule.when.tags.contains_key(key));
        // A key that metadata cannot carry forbids InstanceMetadataTags=enabled; its removal allows it again.
        let forbids = || !metadata_can_carry(key) && (is_loose || self.requires(shows_tags));
        is_asked || is_matched || forbids()
    }

    /// Whether the baseline or any rule has this requirement.
    pub(super) fn requires(&self, requirement: Requirement) -> bool {
        let rules = self.rules.iter().filter_map(|rule| match &rule.effect {
            Effect::Require(requirements) => Some(requirements),
            _ => None,
        });
        [&self.baseline]
            .into_iter()
            .chain(rules)
            .any(|all| all.get(&requirement.name()) == Some(&requirement))
    }

    /// Whether a decision can depend on the account that owns the instance.
    pub fn reads_accounts(&self) -> bool {
        self.has_condition(|when| when.accounts.is_some())
    }

    /// Whether a decision can depend on the Region.
    pub fn reads_regions(&self) -> bool {
        self.has_condition(|when| when.regions.is_some())
    }

    /// Whether a decision can depend on any of the instance's tags.
    pub fn reads_tags(&self) -> bool {
        // A tag key can forbid this value.
        let shows_tags = Requirement::Exactly(OptionValue::InstanceMetadataTags(Switch::Enabled));
        self.tags.authority != Authority::None
            || self.has_condition(|when| !when.tags.is_empty())
            || self.requires(shows_tags)
            // Tags name the group that a launched instance follows.
            || self.gates().any(|gate| gate.launches == Launches::Follow)
    }

    /// Whether a decision can depend on when the instance first ran. A usage gate does not concern a new instance.
    pub fn reads_first_ran(&self) -> bool {
        self.tags.exemptions.is_some_and(|exemptions| exemptions.max_age_days.is_some())
            || self.has_condition(|when| when.launched_before.is_some())
            || self.gates().next().is_some()
    }

    /// Whether a decision can depend on the image from which the instance was launched.
    pub fn reads_image(&self) -> bool {
        self.has_condition(|when| when.images.is_some())
    }

    fn has_condition(&self, is_one: impl Fn(&Conditions) -> bool) -> bool {
        self.rules.iter().any(|rule| is_one(&rule.when))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_reads_what_its_decisions_can_depend_on() {
        let untagged = |rest: &str| format!(r#"{{"instanceTags": {{"authority": "none"}}{rest}}}"#);
        let rule = |rule: &str| untagged(&format!(r#", "rules": [{{"name": "a", {rule}}}]"#));
        let require = r#""require": {"HttpTokens": "required"}"#;
        let [accounts, regions, tags, first_ran, image] = [1, 2, 4, 8, 16];
        let require = |when: &str| rule(&format!(r#""when": {{{when}}}, {require}"#));
        let exemptions =
            |limits: &str| format!(r#"{{"instanceTags": {{"exemptions": {{"maxDays": 9{limits}}}}}}}"#);
        let rows = [
            (untagged(""), 0),
            ("{}".to_owned(), tags),
            (require(r#""accounts": "111122223333""#), accounts),
            (require(r#""regions": "eu-*""#), regions),
            (require(r#""tags": {"a": "b"}"#), tags),
            (require(r#""instanceIds": "i-*""#), 0),
            (require(r#""images": "ami-*""#), image),
            (require(r#""launchedBefore": "2026-01-01""#), first_ran),
            (require(""), 0),
            (rule(r#""require": {"InstanceMetadataTags": "enabled"}"#), tags),
            (untagged(r#", "baseline": {"InstanceMetadataTags": "disabled"}"#), 0),
            (exemptions(""), tags),
            (exemptions(r#", "maxAgeDays": 9"#), tags | first_ran),
            (untagged(r#", "usageGate": {}"#), tags | first_ran),
            (untagged(r#", "usageGate": {"launches": "enforce"}"#), first_ran),
            (rule(r#""usageGate": {}"#), tags | first_ran),
            (rule(r#""usageGate": false"#), 0),
            (rule(r#""mode": "dry-run""#), 0),
        ];
        for (document, expected) in rows {
            let policy = Policy::parse(&document).unwrap_or_else(|errors| panic!("{document}: {errors}"));
            let reads = [
                (policy.reads_accounts(), accounts),
                (policy.reads_regions(), regions),
                (policy.reads_tags(), tags),
                (policy.reads_first_ran(), first_ran),
                (policy.reads_image(), image),
            ];
            let reads: i32 = reads.iter().filter_map(|(reads, bit)| reads.then_some(bit)).sum();
            assert_eq!(reads, expected, "{document}: accounts 1, Regions 2, tags 4, first ran 8, image 16");
        }
    }
}
