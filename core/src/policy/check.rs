//! Document → policy. All errors are reported at once.

use std::collections::BTreeMap;

use super::document::{Document, Exempt, Exemptions, Hops, InstanceTags, Options, Part, Range, Unknown};
use super::error::{PolicyError, PolicyErrors};
use super::json::{index, join};
use super::model::{Authority, Effect, ExemptionLimits, Limits, Policy, Requirements, Rule, TagRules};
use super::{document, json};
use crate::metadata::{OptionName, OptionValue, Requirement};
use crate::mode::Mode;
use crate::text::Quoted;
use serde::Deserialize;

impl Policy {
    /// Reads a policy document: JSON in UTF-8, with or without a byte order mark.
    ///
    /// # Errors
    /// All errors in the document, each with its place. A retry does not help.
    pub fn from_bytes(document: &[u8]) -> Result<Self, PolicyErrors> {
        let error = match std::str::from_utf8(document) {
            Ok(text) if !text.contains('\0') => return Self::parse(text),
            Err(error)
                if !document.contains(&0) && !matches!(document, [0xff, 0xfe, ..] | [0xfe, 0xff, ..]) =>
            {
                format!("is not UTF-8 from byte {} on: save it as UTF-8", error.valid_up_to() + 1)
            }
            _ => {
                "is not UTF-8 but, by its zero bytes or byte order mark, UTF-16: save it as UTF-8".to_owned()
            }
        };
        Err(PolicyErrors(vec![PolicyError { place: DOCUMENT.to_owned(), problem: error }]))
    }

    /// Reads a policy document (JSON), with or without a byte order mark.
    ///
    /// # Errors
    /// All errors in the document, each with its place. A retry does not help.
    pub fn parse(document: &str) -> Result<Self, PolicyErrors> {
        let not_json = |error: serde_json::Error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            // The message ends with the place, which is reported separately.
            let text = error.to_string();
            let what = text.rsplit_once(" at line ").map_or(&*text, |(what, _)| what);
            PolicyErrors(vec![PolicyError { place, problem: format!("not JSON: {what}") }])
        };
        let document = document.strip_prefix('\u{feff}').unwrap_or(document);
        let (value, repeated) = json::read(document).map_err(not_json)?;
        let mut check = Check { errors: Vec::new() };
        repeated.iter().for_each(|place| check.fail(place, "duplicate key: remove one of them"));
        let policy = match Part::<Document>::deserialize(value) {
            Ok(document) => check.policy(document),
            Err(error) => return Err(not_json(error)),
        };
        if check.errors.is_empty() { Ok(policy) } else { Err(PolicyErrors(check.errors)) }
    }
}

/// The place of an error of the whole document.
const DOCUMENT: &str = "the document";

/// Walks the document and collects errors. The values that its methods return are valid only without errors.
pub(super) struct Check {
    errors: Vec<PolicyError>,
}

impl Check {
    pub(super) fn fail(&mut self, place: &str, problem: impl Into<String>) {
        let place = if place.is_empty() { DOCUMENT } else { place };
        self.errors.push(PolicyError { place: place.to_owned(), problem: problem.into() });
    }

    /// The part, if it is present and valid.
    pub(super) fn part<T>(&mut self, place: &str, part: Part<T>) -> Option<T> {
        match part {
            Part::Absent => None,
            Part::Read(read) => Some(read),
            Part::Wrong(problem) => {
                self.fail(place, problem);
                None
            }
        }
    }

    /// The part, which must be present.
    fn needed<T>(&mut self, place: &str, part: Part<T>) -> Option<T> {
        if matches!(part, Part::Absent) {
            self.fail(place, "is missing");
        }
        self.part(place, part)
    }

    pub(super) fn unknown(&mut self, place: &str, unknown: &Unknown, keys: &[&str]) {
        for key in unknown.keys() {
            self.fail(&join(place, key), format!("unknown key; allowed keys: {}", keys.join(", ")));
        }
    }

    fn policy(&mut self, document: Part<Document>) -> Policy {
        let document = self.part("", document).unwrap_or_default();
        self.unknown("", &document.unknown, Document::KEYS);
        self.part("$schema", document.schema);
        let baseline = self.part("baseline", document.baseline);
        let rules = self.part("rules", document.rules).unwrap_or_default();
        let tags = self.part("instanceTags", document.instance_tags);
        Policy {
            baseline: baseline.map(|options| self.options("baseline", options)).unwrap_or_default(),
            rules: self.rules(rules),
            tags: tags.map_or_else(TagRules::default, |tags| self.tags(tags)),
            usage_gate: None,
            mode: Mode::Enforce,
            limits: Limits::default(),
        }
    }

