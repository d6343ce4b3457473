//! Generated policies, tags and instances.

use std::collections::BTreeMap;

use imds_core::ids::InstanceId;
use imds_core::instance::{Instance, InstanceState};
use imds_core::metadata::{HopLimit, MetadataOptions, OptionName, OptionValue, Requirement};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value, json};

/// A rule or baseline entry as the test knows it, next to its JSON.
type Required = BTreeMap<OptionName, Requirement>;

/// A condition on a tag key and its value, or no condition.
type Condition = Option<(String, String)>;

/// Requirements, and the document that contains them. A condition is only a tag key and a value.
#[derive(Debug, Clone)]
pub struct Given {
    pub document: Value,
    baseline: Required,
    rules: Vec<(Condition, Required)>,
}

impl Given {
    pub fn authority(&self) -> &str {
        self.document["instanceTags"]["authority"].as_str().unwrap_or_default()
    }

    /// What baseline and rules require of an instance with these tags: the oracle.
    pub fn required(&self, tags: &BTreeMap<String, String>) -> Required {
        let mut required = self.baseline.clone();
        for (when, requirements) in &self.rules {
            let holds = match when {
                None => true,
                Some((key, value)) => tags.get(key).is_some_and(|found| value == "*" || value == found),
            };
            if holds {
                required.extend(requirements.clone());
            }
        }
        required
    }
}

fn values(name: OptionName) -> BoxedStrategy<OptionValue> {
    let texts: Vec<String> = match name {
        OptionName::HttpTokens => vec!["required".into(), "optional".into()],
        OptionName::HttpPutResponseHopLimit => (1..=64).map(|hops| hops.to_string()).collect(),
        _ => vec!["enabled".into(), "disabled".into()],
    };
    let texts = if name == OptionName::HttpPutResponseHopLimit {
        // Mostly small limits, so that ranges overlap.
        prop_oneof![4 => select(texts[..5].to_vec()), 1 => select(texts)].boxed()
    } else {
        select(texts).boxed()
    };
    texts.prop_map(move |text| name.parse(&text).expect("a value of the option")).boxed()
}

fn requirement(name: OptionName) -> BoxedStrategy<(Requirement, Value)> {
    let exact = values(name).prop_map(|value| (Requirement::Exactly(value), json!(value))).boxed();
    if name != OptionName::HttpPutResponseHopLimit {
        return exact;
    }
    let bounds =
        (prop::option::of(1_i64..6), prop::option::of(1_i64..6)).prop_filter_map("bounds", |bounds| {
            let range = match bounds {
                (None, None) => return None,
                (Some(low), Some(high)) if low > high => return None,
                (Some(low), Some(high)) => json!({"atLeast": low, "atMost": high}),
                (Some(low), None) => json!({"atLeast": low}),
                (None, Some(high)) => json!({"atMost": high}),
            };
            let limit = |hops| HopLimit::new(hops);
            let requirement = Requirement::HopLimit {
                at_least: bounds.0.and_then(limit),
                at_most: bounds.1.and_then(limit),
            };
            Some((requirement, range))
        });
    prop_oneof![exact, bounds].boxed()
}

fn requirements(at_least: usize) -> impl Strategy<Value = (Required, Value)> {
    subsequence(OptionName::ALL.to_vec(), at_least..=3).prop_flat_map(|names| {
        let each: Vec<_> = names.iter().map(|name| requirement(*name)).collect();
        each.prop_map(move |requirements| {
            let mut document = Map::new();
            let mut required = Required::new();
            for (name, (requirement, value)) in names.iter().zip(requirements) {
                document.insert(name.as_str().to_owned(), value);
                required.insert(*name, requirement);
            }
            (required, Value::Object(document))
        })
    })
}

fn condition() -> impl Strategy<Value = Condition> {
    prop::option::of((select(vec!["Env", "App"]), select(vec!["*", "prod", "test"])))
        .prop_map(|condition| condition.map(|(key, value)| (key.to_owned(), value.to_owned())))
}

/// A policy without exemptions, with one of these authorities.
pub fn given(authority: &'static [&'static str]) -> impl Strategy<Value = Given> {
    let rules = prop::collection::vec((condition(), requirements(1)), 0..4);
    (requirements(0), rules, select(authority)).prop_map(|((baseline, document), rules, authority)| {
        let rule = |(number, (when, (_, require))): (usize, &(Condition, (Required, Value)))| {
            let when = when.as_ref().map_or(json!({}), |(key, value)| json!({"tags": {key: value}}));
            json!({"name": number.to_string(), "when": when, "require": require})
        };
        let documents: Vec<Value> = rules.iter().enumerate().map(rule).collect();
        Given {
            document: json!({
                "baseline": document, "rules": documents, "instanceTags": {"authority": authority},
            }),
            baseline,
            rules: rules.into_iter().map(|(when, (required, _))| (when, required)).collect(),
        }
    })
}

/// Tags that matter, with valid and invalid values, and tags with arbitrary text.
pub fn tags() -> impl Strategy<Value = Vec<(String, String)>> {
    let names = OptionName::ALL.map(OptionName::as_str).to_vec();
    let asked = select(OptionName::ALL.to_vec())
        .prop_flat_map(|name| (Just(format!("imds:{name}")), values(name).prop_map(OptionValue::text)));
    let wrong = (select(names), select(vec!["", "Required", "0", "65", "-1", " 2", "2.0", "２", "on", "*"]))
        .prop_map(|(name, value)| (format!("imds:{name}"), value.to_owned()));
    let exempt = select(vec!["2026-03-16", "2026-03-18", "9999-12-31", "soon"])
        .prop_map(|date| ("imds:ExemptUntil".to_owned(), date.to_owned()));
    let matched = (select(vec!["Env", "App"]), select(vec!["prod", "test", "other"]))
        .prop_map(|(key, value)| (key.to_owned(), value.to_owned()));
    let any = ("(imds:)?\\PC{0,12}", "\\PC{0,12}");
    let tag = prop_oneof![6 => asked, 2 => wrong, 1 => exempt, 3 => matched, 2 => any];
    // One key has one value, as in EC2.
    prop::collection::vec(tag, 0..8)
        .prop_map(|tags| tags.into_iter().collect::<BTreeMap<_, _>>().into_iter().collect())
}

pub fn options() -> impl Strategy<Value = MetadataOptions> {
    let each = OptionName::ALL.map(|name| prop::option::weighted(0.95, values(name)));
    each.prop_map(|values| values.into_iter().flatten().collect())
}

pub fn instance(options: MetadataOptions, tags: &[(String, String)]) -> Instance {
    Instance {
        id: InstanceId::new("i-0123456789abcdef0").expect("an id"),
        state: Some(InstanceState::Running),
        tags: tags.iter().cloned().collect(),
        options,
        options_state: None,
        owner: None,
        launched: None,
        first_ran: None,
        image: None,
        managed_by: None,
    }
}
