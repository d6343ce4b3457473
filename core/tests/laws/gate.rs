//! Laws of the usage gate: it holds back `HttpTokens=required`, and nothing else.

use std::collections::BTreeMap;

use imds_core::decide::{Decision, Facts, GroupUse, HeldBack, Needed, Verdict, decide};
use imds_core::ids::{AccountId, InstanceId, Region};
use imds_core::instance::Instance;
use imds_core::metadata::{HttpTokens, OptionName, OptionValue};
use imds_core::policy::Policy;
use imds_core::usage::Usage;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use time::Duration;

use crate::given::{Given, given, instance, options, tags};
use crate::{ANY, NOW, STRICT, decided, is_off, left_out, policy, result};

const REQUIRED: OptionValue = OptionValue::HttpTokens(HttpTokens::Required);

/// A gate as the test knows it.
#[derive(Debug, Clone)]
struct Gate {
    document: Value,
    lookback: i64,
    min_days: usize,
    tolerated: u64,
    follows: bool,
    holds_unknown: bool,
    is_over: bool,
}

/// What is known of an instance, beside its tags and options.
#[derive(Debug, Clone)]
struct Known {
    /// How many minutes ago it first ran.
    age: Option<i64>,
    is_launch: bool,
    has_group: bool,
    /// The calls by days before today; `None` if CloudWatch refuses.
    calls: Option<BTreeMap<i64, u64>>,
    is_group_held: bool,
}

fn gate() -> impl Strategy<Value = Gate> {
    let days = (1_i64..20).prop_flat_map(|lookback| (Just(lookback), 1..=lookback));
    let end = prop::option::of(-2_i64..3);
    let words = (any::<bool>(), any::<bool>());
    (days, 0_u64..6, words, end).prop_map(
        |((lookback, min_days), tolerated, (follows, holds_unknown), end)| {
            let mut document = json!({
                "lookbackDays": lookback, "minDays": min_days, "toleratedCalls": tolerated,
                "launches": if follows { "follow" } else { "enforce" },
                "onUnknown": if holds_unknown { "hold" } else { "enforce" },
            });
            if let Some(end) = end {
                document["until"] = json!((NOW + Duration::days(end)).date().to_string());
            }
            let is_over = end.is_some_and(|end| end < 0);
            Gate {
                document,
                lookback,
                min_days: min_days as usize,
                tolerated,
                follows,
                holds_unknown,
                is_over,
            }
        },
    )
}

fn known() -> impl Strategy<Value = Known> {
    // Around the limits of an hour and six hours, and days.
    let age = prop_oneof![
        select(vec![-5_i64, 0, 59, 60, 61, 359, 360, 361]),
        (1_i64..25).prop_map(|days| days * 1440)
    ];
    let calls = prop::collection::btree_map(0_i64..25, prop_oneof![3 => Just(0_u64), 1 => 1_u64..6], 0..25);
    let group = (any::<bool>(), any::<bool>());
    (prop::option::weighted(0.9, age), any::<bool>(), group, prop::option::weighted(0.9, calls)).prop_map(
        |(age, is_launch, (has_group, is_group_held), calls)| Known {
            age,
            is_launch,
            has_group,
            calls,
            is_group_held,
        },
    )
}

impl Gate {
    fn policy(&self, given: &Given) -> Policy {
        let mut document = given.document.clone();
        document["usageGate"] = self.document.clone();
        document["limits"] = json!({"changesPerSweep": 200});
        Policy::parse(&document.to_string()).expect("a policy")
    }

    /// Whether the instance is too new to be asked about: the oracle, as the next ones.
    fn is_new(known: &Known) -> bool {
        known.age.is_some_and(|age| age <= if known.is_launch { 360 } else { 60 })
    }

    /// Whether anything must be asked.
    fn asks(&self, known: &Known) -> bool {
        !self.is_over && (!Self::is_new(known) || (self.follows && known.has_group))
    }

    fn holds(&self, known: &Known) -> bool {
        if !self.asks(known) {
            return false;
        }
        if Self::is_new(known) {
            return known.is_group_held;
        }
        let Some(calls) = &known.calls else { return true };
        let age = known
            .age
            .map_or(i64::MAX, |age| (NOW.date() - (NOW - Duration::minutes(age)).date()).whole_days());
        let seen = || calls.range(..=self.lookback.min(age));
        let sum: u64 = seen().map(|(_, calls)| calls).sum();
        sum > self.tolerated || (self.holds_unknown && seen().count() < self.min_days)
    }
}

impl Known {
    fn instance(&self, options: imds_core::metadata::MetadataOptions, tags: &[(String, String)]) -> Instance {
        let mut instance = instance(options, tags);
        instance.first_ran = self.age.map(|age| NOW - Duration::minutes(age));
        instance.tags.remove("aws:ec2launchtemplate:id");
        instance.tags.remove("aws:autoscaling:groupName");
        if self.has_group {
            instance.tags.insert("aws:autoscaling:groupName".to_owned(), "web".to_owned());
        }
        instance
    }

