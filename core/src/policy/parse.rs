//! A policy document, read to the end so that every error is reported at once.

use serde_json::{Map, Value};

use super::{Policy, PolicyError, PolicyErrors, Requirements};
use crate::metadata::{HopLimit, OptionName, OptionValue, Requirement};

pub(super) fn parse(document: &str) -> Result<Policy, PolicyErrors> {
    let value: Value = serde_json::from_str(document).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        PolicyErrors(vec![PolicyError { place, problem: format!("not JSON: {error}") }])
    })?;
    let mut reader = Reader { errors: Vec::new() };
    let policy = reader.policy(&value);
    if reader.errors.is_empty() { Ok(policy) } else { Err(PolicyErrors(reader.errors)) }
}

/// Walks the document and collects what is wrong; what it returns counts only if nothing was.
struct Reader {
    errors: Vec<PolicyError>,
}

impl Reader {
    fn fail(&mut self, place: &str, problem: impl Into<String>) {
        let place = if place.is_empty() { "the document" } else { place };
        self.errors.push(PolicyError { place: place.to_owned(), problem: problem.into() });
    }

    /// The object at `place`; keys that are not among `known` are errors.
    fn object<'v>(
        &mut self,
        place: &str,
        value: &'v Value,
        known: &[&str],
    ) -> Option<&'v Map<String, Value>> {
        let Some(object) = value.as_object() else {
            self.fail(place, format!("must be an object, not {}", kind_of(value)));
            return None;
        };
        for key in object.keys().filter(|key| !known.contains(&key.as_str())) {
            self.fail(&join(place, key), format!("unknown key; known here: {}", known.join(", ")));
        }
        Some(object)
    }

    fn policy(&mut self, value: &Value) -> Policy {
        let Some(object) = self.object("", value, &["baseline"]) else { return Policy::default() };
        let baseline = object.get("baseline").map(|value| self.requirements("baseline", value));
        Policy { baseline: baseline.unwrap_or_default() }
    }

    fn requirements(&mut self, place: &str, value: &Value) -> Requirements {
        let known = OptionName::ALL.map(OptionName::as_str);
        let Some(object) = self.object(place, value, &known) else { return Requirements::new() };
        let named = |name: OptionName| object.get(name.as_str()).map(|value| (name, value));
        OptionName::ALL
            .into_iter()
            .filter_map(named)
            .filter_map(|(name, value)| {
                Some((name, self.requirement(&join(place, name.as_str()), name, value)?))
            })
            .collect()
    }

    fn requirement(&mut self, place: &str, name: OptionName, value: &Value) -> Option<Requirement> {
        if name == OptionName::HttpPutResponseHopLimit {
            return self.hop_limit(place, value);
        }
        let parsed = value.as_str().and_then(|text| name.parse(text));
        if parsed.is_none() {
            self.fail(place, format!("must be {}, not {}", name.expected(), kind_of(value)));
        }
        parsed.map(Requirement::Exactly)
    }

    fn hop_limit(&mut self, place: &str, value: &Value) -> Option<Requirement> {
        if !value.is_object() {
            let limit = self.hops(place, value)?;
            return Some(Requirement::Exactly(OptionValue::HttpPutResponseHopLimit(limit)));
        }
        let object = self.object(place, value, &["atLeast", "atMost"])?;
        if !object.contains_key("atLeast") && !object.contains_key("atMost") {
            self.fail(place, "must have atLeast, atMost or both");
            return None;
        }
        let mut bound = |key: &str| object.get(key).map(|value| self.hops(&join(place, key), value));
        let (at_least, at_most) = (bound("atLeast"), bound("atMost"));
        // A bound that is there but wrong has been reported: no range can be made of it.
        let (at_least, at_most) =
            (at_least.map_or(Some(None), |b| b.map(Some))?, at_most.map_or(Some(None), |b| b.map(Some))?);
        if at_least.zip(at_most).is_some_and(|(low, high)| low > high) {
            self.fail(place, "atLeast must not be above atMost");
            return None;
        }
        Some(Requirement::HopLimit { at_least, at_most })
    }

    fn hops(&mut self, place: &str, value: &Value) -> Option<HopLimit> {
        let limit = value.as_i64().and_then(HopLimit::new);
        if limit.is_none() {
            let expected = OptionName::HttpPutResponseHopLimit.expected();
            self.fail(place, format!("must be {expected}, not {}", kind_of(value)));
        }
        limit
    }
}

