//! The defaults that are to be set.

use imds_core::metadata::{OptionName, OptionValue};
use imds_engine::aws::fleet::{Defaults, DefaultsChange};

/// EC2's name for the absence of a preference.
pub const NO_PREFERENCE: &str = "no-preference";

/// EC2's number for the absence of a preference of the hop limit.
const NO_HOP_LIMIT: i32 = -1;

/// The defaults that are to be set. What is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Options: a value, or `None` for no preference.
    pub options: Vec<(OptionName, Option<OptionValue>)>,
    /// `enabled`, `disabled` or `no-preference` for `HttpTokensEnforced`.
    pub enforced: Option<&'static str>,
}

/// A default that is not as wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The option, or `HttpTokensEnforced`.
    pub name: &'static str,
    /// What it is now.
    pub now: String,
    /// What it is to be.
    pub wanted: String,
    /// Whether tokens are not required, or not enforced, any more.
    pub is_loosening: bool,
}

impl Wanted {
    /// Returns which defaults are not as wanted.
    pub fn differences(&self, now: &Defaults) -> Vec<Difference> {
        let option = |(name, wanted): &(OptionName, Option<OptionValue>)| {
            let now = now.options.get(*name);
            let text =
                |value: Option<OptionValue>| value.map_or(NO_PREFERENCE.to_owned(), |value| value.text());
            (now != *wanted).then(|| Difference {
                name: name.as_str(),
                now: text(now),
                wanted: text(*wanted),
                is_loosening: now == Some(OptionValue::TOKENS_REQUIRED),
            })
        };
        let enforced = self.enforced.filter(|wanted| (*wanted == "enabled") != now.http_tokens_enforced);
        let enforced = enforced.map(|wanted| Difference {
            name: "HttpTokensEnforced",
            now: if now.http_tokens_enforced { "enabled" } else { "disabled" }.to_owned(),
            wanted: wanted.to_owned(),
            is_loosening: now.http_tokens_enforced,
        });
        self.options.iter().filter_map(option).chain(enforced).collect()
    }

    /// Whether launches that name no value of `HttpTokens` would fail as well: tokens are enforced, and the default
    /// does not require them.
    pub fn fails_plain_launches(&self, now: &Defaults) -> bool {
        let wanted = self.options.iter().find(|(name, _)| *name == OptionName::HttpTokens);
        let tokens = wanted.map_or(now.options.get(OptionName::HttpTokens), |(_, wanted)| *wanted);
        self.enforced == Some("enabled") && tokens != Some(OptionValue::TOKENS_REQUIRED)
    }

    /// Returns the change that sets what is not as wanted.
    pub fn change(&self, now: &Defaults) -> DefaultsChange {
        let mut change = DefaultsChange {
            http_tokens_enforced: self
                .enforced
                .filter(|wanted| (*wanted == "enabled") != now.http_tokens_enforced)
                .map(str::to_owned),
            ..DefaultsChange::default()
        };
        let differing = self.options.iter().filter(|(name, wanted)| now.options.get(*name) != *wanted);
        for (name, wanted) in differing {
            let text = Some(wanted.map_or(NO_PREFERENCE.to_owned(), OptionValue::text));
            match name {
                OptionName::HttpTokens => change.http_tokens = text,
                OptionName::HttpEndpoint => change.http_endpoint = text,
                OptionName::InstanceMetadataTags => change.instance_metadata_tags = text,
                OptionName::HttpPutResponseHopLimit => {
                    change.http_put_response_hop_limit = Some(hops(*wanted))
                }
                // Accounts have no preference of it.
                OptionName::HttpProtocolIpv6 => {}
            }
        }
        change
    }
}