    fn options(&mut self, place: &str, options: Options) -> Requirements {
        use OptionName::*;
        self.unknown(place, &options.unknown, Options::KEYS);
        let at = |name: OptionName| join(place, name.as_str());
        let tokens = self.part(&at(HttpTokens), options.http_tokens).map(OptionValue::HttpTokens);
        let endpoint = self.part(&at(HttpEndpoint), options.http_endpoint).map(OptionValue::HttpEndpoint);
        let ipv6 =
            self.part(&at(HttpProtocolIpv6), options.http_protocol_ipv6).map(OptionValue::HttpProtocolIpv6);
        let tags = self.part(&at(InstanceMetadataTags), options.instance_metadata_tags);
        let tags = tags.map(OptionValue::InstanceMetadataTags);
        let exactly = [tokens, endpoint, ipv6, tags].into_iter().flatten().map(Requirement::Exactly);
        let hops_at = at(HttpPutResponseHopLimit);
        let hops = self.part(&hops_at, options.http_put_response_hop_limit);
        let hops = hops.and_then(|hops| self.hops(&hops_at, hops));
        exactly.chain(hops).map(|requirement| (requirement.name(), requirement)).collect()
    }

    fn hops(&mut self, place: &str, hops: Hops) -> Option<Requirement> {
        let range = match hops {
            Hops::Exactly(limit) => {
                return Some(Requirement::Exactly(OptionValue::HttpPutResponseHopLimit(limit)));
            }
            Hops::Range(range) => range,
        };
        self.unknown(place, &range.unknown, Range::KEYS);
        if matches!((&range.at_least, &range.at_most), (Part::Absent, Part::Absent)) {
            self.fail(place, "must have atLeast, atMost or both");
        }
        let at_least = self.part(&join(place, "atLeast"), range.at_least);
        let at_most = self.part(&join(place, "atMost"), range.at_most);
        if at_least.zip(at_most).is_some_and(|(low, high)| low > high) {
            self.fail(place, "atLeast must not be above atMost");
            return None;
        }
        Some(Requirement::HopLimit { at_least, at_most })
    }

    fn rules(&mut self, rules: Vec<Part<document::Rule>>) -> Vec<Rule> {
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

    fn rule(&mut self, place: &str, rule: document::Rule) -> Option<Rule> {
        self.unknown(place, &rule.unknown, document::Rule::KEYS);
        let name_at = join(place, "name");
        let name = self.needed(&name_at, rule.name);
        if name.as_deref().is_some_and(|name| name.trim().is_empty()) {
            self.fail(&name_at, "must not be empty");
        }
        let when_at = join(place, "when");
        let is_for_all = match &rule.when {
            Part::Absent => true,
            Part::Read(when) => when.is_empty(),
            Part::Wrong(_) => false,
        };
        if is_for_all && !matches!(rule.exempt, Part::Absent) {
            self.fail(&when_at, "an exemption needs a condition: add tags, accounts or regions");
        }
        let when = self.part(&when_at, rule.when).map(|when| self.conditions(&when_at, when));
        let effect = match (rule.require, rule.exempt) {
            (Part::Absent, Part::Absent) => {
                self.fail(place, "must have require or exempt");
                None
            }
            (require, Part::Absent) => self.require(&join(place, "require"), require),
            (Part::Absent, exempt) => self.exempt(&join(place, "exempt"), exempt),
            _ => {
                self.fail(place, "must have require or exempt, not both");
                None
            }
        };
        Some(Rule { name: name?, when: when.unwrap_or_default(), effect: effect? })
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

    fn tags(&mut self, tags: InstanceTags) -> TagRules {
        const PLACE: &str = "instanceTags";
        self.unknown(PLACE, &tags.unknown, InstanceTags::KEYS);
        let defaults = TagRules::default();
        let prefix = self.part("instanceTags.prefix", tags.prefix).unwrap_or(defaults.prefix.clone());
        if prefix.is_empty() || prefix.chars().count() > 64 {
            self.fail("instanceTags.prefix", "must have 1 to 64 characters");
        }
        if prefix.to_ascii_lowercase().starts_with("aws:") {
            self.fail("instanceTags.prefix", "must not begin with aws:, which is reserved for AWS");
        }
        let authority = self.part("instanceTags.authority", tags.authority).unwrap_or(defaults.authority);
        if authority == Authority::None && !matches!(tags.exemptions, Part::Absent) {
            self.fail(
                "instanceTags.exemptions",
                "cannot be used with \"authority\": \"none\", which reads no tags",
            );
        }
        let exemptions = self.part("instanceTags.exemptions", tags.exemptions);
        let exemptions = exemptions.and_then(|e| self.exemptions(e));
        TagRules { prefix, authority, options: defaults.options, exemptions }
    }

    fn exemptions(&mut self, exemptions: Exemptions) -> Option<ExemptionLimits> {
        self.unknown("instanceTags.exemptions", &exemptions.unknown, Exemptions::KEYS);
        let max_days = self.needed("instanceTags.exemptions.maxDays", exemptions.max_days);
        let max_age_days = self.part("instanceTags.exemptions.maxAgeDays", exemptions.max_age_days);
        Some(ExemptionLimits { max_days: max_days?.0, max_age_days: max_age_days.map(|days| days.0) })
    }
}
