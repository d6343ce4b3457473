//! Laws of restoring.

use imds_core::decide::Verdict;
use imds_core::metadata::{MetadataOptions, OptionName, OptionValue};
use imds_core::restore::{Left, Restoration};
use proptest::prelude::*;

use crate::given::{given, instance, options, tags};
use crate::{decided, policy};

/// The option that is left.
fn name(left: &Left) -> OptionName {
    match left {
        Left::BeforeUnknown(name) | Left::PresentUnknown(name) => *name,
        Left::Differs { present, .. } => present.name(),
        Left::Loosens => OptionName::HttpTokens,
        Left::Opens => OptionName::HttpEndpoint,
        Left::EndpointDisabled(before)
        | Left::ChangedBack { before, .. }
        | Left::MayBeChangedBack { before, .. } => before.name(),
    }
}

fn tokens(options: &MetadataOptions) -> Option<OptionValue> {
    options.get(OptionName::HttpTokens)
}

proptest! {
    /// Fails if an option is set whose present value is not the one that was set, or to another value than before; if
    /// tokens become optional, or an endpoint is enabled where they are, without leave; if an option is neither as before,
    /// nor restored, nor left; if one is left twice; or if the policy would change back what is restored.
    #[test]
    fn only_what_was_set_is_restored_to_what_it_was_and_the_rest_is_named(
        given in given(&["none", "tighten", "loosen"]),
        tags in tags(),
        set in options(),
        before in options(),
        changed_since in options(),
        is_changed in prop::collection::vec(any::<bool>(), 5),
        allow_loosening in any::<bool>(),
        anyway in any::<bool>(),
    ) {
        let policy = policy(&given);
        let later = changed_since.iter().filter(|value| is_changed[value.name() as usize]);
        let present: MetadataOptions = set.iter().chain(later).collect();
        let restoration = Restoration { set, before, allow_loosening, anyway };
        let verdict = |options: &MetadataOptions| decided(&policy, &instance(*options, &tags), None).verdict;
        let restored = restoration.plan(&present, verdict);

        let change = restored.change.map(|change| *change.options()).unwrap_or_default();
        for value in change.iter() {
            let name = value.name();
            prop_assert_eq!(Some(value), before.get(name), "another value than before");
            prop_assert!(present.get(name) == set.get(name) && present.get(name) != Some(value), "{} was not set", name);
        }
        prop_assert!(allow_loosening || tokens(&change) != Some(OptionValue::TOKENS_OPTIONAL), "tokens are optional");
        for name in OptionName::ALL {
            let count = restored.left.iter().filter(|left| self::name(left) == name).count();
            let is_due = set.get(name).is_some() && (before.get(name).is_none() || present.get(name) != before.get(name));
            prop_assert_eq!(count, usize::from(is_due && change.get(name).is_none()), "{} is left", name);
        }
        let after: MetadataOptions = present.iter().chain(change.iter()).collect();
        let enables = change.get(OptionName::HttpEndpoint) == OptionName::HttpEndpoint.parse("enabled");
        prop_assert!(allow_loosening || !enables || tokens(&after) == Some(OptionValue::TOKENS_REQUIRED), "it answers");
        if let (false, Verdict::Change { change: again, .. }) = (anyway, verdict(&after)) {
            prop_assert!(change.iter().all(|value| again.options().get(value.name()).is_none()), "it is changed back");
        }
        prop_assert_eq!(restoration.plan(&after, verdict).change, None, "there is more to restore");
    }
}
