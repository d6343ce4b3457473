//! The speed of decisions: a policy with 20 rules, an instance with 20 tags.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use imds_core::decide::{Facts, decide};
use imds_core::ids::{AccountId, InstanceId, Region};
use imds_core::instance::{Instance, InstanceState};
use imds_core::metadata::OptionName;
use imds_core::policy::Policy;
use serde_json::{Value, json};
use std::hint::black_box;
use time::macros::datetime;

/// Rules of every kind: some match, some fail at their last condition, some are expired exemptions.
fn policy() -> Policy {
    let rule = |number: u32| -> Value {
        let key = format!("Tag{}", number % 20);
        match number % 4 {
            0 => json!({"name": number.to_string(), "when": {"tags": {key: "*"}},
                "require": {"HttpPutResponseHopLimit": {"atMost": 4}}}),
            1 => {
                json!({"name": number.to_string(), "when": {"tags": {key: ["payroll-*", "*-x-*-y"]}, "regions": "eu-*"},
                "require": {"HttpProtocolIpv6": "disabled"}})
            }
            2 => {
                json!({"name": number.to_string(), "when": {"accounts": ["9*", "8*"], "tags": {key: "value-*"}},
                "require": {"HttpEndpoint": "disabled"}})
            }
            _ => {
                json!({"name": number.to_string(), "when": {"tags": {key: "value-?"}}, "exempt": {"until": "2026-01-01"}})
            }
        }
    };
    let rules: Vec<Value> = (0..20).map(rule).collect();
    let document = json!({"baseline": {"HttpTokens": "required"}, "rules": rules,
        "instanceTags": {"exemptions": {"maxDays": 90}}});
    Policy::parse(&document.to_string()).expect("a policy")
}

fn instance() -> Instance {
    let options = [("HttpTokens", "optional"), ("HttpEndpoint", "enabled"), ("HttpPutResponseHopLimit", "5")];
    let value = |(name, text): (&str, &str)| OptionName::from_name(name)?.parse(text);
    let mut tags: std::collections::BTreeMap<String, String> =
        (0..18).map(|number| (format!("Tag{number}"), format!("value-{number}-x-and-more"))).collect();
    tags.insert("imds:HttpPutResponseHopLimit".to_owned(), "2".to_owned());
    tags.insert("imds:ExemptUntil".to_owned(), "soon".to_owned());
    Instance {
        id: InstanceId::new("i-0123456789abcdef0").expect("an id"),
        state: Some(InstanceState::Running),
        tags,
        options: options.into_iter().filter_map(value).collect(),
        options_state: None,
        owner: None,
        launched: None,
        first_ran: None,
        image: None,
        managed_by: None,
    }
}

fn decisions(criterion: &mut Criterion) {
    let (policy, instance) = (policy(), instance());
    let account = AccountId::new("111122223333").expect("an account");
    let region = Region::new("eu-west-1").expect("a Region");
    let facts = Facts {
        account: &account,
        region: &region,
        instance: &instance,
        tokens_enforced: None,
        is_launch: false,
        usage: None,
        group: None,
    };
    let mut group = criterion.benchmark_group("decide");
    group.throughput(Throughput::Elements(1));
    group.bench_function("20 rules, 20 tags", |bencher| {
        bencher.iter(|| decide(black_box(&policy), black_box(&facts), datetime!(2026-03-17 00:00 UTC)));
    });
    group.finish();
}

criterion_group!(benches, decisions);
criterion_main!(benches);
