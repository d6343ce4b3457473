//! The rules: each has conditions and one effect.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use super::Check;
use crate::mode::Mode;
use crate::policy::document::{self, Exempt, Options, Part, RuleGate};
use crate::policy::json::{index, join};
use crate::policy::model::{Conditions, Effect, Rule, is_set_by_aws};
use crate::policy::rule_label::RuleLabel;
use crate::text::{Quoted, is_hidden};

impl Check {
    pub(super) fn rules(&mut self, rules: Vec<Part<document::Rule>>) -> Vec<Rule> {
        let mut names = BTreeMap::new();
        let mut checked = Vec::new();
        for (number, rule) in rules.into_iter().enumerate() {
            let place = index("rules", number);
            let Some(rule) = self.needed(&place, rule) else { continue };
            if let Part::Read(name) = &rule.name
                && let Some(other) = names.insert(name.clone(), place.clone())
            {
                self.fail(
                    &join(&place, "name"),
                    format!("the name {} is already used by {other}", Quoted(name)),
                );
            }
            checked.extend(self.rule(&place, rule));
        }
        checked
    }

    fn rule(&mut self, place: &str, mut rule: document::Rule) -> Option<Rule> {
        self.unknown(place, &rule.unknown, document::Rule::KEYS);
        let label = self.label(place, &mut rule);
        let when_at = join(place, "when");
        let is_for_all = match &rule.when {
            Part::Absent => true,
            Part::Read(when) => when.is_empty(),
            Part::Wrong(_) => false,
        };
        if is_for_all && !matches!(rule.exempt, Part::Absent) {
            let keys = document::When::KEYS.join(", ");
            self.fail(&when_at, format!("an exemption needs a condition: add one of {keys}"));
        }
        let when = self.part(&when_at, mem::take(&mut rule.when));
        let when = when.map(|when| self.conditions(&when_at, when)).unwrap_or_default();
        let effect = self.effect(place, rule, &when);
        Some(Rule { label: Arc::new(label?), when, effect: effect? })
    }

    fn label(&mut self, place: &str, rule: &mut document::Rule) -> Option<RuleLabel> {
        let name_at = join(place, "name");
        let name = self.needed(&name_at, mem::take(&mut rule.name));
        name.iter().for_each(|name| self.not_blank(&name_at, name));
        let owner = self.shown(&join(place, "owner"), mem::take(&mut rule.owner));
        let ticket = self.shown(&join(place, "ticket"), mem::take(&mut rule.ticket));
        Some(RuleLabel { name: name?, owner, ticket })
    }

    fn not_blank(&mut self, place: &str, text: &str) {
        if text.trim().is_empty() {
            self.fail(place, "must not be empty");
        }
    }

    /// A text that reports show as it is, without the spaces around it.
    fn shown(&mut self, place: &str, text: Part<String>) -> Option<String> {
        let text = self.part(place, text)?;
        self.not_blank(place, &text);
        if text.chars().count() > RuleLabel::MOST_CHARACTERS {
            let most = RuleLabel::MOST_CHARACTERS;
            self.fail(place, format!("must have at most {most} characters: shorten it"));
        }
        let text = text.trim();
        if let Some(hidden) = text.chars().find(|c| is_hidden(*c)) {
            let problem = format!(
                "has the character U+{:04X}, which is invisible or changes how text is displayed: remove it",
                u32::from(hidden)
            );
            self.fail(place, problem);
        }
        Some(text.to_owned())
    }

    fn effect(&mut self, place: &str, rule: document::Rule, when: &Conditions) -> Option<Effect> {
        use Part::Absent;
        if !matches!(rule.until, Absent) && matches!(rule.mode, Absent) {
            let problem = "can only be used with \"mode\": \"dry-run\"; the until of an exemption or of a usage gate is \
                           inside of it";
            self.fail(&join(place, "until"), problem);
        }
        match (rule.require, rule.exempt, rule.mode, rule.usage_gate) {
            (Absent, Absent, Absent, Absent) => {
                self.fail(place, "must have require, exempt, mode or usageGate");
                None
            }
            (require, Absent, Absent, Absent) => self.require(&join(place, "require"), require),
            (Absent, exempt, Absent, Absent) => self.exempt(&join(place, "exempt"), exempt),
            (Absent, Absent, mode, Absent) => self.mode(place, mode, rule.until, when),
            (Absent, Absent, Absent, gate) => self.rule_gate(&join(place, "usageGate"), gate),
            _ => {
                self.fail(place, "must have only one of require, exempt, mode and usageGate: split the rule");
                None
            }
        }
    }

    fn require(&mut self, place: &str, options: Part<Options>) -> Option<Effect> {
        let errors = self.errors.len();
        let options = self.part(place, options)?;
        let requirements = self.options(place, options);
        if requirements.is_empty() && self.errors.len() == errors {
            self.fail(place, format!("must require at least one of {}", Options::KEYS.join(", ")));
        }
        Some(Effect::Require(requirements))
    }

    fn exempt(&mut self, place: &str, exempt: Part<Exempt>) -> Option<Effect> {
        let exempt = self.part(place, exempt)?;
        self.unknown(place, &exempt.unknown, Exempt::KEYS);
        let until = self.needed(&join(place, "until"), exempt.until)?;
        Some(Effect::Exempt { until: until.0 })
    }

    fn mode(
        &mut self,
        place: &str,
        mode: Part<Mode>,
        until: Part<document::DateText>,
        when: &Conditions,
    ) -> Option<Effect> {
        let until_at = join(place, "until");
        let is_open_ended = matches!(until, Part::Absent);
        let mode = self.part(&join(place, "mode"), mode);
        let until = self.part(&until_at, until).map(|until| until.0);
        match mode? {
            Mode::Enforce if !is_open_ended => {
                self.fail(&until_at, "can only be used with \"mode\": \"dry-run\": remove it");
            }
            Mode::DryRun if is_open_ended => {
                if let Some(key) = when.tags.keys().find(|key| !is_set_by_aws(key)) {
                    let key = Quoted(key);
                    let problem = format!(
                        "is missing: whoever sets the tag {key} exempts the instance by it; add the last day of the \
                         dry run"
                    );
                    self.fail(&until_at, problem);
                }
            }
            Mode::Enforce | Mode::DryRun => {}
        }
        Some(Effect::Mode { mode: mode?, until })
    }

    fn rule_gate(&mut self, place: &str, gate: Part<RuleGate>) -> Option<Effect> {
        match self.part(place, gate)? {
            RuleGate::None(false) => Some(Effect::UsageGate(None)),
            RuleGate::None(true) => {
                let problem =
                    "must be an object or false, not true: {} is a gate with all defaults, false is none";
                self.fail(place, problem);
                None
            }
            RuleGate::Gate(gate) => Some(Effect::UsageGate(Some(self.usage_gate(place, gate)))),
        }
    }
}
