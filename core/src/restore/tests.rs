use time::macros::datetime;

use super::*;
use crate::decide::{Facts, decide};
use crate::ids::{AccountId, InstanceId, Region};
use crate::instance::{Instance, InstanceState};
use crate::policy::Policy;

type Pairs<'a> = &'a [(&'a str, &'a str)];

const TOKENS: &str = "HttpTokens";
const HOPS: &str = "HttpPutResponseHopLimit";
const ENDPOINT: &str = "HttpEndpoint";

fn options(pairs: Pairs<'_>) -> MetadataOptions {
    let value = |(name, text): &(&str, &str)| OptionName::from_name(name).unwrap().parse(text).unwrap();
    pairs.iter().map(value).collect()
}

/// The verdict of a policy on an instance that first ran long ago and whose options are these.
fn verdict(policy: &str, options: &MetadataOptions) -> Verdict {
    let instance = Instance {
        id: InstanceId::new("i-0123456789abcdef0").unwrap(),
        state: Some(InstanceState::Running),
        tags: [("App".to_owned(), "shop".to_owned())].into(),
        options: *options,
        options_state: None,
        owner: None,
        launched: None,
        image: None,
        first_ran: None,
        managed_by: None,
    };
    let (account, region) = (AccountId::new("111122223333").unwrap(), Region::new("us-east-1").unwrap());
    let facts = Facts {
        account: &account,
        region: &region,
        instance: &instance,
        tokens_enforced: None,
        is_launch: false,
        usage: None,
        group: None,
    };
    decide(&Policy::parse(policy).unwrap(), &facts, datetime!(2026-03-17 00:00 UTC)).verdict
}

const NOTHING: &str = "{}";

struct Row {
    name: &'static str,
    set: Pairs<'static>,
    before: Pairs<'static>,
    present: Pairs<'static>,
    policy: &'static str,
    allow_loosening: bool,
    anyway: bool,
    change: Pairs<'static>,
    left: &'static [&'static str],
}

const ROW: Row = Row {
    name: "",
    set: &[(HOPS, "1")],
    before: &[(HOPS, "2")],
    present: &[(HOPS, "1"), (TOKENS, "required"), (ENDPOINT, "enabled")],
    policy: NOTHING,
    allow_loosening: false,
    anyway: false,
    change: &[],
    left: &[],
};

const TOKENS_SET: Row = Row { set: &[(TOKENS, "required")], before: &[(TOKENS, "optional")], ..ROW };

const REQUIRED: &str = r#"{"baseline": {"HttpTokens": "required"}}"#;
const GATED: &str =
    r#"{"baseline": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}, "usageGate": {}}"#;

