//! Laws of the decision, tested with generated policies, tags and instances.
//!
//! The comment of each law names the defects that were introduced on purpose to check that it fails.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod gate;
mod given;
mod owners;
mod restore;

use given::{Given, given, instance, options, tags};
use imds_core::decide::{Decision, Facts, Reason, Verdict, Warning, decide};
use imds_core::ids::{AccountId, Region};
use imds_core::instance::Instance;
use imds_core::metadata::{HttpTokens, MetadataOptions, OptionName, OptionValue, Requirement, Switch};
use imds_core::policy::Policy;
use proptest::prelude::*;
use serde_json::json;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

const NOW: OffsetDateTime = datetime!(2026-03-17 12:00 UTC);

fn decided(policy: &Policy, instance: &Instance, tokens_enforced: Option<bool>) -> Decision {
    decided_at(policy, instance, tokens_enforced, NOW)
}

fn decided_at(
    policy: &Policy,
    instance: &Instance,
    tokens_enforced: Option<bool>,
    now: OffsetDateTime,
) -> Decision {
    let account = AccountId::new("111122223333").expect("an account");
    let region = Region::new("us-east-1").expect("a Region");
    let (account, region) = (&account, &region);
    let facts =
        Facts { account, region, instance, tokens_enforced, is_launch: false, usage: None, group: None };
    decide(policy, &facts, now)
}

fn policy(given: &Given) -> Policy {
    Policy::parse(&given.document.to_string()).expect("a policy")
}

/// The instance's options after the decision is applied.
fn result(instance: &Instance, decision: &Decision) -> MetadataOptions {
    match &decision.verdict {
        Verdict::Change { change, .. } => instance.options.with(change),
        _ => instance.options,
    }
}

const OFF: OptionValue = OptionValue::HttpEndpoint(Switch::Disabled);

fn is_off(options: &MetadataOptions) -> bool {
    options.get(OptionName::HttpEndpoint) == Some(OFF)
}

/// The option that a warning says was left out of the change.
fn left_out(warning: &Warning) -> Option<OptionName> {
    match warning {
        Warning::TagKeyForbidsMetadataTags { .. } => Some(OptionName::InstanceMetadataTags),
        Warning::TokensEnforced => Some(OptionName::HttpTokens),
        _ => None,
    }
}

