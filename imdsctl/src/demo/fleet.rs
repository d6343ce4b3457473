//! The fleet of the demo, and the changes that are expected of it.

use ec2_sim::{AccountRegion, Launch};
use time::{Date, Duration, OffsetDateTime};

/// The account.
pub const ACCOUNT: &str = "111122223333";

/// The Region.
pub const REGION: &str = "us-east-1";

/// How many days of use the policy's gate looks at.
pub const LOOKBACK_DAYS: i64 = 14;

/// How long before the demo the instances with a known use first ran.
const AGE: Duration = Duration::days(60);

/// Returns the policy of the demo, in which an exemption lasts through `until`.
pub fn policy(until: Date) -> String {
    POLICY.replace("UNTIL", &until.to_string()).replace("LOOKBACK", &LOOKBACK_DAYS.to_string())
}

const POLICY: &str = r#"{
  "baseline": {
    "HttpTokens": "required",
    "HttpPutResponseHopLimit": { "atMost": 2 }
  },
  "usageGate": { "lookbackDays": LOOKBACK },
  "rules": [
    { "name": "vaults need no IMDS",
      "when": { "tags": { "Imds": "off" } },
      "require": { "HttpEndpoint": "disabled" } },
    { "name": "payroll until the vendor ships IMDSv2",
      "when": { "tags": { "App": "payroll-*" } },
      "exempt": { "until": "UNTIL" } }
  ]
}"#;

/// Names or keys with values.
pub type Pairs = &'static [(&'static str, &'static str)];

/// A kind of instance.
pub struct Member {
    /// The name in the output.
    pub name: &'static str,
    /// How many to launch.
    pub count: usize,
    /// The options that differ from ec2-sim's defaults, which allow IMDSv1.
    pub options: Pairs,
    /// The tags.
    pub tags: Pairs,
    /// The state, if not running.
    pub state: Option<&'static str>,
    /// The service that manages the instances, if any.
    pub operator: Option<&'static str>,
    /// The calls without a token on each day of the lookback, if the instances first ran weeks ago. Such instances send no
    /// events.
    pub calls_a_day: Option<f64>,
    /// The outcome that is expected.
    pub outcome: &'static str,
    /// The options that must change; no others may change.
    pub changed: Pairs,
}

/// A running instance that accepts IMDSv1 and must not.
pub const PLAIN: Member = Member {
    name: "",
    count: 1,
    options: &[],
    tags: &[],
    state: None,
    operator: None,
    calls_a_day: None,
    outcome: "enforced",
    changed: &[],
};

const REQUIRED: (&str, &str) = ("HttpTokens", "required");

/// One member for each case that a policy distinguishes.
pub const FLEET: &[Member] = &[
    Member { name: "IMDSv1 allowed", count: 3, changed: &[REQUIRED], ..PLAIN },
    Member { name: "IMDSv2 required", options: &[REQUIRED], outcome: "compliant", ..PLAIN },
    Member { name: "IMDSv1 allowed", state: Some("stopped"), changed: &[REQUIRED], ..PLAIN },
    Member {
        name: "IMDS switched off",
        options: &[("HttpEndpoint", "disabled")],
        outcome: "compliant",
        ..PLAIN
    },
    Member {
        name: "tag: one hop",
        options: &[("HttpPutResponseHopLimit", "2")],
        tags: &[("imds:HttpPutResponseHopLimit", "1")],
        changed: &[REQUIRED, ("HttpPutResponseHopLimit", "1")],
        ..PLAIN
    },
    Member { name: "tag: IMDSv1", tags: &[("imds:HttpTokens", "optional")], changed: &[REQUIRED], ..PLAIN },
    Member { name: "a vault", tags: &[("Imds", "off")], changed: &[("HttpEndpoint", "disabled")], ..PLAIN },
    Member { name: "exempt by a rule", tags: &[("App", "payroll-7")], outcome: "exempt", ..PLAIN },
    Member {
        name: "a container host",
        options: &[("HttpPutResponseHopLimit", "2")],
        tags: &[("eks:cluster-name", "shop")],
        changed: &[REQUIRED],
        ..PLAIN
    },
    Member {
        name: "too many hops",
        options: &[REQUIRED, ("HttpPutResponseHopLimit", "64")],
        changed: &[("HttpPutResponseHopLimit", "2")],
        ..PLAIN
    },
    Member {
        name: "metadata tags on",
        options: &[("InstanceMetadataTags", "enabled"), ("HttpProtocolIpv6", "enabled")],
        tags: &[("Team", "payments")],
        changed: &[REQUIRED],
        ..PLAIN
    },
    Member { name: "managed by EKS", operator: Some("eks.amazonaws.com"), outcome: "out-of-scope", ..PLAIN },
    Member { name: "ran for weeks, uses IMDSv2 only", calls_a_day: Some(0.0), changed: &[REQUIRED], ..PLAIN },
    Member {
        name: "ran for weeks, uses IMDSv1",
        options: &[("HttpPutResponseHopLimit", "3")],
        calls_a_day: Some(86.0),
        outcome: "in-use",
        changed: &[("HttpPutResponseHopLimit", "2")],
        ..PLAIN
    },
];

impl Member {
    /// Launches the instances and returns their ids. CloudWatch has the calls of those that first ran before `now`.
    pub fn launch(&self, account_region: &AccountRegion, now: OffsetDateTime) -> Vec<String> {
        let ids = account_region.launch(self.parameters(now));
        if let Some(calls) = self.calls_a_day {
            let day = |ago| now.date().saturating_sub(Duration::days(ago));
            let sums: Vec<_> = (1..=LOOKBACK_DAYS).map(|ago| (day(ago), Some(calls))).collect();
            account_region.set_daily_sums(&ids, "MetadataNoToken", &sums);
        }
        ids
    }

    fn parameters(&self, now: OffsetDateTime) -> Launch {
        let owned = |pairs: Pairs| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        Launch {
            count: self.count,
            options: owned(self.options),
            tags: owned(self.tags),
            state: self.state.map(str::to_owned),
            operator: self.operator.map(str::to_owned),
            launch_time: self.calls_a_day.map(|_| now.saturating_sub(AGE)),
            sends_events: self.calls_a_day.is_none(),
            ..Launch::default()
        }
    }
}
