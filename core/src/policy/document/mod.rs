//! The policy document as written. The JSON Schema is generated from these types.

mod part;
mod values;

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::metadata::{HopLimit, HttpTokens, OptionName, Switch};
use crate::mode::Mode;
use crate::policy::model::Authority;
use crate::policy::usage_gate::{Launches, OnUnknown};
use part::{Expected, expected, object};
pub(super) use part::{Part, Unknown};
pub(super) use values::DateText;
use values::{Calls, Changes, Days, DaysOfUse};

object! {
    /// The instance metadata options that imds-enforcer requires of EC2 instances.
    #[cfg_attr(feature = "schema", schemars(extend(
        "if" = {"anyOf": [
            {"required": ["usageGate"], "properties": {"usageGate": {"type": "object", "required": ["until"]}}},
            {"required": ["rules"], "properties": {"rules": {"type": "array", "contains": {
                "type": "object", "required": ["usageGate"],
                "properties": {"usageGate": {"type": "object", "required": ["until"]}}
            }}}}
        ]},
        "then" = {"required": ["limits"], "properties": {"limits": {"required": ["changesPerSweep"]}}}
    )))]
    Document {
        /// The JSON Schema that an editor checks this document against. It has no other effect.
        "$schema" schema: String,
        /// Whether instances are changed, or EC2 is only asked whether it would change them. The default is `enforce`.
        "mode" mode: Mode,
        /// Requirements for every instance. Options without a requirement are not changed.
        "baseline" baseline: Options,
        /// Holds `HttpTokens=required` back from instances that still use IMDSv1. Without it, nothing is held back.
        "usageGate" usage_gate: UsageGate,
        /// Rules, in order. Each matching rule overrides what comes before it; requirements do so option by option.
        "rules" rules: Vec<Part<Rule>>,
        /// What an instance's own tags may set.
        "instanceTags" instance_tags: InstanceTags,
        /// What limits the changes of one sweep of an account and Region. Without it, there is no limit.
        #[cfg_attr(feature = "schema", schemars(extend("minProperties" = 1)))]
        "limits" limits: Limits,
    }
}

object! {
    /// Requirements by option, with the names and values of the EC2 API.
    Options {
        /// `required` means IMDSv2 only.
        "HttpTokens" http_tokens: HttpTokens,
        /// Whether IMDS answers at all. If `disabled` is required and IMDS is on, only this option is changed.
        "HttpEndpoint" http_endpoint: Switch,
        /// How many network hops a token may travel. A limit outside a range is changed to the nearest bound.
        "HttpPutResponseHopLimit" http_put_response_hop_limit: Hops,
        /// Whether IMDS answers over IPv6.
        "HttpProtocolIpv6" http_protocol_ipv6: Switch,
        /// Whether IMDS shows the instance's tags.
        "InstanceMetadataTags" instance_metadata_tags: Switch,
    }
}

object! {
    /// A hop limit's bounds, either one or both.
    #[cfg_attr(feature = "schema", schemars(extend("minProperties" = 1)))]
    Range {
        /// The lowest limit allowed.
        "atLeast" at_least: HopLimit,
        /// The highest limit allowed.
        "atMost" at_most: HopLimit,
    }
}

object! {
    /// One effect on the instances that it matches: `require`, `exempt`, `mode` or `usageGate`.
    #[cfg_attr(feature = "schema", schemars(extend(
        "required" = ["name"],
        "oneOf" = [
            {"required": ["require"]}, {"required": ["exempt"]}, {"required": ["mode"]}, {"required": ["usageGate"]}
        ],
        "dependentSchemas" = {"until": {"required": ["mode"], "properties": {"mode": {"const": "dry-run"}}}},
        "allOf" = [
            {
                "if": {"required": ["exempt"]},
                "then": {"required": ["when"], "properties": {"when": {"minProperties": 1}}}
            },
            {
                "if": {"required": ["mode", "when"], "properties": {
                    "mode": {"const": "dry-run"},
                    "when": {"required": ["tags"], "properties": {"tags": {"not": {"propertyNames": {"pattern": "^aws:"}}}}}
                }},
                "then": {"required": ["until"]}
            }
        ]
    )))]
    Rule {
        /// The name of the rule in reports. It must be unique.
        #[cfg_attr(feature = "schema", schemars(extend("pattern" = "\\S")))]
        "name" name: String,
        /// The person or team that answers for the rule. Reports show it; decisions do not depend on it.
        #[cfg_attr(feature = "schema", schemars(length(max = 200), extend("pattern" = "\\S")))]
        "owner" owner: String,
        /// The ticket in which the rule was requested or approved. Reports show it; decisions do not depend on it.
        #[cfg_attr(feature = "schema", schemars(length(max = 200), extend("pattern" = "\\S")))]
        "ticket" ticket: String,
        /// Conditions that an instance must meet. Without them, the rule matches every instance, and may not exempt.
        "when" when: When,
        /// Requirements for the matching instances.
        #[cfg_attr(feature = "schema", schemars(extend("minProperties" = 1)))]
        "require" require: Options,
        /// Exempts the matching instances, regardless of the order of rules.
        "exempt" exempt: Exempt,
        /// Whether the matching instances are changed, or EC2 is only asked whether it would change them.
        "mode" mode: Mode,
        /// The last day of `"mode": "dry-run"`, in UTC. It is required if a condition names a tag that does not begin
        /// with `aws:`.
        "until" until: DateText,
        /// The usage gate of the matching instances, or `false`, which means that they have none.
        "usageGate" usage_gate: RuleGate,
    }
}

