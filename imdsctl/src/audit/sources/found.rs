//! What the instances of a source with findings lack.

use std::collections::{BTreeMap, BTreeSet};

use imds_core::decide::{HeldBack, Origin, Reason, Verdict};
use imds_core::metadata::{MetadataOptions, OptionName, OptionValue};
use imds_core::source::Source;
use imds_engine::reconcile::Assessed;

/// The instances with findings that one source accounts for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// How many there are.
    pub instances: usize,
    /// How many of them still use IMDSv1.
    pub in_use: usize,
    /// Of how many the use of IMDSv1 is not known, although it matters.
    pub unknown_use: usize,
    /// The options that they lack. If they need different values of one, the strictest.
    pub lacks: MetadataOptions,
    /// The options of which they need different values.
    pub differing: BTreeSet<OptionName>,
    /// The launch templates and versions that their tags tell, with the number of instances.
    pub templates: BTreeMap<Source, usize>,
}

impl Found {
    /// Adds an instance with a finding.
    pub fn add(&mut self, assessed: &Assessed) {
        let verdict = &assessed.decision.verdict;
        self.instances += 1;
        match (verdict, verdict.held_back()) {
            (Verdict::NeedsUsage(_), _) => self.unknown_use += 1,
            (_, Some(why)) if is_in_use(why) => self.in_use += 1,
            (_, Some(_)) => self.unknown_use += 1,
            _ => {}
        }
        for value in lacks(verdict).iter() {
            self.add_value(value);
        }
        if let Some(template) = Source::launch_template(&assessed.instance) {
            *self.templates.entry(template).or_default() += 1;
        }
    }

    fn add_value(&mut self, value: OptionValue) {
        match self.lacks.get(value.name()) {
            None => self.lacks.set(value),
            Some(known) if known == value => {}
            Some(known) => {
                self.differing.insert(value.name());
                if known.is_looser_than(value) {
                    self.lacks.set(value);
                }
            }
        }
    }

    /// Returns the launch template and version that most of the instances have.
    pub fn template(&self) -> Option<&Source> {
        // Of equal numbers, the last: that of the highest version, if they have as many digits.
        self.templates.iter().max_by_key(|(_, instances)| **instances).map(|(template, _)| template)
    }
}

/// Returns the options that the instance lacks, also if the usage gate holds them back or must be asked first. What EC2
/// would refuse on the instance is left out: it would refuse the launch as well.
pub fn lacks(verdict: &Verdict) -> MetadataOptions {
    let lacks = match verdict {
        Verdict::Change { change, .. } => *change.options(),
        _ => MetadataOptions::default(),
    };
    // Whoever may tag one instance must not choose what others set for all that follow.
    let mut lacks: MetadataOptions =
        lacks.iter().filter(|value| !is_of_a_tag(verdict, value.name())).collect();
    if verdict.held_back().is_some() || matches!(verdict, Verdict::NeedsUsage(_)) {
        lacks.set(OptionValue::TOKENS_REQUIRED);
    }
    lacks
}

/// Whether a tag of the instance requires the option.
fn is_of_a_tag(verdict: &Verdict, name: OptionName) -> bool {
    verdict.reasons().iter().any(|reason| match reason {
        Reason::Required(sourced) => {
            sourced.requirement.name() == name && matches!(sourced.origin, Origin::Tag(_))
        }
        _ => false,
    })
}