const ROWS: &[Row] = &[
    Row { name: "as it was set", change: &[(HOPS, "2")], ..ROW },
    Row { name: "restored already", present: &[(HOPS, "2")], ..ROW },
    Row {
        name: "changed since",
        present: &[(HOPS, "3")],
        left: &["HttpPutResponseHopLimit is left: it was set to 1 and is now 3"],
        ..ROW
    },
    Row {
        name: "not known before",
        before: &[],
        left: &["HttpPutResponseHopLimit is left: it is not known what it was before"],
        ..ROW
    },
    Row {
        name: "not reported now",
        present: &[],
        left: &["HttpPutResponseHopLimit is left: EC2 does not report its present value"],
        ..ROW
    },
    Row {
        name: "optional tokens are not allowed, and the rest proceeds",
        set: &[(TOKENS, "required"), (HOPS, "1")],
        before: &[(TOKENS, "optional"), (HOPS, "2")],
        change: &[(HOPS, "2")],
        left: &["HttpTokens is left: optional needs --allow-loosening"],
        ..ROW
    },
    Row {
        name: "optional tokens are allowed",
        allow_loosening: true,
        change: &[(TOKENS, "optional")],
        ..TOKENS_SET
    },
    Row {
        name: "the policy would change it back",
        policy: REQUIRED,
        allow_loosening: true,
        left: &[
            "HttpTokens=optional is left out: the policy would change it back at the next event (baseline requires \
                 HttpTokens=required)",
        ],
        ..TOKENS_SET
    },
    Row {
        name: "anyway",
        policy: REQUIRED,
        allow_loosening: true,
        anyway: true,
        change: &[(TOKENS, "optional")],
        ..TOKENS_SET
    },
    Row {
        name: "anyway does not allow it",
        anyway: true,
        left: &["HttpTokens is left: optional needs --allow-loosening"],
        ..TOKENS_SET
    },
    Row {
        name: "what the gate would say is not known, and what it does not concern is",
        set: &[(TOKENS, "required"), (HOPS, "1")],
        before: &[(TOKENS, "optional"), (HOPS, "2")],
        policy: GATED,
        allow_loosening: true,
        left: &[
            "HttpTokens=optional is left out: the policy may change it back at the next event (the usage gate asks \
             CloudWatch for the calls without a token since 2026-03-03 (MetadataNoToken))",
            "HttpPutResponseHopLimit=2 is left out: the policy would change it back at the next event (baseline requires \
             HttpPutResponseHopLimit=1)",
        ],
        ..ROW
    },
    Row {
        name: "the gate asks about an instance whose tokens are optional anyway",
        present: &[(HOPS, "1"), (TOKENS, "optional"), (ENDPOINT, "enabled")],
        policy: r#"{"baseline": {"HttpTokens": "required"}, "usageGate": {}}"#,
        change: &[(HOPS, "2")],
        ..ROW
    },
    Row {
        name: "what EC2 does not report may be changed back",
        present: &[(HOPS, "1"), (ENDPOINT, "enabled")],
        policy: REQUIRED,
        left: &[
            "HttpPutResponseHopLimit=2 is left out: the policy may change it back at the next event (EC2 did not \
                 report MetadataOptions.HttpTokens)",
        ],
        ..ROW
    },
    Row {
        name: "an endpoint that would answer without tokens is not enabled",
        set: &[(ENDPOINT, "disabled"), (HOPS, "1")],
        before: &[(ENDPOINT, "enabled"), (HOPS, "2")],
        present: &[(ENDPOINT, "disabled"), (HOPS, "1"), (TOKENS, "optional")],
        left: &[
            "HttpEndpoint is left: unless tokens are required, enabled needs --allow-loosening",
            "HttpPutResponseHopLimit=2 is left out: it has no effect while HttpEndpoint is disabled",
        ],
        ..ROW
    },
    Row {
        name: "an endpoint that would answer without tokens is enabled with leave",
        set: &[(ENDPOINT, "disabled")],
        before: &[(ENDPOINT, "enabled")],
        present: &[(ENDPOINT, "disabled"), (TOKENS, "optional")],
        allow_loosening: true,
        change: &[(ENDPOINT, "enabled")],
        ..ROW
    },
    Row {
        name: "an endpoint is enabled where tokens are required",
        set: &[(ENDPOINT, "disabled"), (HOPS, "1")],
        before: &[(ENDPOINT, "enabled"), (HOPS, "2")],
        present: &[(ENDPOINT, "disabled"), (HOPS, "1"), (TOKENS, "required")],
        change: &[(ENDPOINT, "enabled"), (HOPS, "2")],
        ..ROW
    },
    Row {
        name: "a disabled endpoint is restored alone",
        set: &[(ENDPOINT, "enabled"), (HOPS, "1")],
        before: &[(ENDPOINT, "disabled"), (HOPS, "2")],
        change: &[(ENDPOINT, "disabled")],
        left: &["HttpPutResponseHopLimit=2 is left out: it has no effect while HttpEndpoint is disabled"],
        ..ROW
    },
    Row {
        name: "the endpoint is disabled now",
        present: &[(HOPS, "1"), (ENDPOINT, "disabled")],
        left: &["HttpPutResponseHopLimit=2 is left out: it has no effect while HttpEndpoint is disabled"],
        ..ROW
    },
    Row {
        name: "the policy would enable the endpoint again, so that the rest is restored",
        set: &[(ENDPOINT, "enabled"), (HOPS, "1")],
        before: &[(ENDPOINT, "disabled"), (HOPS, "2")],
        policy: r#"{"baseline": {"HttpEndpoint": "enabled"}}"#,
        change: &[(HOPS, "2")],
        left: &[
            "HttpEndpoint=disabled is left out: the policy would change it back at the next event (baseline requires \
             HttpEndpoint=enabled)",
        ],
        ..ROW
    },
    Row {
        name: "an exemption leaves it",
        policy: r#"{"baseline": {"HttpTokens": "required"}, "rules": [
            {"name": "shop", "when": {"tags": {"App": "shop"}}, "exempt": {"until": "2026-06-30"}}]}"#,
        allow_loosening: true,
        change: &[(TOKENS, "optional")],
        ..TOKENS_SET
    },
];

#[test]
fn each_option_is_restored_or_named() {
    for row in ROWS {
        let Row { allow_loosening, anyway, .. } = *row;
        let restoration =
            Restoration { set: options(row.set), before: options(row.before), allow_loosening, anyway };
        let restored = restoration.plan(&options(row.present), |options| verdict(row.policy, options));
        assert_eq!(restored.change, Change::new(options(row.change)), "{}", row.name);
        let left: Vec<String> = restored.left.iter().map(ToString::to_string).collect();
        assert_eq!(left, row.left, "{}", row.name);
    }
}
