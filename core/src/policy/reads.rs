//! What a policy reads of an instance, beside its state and options.

use super::model::{Authority, Conditions, Effect, Policy};
use crate::metadata::{OptionValue, Requirement, Switch, metadata_can_carry};

impl Policy {
    /// Whether a change of the tag with this key can change a decision.
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
    fn requires(&self, requirement: Requirement) -> bool {
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
    }

    /// Whether a decision can depend on when the instance first ran.
    pub fn reads_first_ran(&self) -> bool {
        self.tags.exemptions.is_some_and(|exemptions| exemptions.max_age_days.is_some())
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
        let rows = [
            (untagged(""), [false, false, false, false]),
            ("{}".to_owned(), [false, false, true, false]),
            (
                rule(&format!(r#""when": {{"accounts": "111122223333"}}, {require}"#)),
                [true, false, false, false],
            ),
            (rule(&format!(r#""when": {{"regions": "eu-*"}}, {require}"#)), [false, true, false, false]),
            (rule(&format!(r#""when": {{"tags": {{"a": "b"}}}}, {require}"#)), [false, false, true, false]),
            (rule(require), [false, false, false, false]),
            (rule(r#""require": {"InstanceMetadataTags": "enabled"}"#), [false, false, true, false]),
            (untagged(r#", "baseline": {"InstanceMetadataTags": "disabled"}"#), [false, false, false, false]),
            (r#"{"instanceTags": {"exemptions": {"maxDays": 9}}}"#.to_owned(), [false, false, true, false]),
            (
                r#"{"instanceTags": {"exemptions": {"maxDays": 9, "maxAgeDays": 9}}}"#.to_owned(),
                [false, false, true, true],
            ),
        ];
        for (document, expected) in rows {
            let policy = Policy::parse(&document).unwrap_or_else(|errors| panic!("{document}: {errors}"));
            let reads = [
                policy.reads_accounts(),
                policy.reads_regions(),
                policy.reads_tags(),
                policy.reads_first_ran(),
            ];
            assert_eq!(reads, expected, "{document}: accounts, Regions, tags, first ran");
        }
    }
}