fn is_in_use(why: &HeldBack) -> bool {
    match why {
        HeldBack::Calls(_) => true,
        HeldBack::WithGroup { why, .. } => is_in_use(why),
        HeldBack::TooLittleData { .. } | HeldBack::UsageRefused { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use imds_core::decide::{Decision, Group, GroupKind, Needed, SourcedRequirement};
    use imds_core::ids::InstanceId;
    use imds_core::instance::{Instance, Words};
    use imds_core::metadata::{Change, Requirement};
    use imds_core::mode::Mode;
    use imds_core::usage::Use;

    use super::*;

    fn options(pairs: &[(OptionName, &str)]) -> MetadataOptions {
        pairs.iter().map(|(name, value)| name.parse(value).unwrap()).collect()
    }

    fn assessed(version: &str, verdict: Verdict) -> Assessed {
        let tags = [("aws:ec2launchtemplate:id", "lt-1"), ("aws:ec2launchtemplate:version", version)];
        let tags = tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let instance = Instance::try_from(Words { id: "i-01234567", tags, ..Words::default() }).unwrap();
        let decision = Decision { verdict, mode: Mode::Enforce, usage: None, warnings: Vec::new() };
        Assessed { instance, decision, usage: None, usage_error: None }
    }

    fn held_back(why: HeldBack) -> Verdict {
        Verdict::InUse { reasons: vec![Reason::HeldBack(why)] }
    }

    #[test]
    fn the_options_that_instances_lack_are_united_and_the_strictest_value_wins() {
        use OptionName::*;
        let change = |pairs: &[(OptionName, &str)]| Verdict::Change {
            change: Change::new(options(pairs)).unwrap(),
            reasons: Vec::new(),
        };
        let mut found = Found::default();
        for (version, verdict) in [
            ("1", change(&[(HttpTokens, "required"), (HttpPutResponseHopLimit, "3")])),
            ("2", change(&[(HttpPutResponseHopLimit, "2")])),
            ("2", change(&[(HttpPutResponseHopLimit, "3"), (HttpEndpoint, "enabled")])),
            ("3", Verdict::Blocked { reasons: Vec::new() }),
        ] {
            found.add(&assessed(version, verdict));
        }
        let expected =
            options(&[(HttpTokens, "required"), (HttpPutResponseHopLimit, "2"), (HttpEndpoint, "enabled")]);
        assert_eq!((found.instances, found.lacks), (4, expected));
        assert_eq!(found.differing, [HttpPutResponseHopLimit].into());
        assert_eq!(found.template().unwrap().version.as_deref(), Some("2"), "that of most instances");
    }

    #[test]
    fn what_a_tag_requires_of_one_instance_is_not_lacking_at_its_source() {
        use OptionName::*;
        let required = |origin, name: OptionName, value| {
            let requirement = Requirement::Exactly(name.parse(value).unwrap());
            Reason::Required(SourcedRequirement { requirement, origin })
        };
        let verdict = Verdict::Change {
            change: Change::new(options(&[(HttpTokens, "required"), (HttpPutResponseHopLimit, "1")]))
                .unwrap(),
            reasons: vec![
                required(Origin::Baseline, HttpTokens, "required"),
                required(
                    Origin::Tag("imds:HttpPutResponseHopLimit".to_owned()),
                    HttpPutResponseHopLimit,
                    "1",
                ),
            ],
        };
        assert_eq!(lacks(&verdict), options(&[(HttpTokens, "required")]));
    }

    #[test]
    fn instances_that_use_imdsv1_or_may_are_counted_and_lack_required_tokens() {
        let of = |calls| Use { calls, last_day: None, days: 14, observed_days: 5 };
        let used = of(7);
        let group = || Group { kind: GroupKind::AutoScalingGroup, id: "web".to_owned() };
        let with_group = |why| HeldBack::WithGroup {
            group: group(),
            instance: InstanceId::new("i-01234567").unwrap(),
            why: Box::new(why),
        };
        let too_little = || HeldBack::TooLittleData { found: of(0), min_days: 7 };
        let rows = [
            (held_back(HeldBack::Calls(used)), (1, 0)),
            (held_back(with_group(HeldBack::Calls(used))), (1, 0)),
            (held_back(too_little()), (0, 1)),
            (held_back(with_group(too_little())), (0, 1)),
            (held_back(HeldBack::UsageRefused { why: "no".to_owned() }), (0, 1)),
            (Verdict::NeedsUsage(Needed::Group(group())), (0, 1)),
        ];
        for (verdict, expected) in rows {
            let row = format!("{verdict:?}");
            let mut found = Found::default();
            found.add(&assessed("1", verdict));
            assert_eq!((found.in_use, found.unknown_use), expected, "{row}");
            assert_eq!(found.lacks, options(&[(OptionName::HttpTokens, "required")]), "{row}");
        }
    }
}