    /// The first decision, and the one with the answer to what it asks.
    fn decided(&self, policy: &Policy, instance: &Instance, enforced: Option<bool>) -> (Decision, Decision) {
        let account = AccountId::new("111122223333").expect("an account");
        let region = Region::new("us-east-1").expect("a Region");
        let usage = self.calls.as_ref().map_or(Usage::Refused("no".to_owned()), |calls| {
            let day = |(ago, calls): (&i64, &u64)| (NOW.date() - Duration::days(*ago), *calls);
            Usage::Days(calls.iter().map(day).collect())
        });
        let held = GroupUse::HeldBack {
            instance: InstanceId::new("i-00000001").expect("an id"),
            why: HeldBack::UsageRefused { why: "no".to_owned() },
        };
        let group = if self.is_group_held { held } else { GroupUse::Free };
        let mut facts = Facts {
            account: &account,
            region: &region,
            instance,
            tokens_enforced: enforced,
            is_launch: self.is_launch,
            usage: None,
            group: None,
        };
        let first = decide(policy, &facts, NOW);
        match &first.verdict {
            Verdict::NeedsUsage(Needed::Usage { .. }) => facts.usage = Some(&usage),
            Verdict::NeedsUsage(Needed::Group(_)) => facts.group = Some(&group),
            _ => {}
        }
        (first, decide(policy, &facts, NOW))
    }
}

/// Whether an instance that answers IMDSv1 stops to by this decision.
fn ends_imdsv1(instance: &Instance, decision: &Decision) -> bool {
    let Verdict::Change { change, .. } = &decision.verdict else { return false };
    change.options().get(OptionName::HttpTokens) == Some(REQUIRED) && !is_off(&instance.options)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Fails if a tolerated call or a sufficient day is counted wrongly, if a day before the lookback counts, if a refusal
    /// counts as too little data, if the limits for a new instance are exchanged, if a gate that is over holds, and if
    /// what is held back counts as compliant.
    #[test]
    fn the_gate_holds_back_exactly_what_it_should_whatever_the_tags(
        given in given(ANY), gate in gate(), known in known(), tags in tags(), options in options(),
        enforced in any::<Option<bool>>(),
    ) {
        let instance = known.instance(options, &tags);
        let without = decided(&policy(&given), &instance, enforced);
        let (_, with) = known.decided(&gate.policy(&given), &instance, enforced);
        prop_assert!(!matches!(with.verdict, Verdict::NeedsUsage(_)), "asked twice: {with:?}");
        let is_held_back = ends_imdsv1(&instance, &without) && gate.holds(&known);
        prop_assert_eq!(with.verdict.held_back().is_some(), is_held_back, "{:?}", with);
        if is_held_back {
            prop_assert!(!ends_imdsv1(&instance, &with), "{:?}", with);
            let is_told = with.verdict.reasons().last().is_some_and(|why| why.to_string().contains("is held back: "));
            prop_assert!(is_told, "{:?}", with);
        } else {
            prop_assert_eq!(with.verdict, without.verdict);
        }
    }

    /// Fails if the gate is asked about every instance, and if it is asked about one whose endpoint is disabled.
    #[test]
    fn the_gate_asks_only_if_the_answer_matters(
        given in given(ANY), gate in gate(), known in known(), tags in tags(), options in options(),
    ) {
        let instance = known.instance(options, &tags);
        let without = decided(&policy(&given), &instance, None);
        let (first, _) = known.decided(&gate.policy(&given), &instance, None);
        let needs = matches!(first.verdict, Verdict::NeedsUsage(_));
        prop_assert_eq!(needs, ends_imdsv1(&instance, &without) && gate.asks(&known), "{:?}", first);
    }

    /// Fails if the whole change is dropped where tokens are held back.
    #[test]
    fn the_gate_makes_nothing_looser_and_decides_nothing_but_tokens(
        given in given(ANY), gate in gate(), known in known(), tags in tags(), options in options(),
        enforced in any::<Option<bool>>(),
    ) {
        let instance = known.instance(options, &tags);
        let without = result(&instance, &decided(&policy(&given), &instance, enforced));
        let with = result(&instance, &known.decided(&gate.policy(&given), &instance, enforced).1);
        for name in OptionName::ALL {
            let (was, is, otherwise) = (options.get(name), with.get(name), without.get(name));
            let is_looser = was.zip(is).is_some_and(|(was, is)| is.is_looser_than(was));
            prop_assert!(!is_looser || is == otherwise, "{name}: {was:?} -> {is:?}");
            prop_assert!(is == otherwise || name == OptionName::HttpTokens, "{name}: {is:?}, {otherwise:?} without");
        }
    }

    /// Fails if the whole change is dropped where tokens are held back, and if the decision does not say that they are.
    #[test]
    fn what_is_held_back_stays_so_and_everything_else_satisfies_the_policy(
        given in given(STRICT), gate in gate(), known in known(), tags in tags(), options in options(),
        enforced in any::<Option<bool>>(),
    ) {
        let (before, policy) = (known.instance(options, &tags), gate.policy(&given));
        let (_, decision) = known.decided(&policy, &before, enforced);
        let after = result(&before, &decision);
        let again = known.decided(&policy, &Instance { options: after, ..before.clone() }, enforced).1;
        prop_assert!(!matches!(again.verdict, Verdict::Change { .. }), "{again:?}");
        let are_held_back = [&decision, &again].map(|decision| decision.verdict.held_back().is_some());
        prop_assert!(
            are_held_back[0] == are_held_back[1] || is_off(&after), "{:?}, then {:?}", decision, again
        );
        prop_assume!(!matches!(decision.verdict, Verdict::Incomplete { .. }));
        for (name, requirement) in given.required(&before.tags) {
            let is_moot = is_off(&after) && name != OptionName::HttpEndpoint;
            let is_blocked = decision.warnings.iter().any(|warning| left_out(warning) == Some(name));
            let is_held_back = decision.verdict.held_back().is_some() && name == OptionName::HttpTokens;
            let is = after.get(name);
            let is_right = is == Some(REQUIRED) || is.is_some_and(|value| requirement.is_met_by(value));
            prop_assert!(is_moot || is_blocked || is_held_back || is_right, "{name}: {requirement}, {is:?}");
        }
    }
}
