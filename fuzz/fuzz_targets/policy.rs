//! Any document becomes a policy, or a list of errors with their places. A policy decides on any tags without a panic,
//! and no further change is due after its decision is applied. What CloudWatch answers never makes it ask again.
#![no_main]

use imds_core::decide::{Facts, GroupUse, Needed, Verdict, decide};
use imds_core::ids::{AccountId, InstanceId, Region};
use imds_core::instance::{Instance, InstanceState};
use imds_core::metadata::OptionName;
use imds_core::policy::Policy;
use imds_core::usage::Usage;
use libfuzzer_sys::fuzz_target;
use time::OffsetDateTime;
use time::macros::datetime;

const NOW: OffsetDateTime = datetime!(2026-11-24 12:00 UTC);

// The input: a document, then the keys and values of tags in turn, all separated by zero bytes.
fuzz_target!(|bytes: &[u8]| {
    let Ok(input) = std::str::from_utf8(bytes) else {
        assert!(Policy::from_bytes(bytes).is_err());
        return;
    };
    let mut parts = input.split('\0');
    let document = parts.next().unwrap_or_default();
    let policy = match Policy::parse(document) {
        Ok(policy) => policy,
        Err(errors) => {
            assert!(!errors.0.is_empty());
            assert!(errors.0.iter().all(|error| !error.place.is_empty() && !error.problem.is_empty()));
            return;
        }
    };
    let is_shown = |c: char| !c.is_control() && !"\u{202e}\u{2066}\u{200b}\u{feff}".contains(c);
    assert!(policy.summary(NOW).iter().all(|line| line.chars().all(is_shown)), "{policy:?}");
    assert!(policy.warnings(NOW).iter().all(|warning| warning.problem.chars().all(is_shown)), "{policy:?}");
    assert!(policy.endings().all(|ending| ending.summary(NOW).chars().all(is_shown)), "{policy:?}");
    let mut instance = Instance {
        id: InstanceId::new("i-0123456789abcdef0").expect("an id"),
        state: Some(InstanceState::Running),
        tags: std::iter::from_fn(|| Some((parts.next()?.to_owned(), parts.next()?.to_owned()))).collect(),
        options: [(OptionName::HttpTokens, "optional"), (OptionName::HttpPutResponseHopLimit, "3")]
            .into_iter()
            .filter_map(|(name, text)| name.parse(text))
            .collect(),
        options_state: None,
        owner: None,
        launched: None,
        first_ran: None,
        image: None,
        managed_by: None,
    };
    let account = AccountId::new("111122223333").expect("an account");
    let region = Region::new("us-east-1").expect("a Region");
    let usage = Usage::from_points([(NOW.date(), 7.0)]);
    let decide = |instance: &Instance| {
        let mut facts = Facts {
            account: &account,
            region: &region,
            instance,
            tokens_enforced: None,
            is_launch: false,
            usage: None,
            group: None,
        };
        let first = decide(&policy, &facts, NOW);
        match first.verdict {
            Verdict::NeedsUsage(Needed::Usage { .. }) => facts.usage = Some(&usage),
            Verdict::NeedsUsage(Needed::Group(_)) => facts.group = Some(&GroupUse::Free),
            _ => return first,
        }
        let second = decide(&policy, &facts, NOW);
        assert!(!matches!(second.verdict, Verdict::NeedsUsage(_)), "{second:?}");
        second
    };
    let decision = decide(&instance);
    for warning in &decision.warnings {
        assert!(warning.to_string().chars().all(is_shown), "{warning:?}");
    }
    for reason in decision.verdict.reasons() {
        assert!(reason.to_string().chars().all(is_shown), "{reason:?}");
    }
    if let Verdict::Change { change, .. } = &decision.verdict {
        instance.options = instance.options.with(change);
        assert!(!matches!(decide(&instance).verdict, Verdict::Change { .. }), "{decision:?}");
    }
});