fn join(place: &str, key: &str) -> String {
    if place.is_empty() { key.to_owned() } else { format!("{place}.{key}") }
}

/// How an error message names a value that is not what it should be.
fn kind_of(value: &Value) -> String {
    match value {
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        scalar => scalar.to_string().chars().take(64).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_baseline_takes_values_and_hop_limit_ranges() {
        let policy =
            parse(r#"{"baseline": {"HttpTokens": "required", "HttpPutResponseHopLimit": {"atMost": 2}}}"#);
        let requirements: Vec<String> = policy.unwrap().baseline.values().map(ToString::to_string).collect();
        assert_eq!(requirements, ["HttpTokens=required", "HttpPutResponseHopLimit at most 2"]);
    }

    #[test]
    fn a_document_without_baseline_requires_nothing() {
        assert_eq!(parse("{}").unwrap().baseline, Requirements::new());
    }

    #[test]
    fn the_default_is_what_its_documentation_says() {
        assert_eq!(parse(r#"{"baseline": {"HttpTokens": "required"}}"#), Ok(Policy::default()));
    }

    #[test]
    fn every_error_is_listed_with_its_place() {
        let rows = [
            ("[]", vec![("the document", "must be an object, not a list")]),
            (r#"{"baseline": 1}"#, vec![("baseline", "must be an object, not 1")]),
            (
                r#"{"Baseline": {}, "baseline": {"httpTokens": "required", "HttpTokens": "Required"}}"#,
                vec![
                    ("Baseline", "unknown key; known here: baseline"),
                    ("baseline.httpTokens", "unknown key; known here: HttpTokens, HttpEndpoint"),
                    ("baseline.HttpTokens", r#"must be required or optional, not "Required""#),
                ],
            ),
            (
                r#"{"baseline": {"HttpPutResponseHopLimit": 65, "HttpEndpoint": true}}"#,
                vec![
                    ("baseline.HttpEndpoint", "must be enabled or disabled, not true"),
                    ("baseline.HttpPutResponseHopLimit", "must be a whole number from 1 to 64, not 65"),
                ],
            ),
            (
                r#"{"baseline": {"HttpPutResponseHopLimit": {"atLeast": 0, "atMost": "2"}}}"#,
                vec![
                    (
                        "baseline.HttpPutResponseHopLimit.atLeast",
                        "must be a whole number from 1 to 64, not 0",
                    ),
                    (
                        "baseline.HttpPutResponseHopLimit.atMost",
                        r#"must be a whole number from 1 to 64, not "2""#,
                    ),
                ],
            ),
            (
                r#"{"baseline": {"HttpPutResponseHopLimit": {"atLeast": 3, "atMost": 2}}}"#,
                vec![("baseline.HttpPutResponseHopLimit", "atLeast must not be above atMost")],
            ),
            (
                r#"{"baseline": {"HttpPutResponseHopLimit": {}}}"#,
                vec![("baseline.HttpPutResponseHopLimit", "must have atLeast, atMost or both")],
            ),
            (r#"{"baseline": "#, vec![("line 1, column 13", "not JSON: EOF")]),
        ];
        for (document, expected) in rows {
            let errors = parse(document).expect_err(document).0;
            assert_eq!(errors.len(), expected.len(), "{document}: {errors:?}");
            for (error, (place, problem)) in errors.iter().zip(expected) {
                assert_eq!(error.place, place, "{document}");
                assert!(error.problem.starts_with(problem), "{document}: {:?}", error.problem);
            }
        }
    }
}