object! {
    /// Conditions; all must hold. `*` and `?` are wildcards. Everything else is literal and case-sensitive.
    When {
        /// Literal tag keys, each with the values that match; `*` matches whenever the tag is present.
        #[cfg_attr(feature = "schema", schemars(extend("minProperties" = 1, "propertyNames" = {"pattern": "^[^*?]{1,128}$"})))]
        "tags" tags: BTreeMap<String, Part<Patterns>>,
        /// Account ids.
        "accounts" accounts: Patterns,
        /// Region codes.
        "regions" regions: Patterns,
        /// Instance ids.
        "instanceIds" instance_ids: Patterns,
        /// Ids of the images from which instances were launched.
        "images" images: Patterns,
        /// The day before which an instance first ran, in UTC. A stop and start does not change when it first ran.
        "launchedBefore" launched_before: DateText,
    }
}

object! {
    /// Holds `HttpTokens=required` back from instances that still use IMDSv1, by CloudWatch's metric `MetadataNoToken`.
    UsageGate {
        /// The number of days of use that are looked at. The default is 14.
        "lookbackDays" lookback_days: DaysOfUse,
        /// The number of days on which there must be data, at most `lookbackDays`. The default is 7, or `lookbackDays`
        /// if that is less.
        "minDays" min_days: DaysOfUse,
        /// The number of calls without a token in these days that do not count. The default is 0.
        "toleratedCalls" tolerated_calls: Calls,
        /// What happens to a launch into a group whose instances are held back: `follow`, the default, holds it back as
        /// well.
        "launches" launches: Launches,
        /// What happens if there is too little data. The default is `hold`.
        "onUnknown" on_unknown: OnUnknown,
        /// The last day on which anything is held back, in UTC. It requires `limits.changesPerSweep`.
        "until" until: DateText,
    }
}

object! {
    /// What limits the changes of one sweep of an account and Region, one or both.
    Limits {
        /// The maximum number of instances that are changed. The next sweep goes on.
        "changesPerSweep" changes_per_sweep: Changes,
        /// The number of changes that fail or are denied, after which no more changes are sent.
        "failuresPerSweep" failures_per_sweep: Changes,
    }
}

object! {
    /// How long an exemption lasts.
    #[cfg_attr(feature = "schema", schemars(extend("required" = ["until"])))]
    Exempt {
        /// The last day of the exemption, in UTC.
        "until" until: DateText,
    }
}

object! {
    /// What an instance's own tags may set, one tag per option, such as `imds:HttpTokens=required`.
    #[cfg_attr(feature = "schema", schemars(extend("allOf" = [
        {
            "if": {"required": ["authority"], "properties": {"authority": {"const": "none"}}},
            "then": {"not": {"anyOf": [{"required": ["exemptions"]}, {"required": ["options"]}]}}
        },
        {
            "if": {"required": ["options"], "properties": {"options": {"contains": {"const": "HttpEndpoint"}}}},
            "then": {"required": ["authority"], "properties": {"authority": {"const": "loosen"}}}
        }
    ])))]
    InstanceTags {
        /// The prefix of the keys of these tags. The default is `imds:`.
        #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 64), extend("pattern" = "^(?![aA][wW][sS]:)")))]
        "prefix" prefix: String,
        /// What a tag may change. The default is `tighten`.
        "authority" authority: Authority,
        /// The options that a tag may set. The default is all but `HttpEndpoint`, which also requires the authority
        /// `loosen`.
        #[cfg_attr(feature = "schema", schemars(extend("uniqueItems" = true)))]
        "options" options: Vec<Part<OptionName>>,
        /// Lets the tag `ExemptUntil` under the prefix exempt its instance. Without it, no tag can.
        "exemptions" exemptions: Exemptions,
    }
}

object! {
    /// How long a tag may exempt its instance.
    #[cfg_attr(feature = "schema", schemars(extend("required" = ["maxDays"])))]
    Exemptions {
        /// The maximum number of days from today. It limits each renewal, not the total.
        "maxDays" max_days: Days,
        /// The maximum number of days since the instance first ran. It limits all renewals together.
        "maxAgeDays" max_age_days: Days,
    }
}

/// A hop limit, or its bounds.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub(in crate::policy) enum Hops {
    Exactly(HopLimit),
    Range(Range),
}

/// A usage gate, or `false` for none.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub(in crate::policy) enum RuleGate {
    None(#[cfg_attr(feature = "schema", schemars(extend("const" = false)))] bool),
    Gate(UsageGate),
}

/// A pattern, or a list of patterns of which one must match.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub(in crate::policy) enum Patterns {
    One(String),
    Several(#[cfg_attr(feature = "schema", schemars(length(min = 1)))] Vec<Part<String>>),
}

expected! {
    Vec<Part<Rule>>: "a list of rules",
    BTreeMap<String, Part<Patterns>>: "an object of tag keys",
    Hops: "a whole number from 1 to 64, or an object with atLeast, atMost or both",
    Patterns: "a pattern or a list of patterns",
    RuleGate: "an object or false",
    Vec<Part<OptionName>>: "a list of options",
}