fn hops(wanted: Option<OptionValue>) -> i32 {
    match wanted {
        Some(OptionValue::HttpPutResponseHopLimit(hops)) => hops.get().into(),
        _ => NO_HOP_LIMIT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(name: OptionName, text: &str) -> Option<OptionValue> {
        if text == NO_PREFERENCE { None } else { Some(name.parse(text).unwrap()) }
    }

    #[test]
    fn only_what_is_not_as_wanted_is_set() {
        use OptionName::*;
        type Change = (Option<&'static str>, Option<i32>, Option<&'static str>);
        // Now, wanted, the change of tokens, hop limit and enforcement, and whether it loosens.
        type Values = &'static [(OptionName, &'static str)];
        type Row = (Values, bool, Values, Option<&'static str>, Change, bool);
        let rows: [Row; 11] = [
            (&[], false, &[(HttpTokens, "required")], None, (Some("required"), None, None), false),
            (
                &[(HttpTokens, "required")],
                false,
                &[(HttpTokens, "required")],
                None,
                (None, None, None),
                false,
            ),
            (
                &[(HttpTokens, "optional")],
                false,
                &[(HttpTokens, "required")],
                None,
                (Some("required"), None, None),
                false,
            ),
            (
                &[(HttpTokens, "required")],
                false,
                &[(HttpTokens, "optional")],
                None,
                (Some("optional"), None, None),
                true,
            ),
            (
                &[(HttpTokens, "required")],
                false,
                &[(HttpTokens, NO_PREFERENCE)],
                None,
                (Some(NO_PREFERENCE), None, None),
                true,
            ),
            (&[], false, &[(HttpTokens, NO_PREFERENCE)], None, (None, None, None), false),
            (
                &[(HttpPutResponseHopLimit, "1")],
                false,
                &[(HttpPutResponseHopLimit, "2")],
                None,
                (None, Some(2), None),
                false,
            ),
            (
                &[(HttpPutResponseHopLimit, "1")],
                false,
                &[(HttpPutResponseHopLimit, NO_PREFERENCE)],
                None,
                (None, Some(-1), None),
                false,
            ),
            (&[], false, &[], Some("enabled"), (None, None, Some("enabled")), false),
            (&[], true, &[], Some("disabled"), (None, None, Some("disabled")), true),
            (&[], false, &[], Some(NO_PREFERENCE), (None, None, None), false),
        ];
        for (now, http_tokens_enforced, wanted, enforced, expected, loosens) in rows {
            let wanted = Wanted {
                options: wanted.iter().map(|(name, text)| (*name, value(*name, text))).collect(),
                enforced,
            };
            let options = now.iter().filter_map(|(name, text)| value(*name, text)).collect();
            let now = Defaults { options, http_tokens_enforced, ..Defaults::default() };
            let change = wanted.change(&now);
            let found = (
                change.http_tokens.as_deref(),
                change.http_put_response_hop_limit,
                change.http_tokens_enforced.as_deref(),
            );
            assert_eq!(found, expected, "{wanted:?} of {now:?}");
            let differences = wanted.differences(&now);
            assert_eq!(differences.is_empty(), expected == (None, None, None), "{wanted:?} of {now:?}");
            assert_eq!(differences.iter().any(|one| one.is_loosening), loosens, "{wanted:?} of {now:?}");
        }
    }

    #[test]
    fn enforcement_without_required_tokens_fails_plain_launches() {
        let rows = [
            (None, Some("enabled"), None, true),
            (Some("required"), Some("enabled"), None, false),
            (None, Some("enabled"), Some("required"), false),
            (Some("required"), Some("enabled"), Some(NO_PREFERENCE), true),
            (None, Some("disabled"), None, false),
            (None, None, Some("required"), false),
        ];
        for (now, enforced, wanted, expected) in rows {
            let of = |text: &str| value(OptionName::HttpTokens, text);
            let options = wanted.map(|text| (OptionName::HttpTokens, of(text))).into_iter().collect();
            let defaults =
                Defaults { options: now.and_then(of).into_iter().collect(), ..Defaults::default() };
            let wanted = Wanted { options, enforced };
            assert_eq!(wanted.fails_plain_launches(&defaults), expected, "{wanted:?} of {now:?}");
        }
    }
}
