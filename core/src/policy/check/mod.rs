//! Document → policy. All errors are reported at once.

mod conditions;
mod gate;
mod rule;
mod tags;

use serde::Deserialize;

use super::document::{self, Document, Hops, Options, Part, Range, Unknown};
use super::error::{PolicyError, PolicyErrors};
use super::json::{self, join};
use super::model::{Policy, Requirements, TagRules};
use crate::metadata::{OptionName, OptionValue, Requirement};

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
        let mut check = Check { errors: Vec::new(), limits_changes: true };
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
struct Check {
    errors: Vec<PolicyError>,
    /// Whether the document has `limits.changesPerSweep`, or something invalid in its place.
    limits_changes: bool,
}

impl Check {
    fn fail(&mut self, place: &str, problem: impl Into<String>) {
        let place = if place.is_empty() { DOCUMENT } else { place };
        self.errors.push(PolicyError { place: place.to_owned(), problem: problem.into() });
    }

    /// The part, if it is present and valid.
    fn part<T>(&mut self, place: &str, part: Part<T>) -> Option<T> {
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

    fn unknown(&mut self, place: &str, unknown: &Unknown, keys: &[&str]) {
        for key in unknown.keys() {
            self.fail(&join(place, key), format!("unknown key; allowed keys: {}", keys.join(", ")));
        }
    }

    fn policy(&mut self, document: Part<Document>) -> Policy {
        let document = self.part("", document).unwrap_or_default();
        self.unknown("", &document.unknown, Document::KEYS);
        self.part("$schema", document.schema);
        self.limits_changes = limits_changes(&document.limits);
        let mode = self.part("mode", document.mode).unwrap_or_default();
        let baseline = self.part("baseline", document.baseline);
        let baseline = baseline.map(|options| self.options("baseline", options)).unwrap_or_default();
        let usage_gate = self.part("usageGate", document.usage_gate);
        let usage_gate = usage_gate.map(|gate| self.usage_gate("usageGate", gate));
        let rules = self.part("rules", document.rules).unwrap_or_default();
        let rules = self.rules(rules);
        let tags = self.part("instanceTags", document.instance_tags);
        let tags = tags.map_or_else(TagRules::default, |tags| self.tags(tags));
        let limits = self.part("limits", document.limits);
        let limits = limits.map(|limits| self.limits(limits)).unwrap_or_default();
        Policy { baseline, rules, tags, usage_gate, mode, limits }
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
}

/// Whether a valid document with these limits would limit changes.
fn limits_changes(limits: &Part<document::Limits>) -> bool {
    match limits {
        Part::Absent => false,
        Part::Read(limits) => !matches!(limits.changes_per_sweep, Part::Absent),
        Part::Wrong(_) => true,
    }
}