const ANY: &[&str] = &["none", "tighten", "loosen"];
const STRICT: &[&str] = &["none", "tighten"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Fails if `nearest` returns one hop more than the bound, and if requirements that are met are sent too.
    #[test]
    fn deciding_again_on_the_changed_instance_gives_no_change(
        given in given(ANY), tags in tags(), options in options(), enforced in any::<Option<bool>>(),
    ) {
        let policy = policy(&given);
        let before = instance(options, &tags);
        let after = instance(result(&before, &decided(&policy, &before, enforced)), &tags);
        let again = decided(&policy, &after, enforced);
        prop_assert!(!matches!(again.verdict, Verdict::Change { .. }), "{again:?}");
    }

    /// Fails if requirements that are met are sent too, and if a missing value counts as unmet.
    #[test]
    fn a_change_names_only_what_is_known_not_to_satisfy_its_requirement(
        given in given(ANY), tags in tags(), options in options(),
    ) {
        let before = instance(options, &tags);
        let decision = decided(&policy(&given), &before, None);
        if let Verdict::Change { change, reasons } = &decision.verdict {
            prop_assert_eq!(change.options().iter().count(), reasons.len(), "a reason for each");
            for (value, reason) in change.options().iter().zip(reasons) {
                let Reason::Required(sourced) = reason else { panic!("{reason}") };
                prop_assert_eq!(sourced.requirement.name(), value.name());
                prop_assert!(sourced.requirement.is_met_by(value), "{} meets the requirement", value);
                let present = options.get(value.name());
                prop_assert!(present.is_some_and(|present| !sourced.requirement.is_met_by(present)), "{}", reason);
            }
        }
    }

    /// Fails if a tag may set any value (`tightens` not called), if rules are applied in reverse order, and if
    /// HttpEndpoint=enabled is left out of a change that needs it.
    #[test]
    fn whatever_the_tags_the_result_satisfies_the_policy_or_is_no_looser(
        given in given(STRICT), tags in tags(), options in options(), enforced in any::<Option<bool>>(),
    ) {
        let before = instance(options, &tags);
        let decision = decided(&policy(&given), &before, enforced);
        let after = result(&before, &decision);
        let required = given.required(&before.tags);
        for name in OptionName::ALL {
            let (was, is) = (options.get(name), after.get(name));
            let is_moot = is_off(&after) && name != OptionName::HttpEndpoint && was == is;
            let is_left_out = decision.warnings.iter().any(|warning| left_out(warning) == Some(name)) && was == is;
            // Nothing is decided on what is not known.
            let is_undecided = matches!(decision.verdict, Verdict::Incomplete { .. }) && was == is;
            let is_required = is == Some(OptionValue::HttpTokens(HttpTokens::Required));
            let is_right = match required.get(&name) {
                Some(requirement) => is.is_some_and(|value| requirement.is_met_by(value)),
                None => was == is || was.zip(is).is_some_and(|(was, is)| !is.is_looser_than(was)),
            };
            let is_lawful = is_moot || is_left_out || is_undecided || is_required || is_right;
            prop_assert!(is_lawful, "{name}: {was:?} -> {is:?}, {required:?}");
        }
    }

    /// Fails if a tag may set any value inside a range, and if a tag may set HttpEndpoint.
    #[test]
    fn under_tighten_no_option_is_looser_than_without_tags(
        given in given(&["tighten"]), tags in tags(), options in options(), enforced in any::<Option<bool>>(),
    ) {
        let policy = policy(&given);
        let with = instance(options, &tags);
        // Rules still match the other tags.
        let mut without = with.clone();
        without.tags.retain(|key, _| !key.starts_with("imds:"));
        let [with, without] = [with, without].map(|instance| {
            let decision = decided(&policy, &instance, enforced);
            (result(&instance, &decision), matches!(decision.verdict, Verdict::Incomplete { .. }))
        });
        // Where something is not known, the next description decides.
        prop_assume!(!with.1 && !without.1);
        for name in OptionName::ALL {
            let is_looser = with.0.get(name).zip(without.0.get(name)).is_some_and(|(with, without)| with.is_looser_than(without));
            prop_assert!(!is_looser, "{name}: {:?} without tags, {:?} with them", without.0.get(name), with.0.get(name));
        }
    }

    /// Fails if the state is not checked, and if a missing hop limit counts as unmet.
    #[test]
    fn without_a_value_that_is_required_nothing_is_decided(
        given in given(ANY), tags in tags(), options in options(), is_stateless in any::<bool>(),
    ) {
        let mut instance = instance(options, &tags);
        if is_stateless {
            instance.state = None;
        }
        let required = given.required(&instance.tags);
        let is_lacking = required.keys().any(|name| options.get(*name).is_none());
        let verdict = decided(&policy(&given), &instance, None).verdict;
        let is_incomplete = matches!(verdict, Verdict::Incomplete { .. });
        prop_assert!(is_incomplete || !is_stateless, "{:?}", verdict);
        let is_off = is_off(&options) || required.get(&OptionName::HttpEndpoint) == Some(&Requirement::Exactly(OFF));
        // The endpoint may be off by a tag as well.
        let is_off = is_off || given.authority() == "loosen";
        prop_assert!(is_incomplete || !is_lacking || is_off, "{:?} without what {:?} needs", verdict, required);
    }

    /// Fails if HttpEndpoint=enabled is added to every change, as other tools do.
    #[test]
    fn the_endpoint_is_never_a_side_effect(given in given(STRICT), tags in tags(), options in options()) {
        let before = instance(options, &tags);
        if let Verdict::Change { change, .. } = decided(&policy(&given), &before, None).verdict {
            let endpoint = change.options().get(OptionName::HttpEndpoint);
            if let Some(endpoint) = endpoint {
                let required = given.required(&before.tags);
                prop_assert_eq!(required.get(&OptionName::HttpEndpoint), Some(&Requirement::Exactly(endpoint)));
            }
            if endpoint == Some(OFF) {
                prop_assert_eq!(change.options().iter().count(), 1, "it is sent alone");
            } else {
                prop_assert!(endpoint.is_some() || !is_off(&options), "nothing is sent to a disabled endpoint");
            }
        }
    }

    /// The type of `Instance::tags` ensures this, because it sorts the keys. Guards against a change of that type.
    #[test]
    fn the_order_of_tags_never_matters(
        given in given(ANY), (tags, shuffled) in tags().prop_flat_map(|tags| (Just(tags.clone()), Just(tags).prop_shuffle())),
        options in options(),
    ) {
        let policy = policy(&given);
        let decision = decided(&policy, &instance(options, &tags), None);
        prop_assert_eq!(decision, decided(&policy, &instance(options, &shuffled), None));
    }

    /// Fails with `<` instead of `<=` in `is_active`, without the limit on a tag's date, and without the limit on the
    /// instance's age.
    #[test]
    fn an_exemption_never_outlives_its_day_or_its_caps(
        options in options(), ahead in -400_i64..400, by_tag in any::<bool>(), max_days in 1_i64..200,
        max_age in prop::option::of(1_i64..300), age in prop::option::of(-1_i64..400), second in 0_i64..86_400,
    ) {
        let now = NOW.replace_time(time::Time::MIDNIGHT) + Duration::seconds(second);
        let until = (now + Duration::days(ahead)).date().to_string();
        let mut limits = json!({"maxDays": max_days});
        if let Some(max_age) = max_age {
            limits["maxAgeDays"] = json!(max_age);
        }
        let mut document = json!({"baseline": {"HttpTokens": "required"}, "instanceTags": {"exemptions": limits}});
        let mut tags = vec![("App".to_owned(), "x".to_owned())];
        if by_tag {
            tags.push(("imds:ExemptUntil".to_owned(), until));
        } else {
            document["rules"] = json!([{"name": "r", "when": {"tags": {"App": "x"}}, "exempt": {"until": until}}]);
        }
        let policy = Policy::parse(&document.to_string()).expect("a policy");
        let mut instance = instance(options, &tags);
        instance.first_ran = age.map(|age| now - Duration::days(age));
        let decision = decided_at(&policy, &instance, None, now);
        let is_young = max_age.is_none_or(|max_age| age.is_some_and(|age| age <= max_age));
        let expected = ahead >= 0 && (!by_tag || (ahead <= max_days && is_young));
        if let Verdict::Exempt { reasons } = &decision.verdict {
            let last = reasons[0].exempt_until().unwrap();
            prop_assert!(last >= now.date() && last <= (now + Duration::days(ahead)).date(), "{}", last);
        }
        let is_exempt = matches!(decision.verdict, Verdict::Exempt { .. });
        prop_assert_eq!(is_exempt, expected, "{:?}", decision);
        prop_assert_eq!(decision.warnings.is_empty(), is_exempt, "an exemption that is not active has a warning");
    }
}
