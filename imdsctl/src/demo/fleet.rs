//! The fleet of the demo, and the changes that are expected of it.

use ec2_sim::Launch;
use time::Date;

/// Returns the policy of the demo, in which an exemption lasts through `until`.
pub fn policy(until: Date) -> String {
    POLICY.replace("UNTIL", &until.to_string())
}

const POLICY: &str = r#"{
  "baseline": {
    "HttpTokens": "required",
    "HttpPutResponseHopLimit": { "atMost": 2 }
  },
  "rules": [
    { "name": "vaults need no IMDS",
      "when": { "tags": { "Imds": "off" } },
      "require": { "HttpEndpoint": "disabled" } },
    { "name": "payroll until the vendor ships IMDSv2",
      "when": { "tags": { "App": "payroll-*" } },
      "exempt": { "until": "UNTIL" } }
  ]
}"#;

type Pairs = &'static [(&'static str, &'static str)];

/// A kind of instance.
pub struct Member {
    /// The name in the output.
    pub name: &'static str,
    /// How many to launch.
    count: usize,
    /// The options that differ from ec2-sim's defaults, which allow IMDSv1.
    options: Pairs,
    /// The tags.
    tags: Pairs,
    /// The state, if not running.
    state: Option<&'static str>,
    /// The service that manages the instances, if any.
    operator: Option<&'static str>,
    /// The options that must change; no others may change.
    pub changed: Pairs,
}

const PLAIN: Member =
    Member { name: "", count: 1, options: &[], tags: &[], state: None, operator: None, changed: &[] };

const REQUIRED: (&str, &str) = ("HttpTokens", "required");

/// One member for each case that a policy distinguishes.
pub const FLEET: &[Member] = &[
    Member { name: "IMDSv1 allowed", count: 3, changed: &[REQUIRED], ..PLAIN },
    Member { name: "IMDSv2 required", options: &[REQUIRED], ..PLAIN },
    Member { name: "IMDSv1 allowed", state: Some("stopped"), changed: &[REQUIRED], ..PLAIN },
    Member { name: "IMDS switched off", options: &[("HttpEndpoint", "disabled")], ..PLAIN },
    Member {
        name: "tag: one hop",
        options: &[("HttpPutResponseHopLimit", "2")],
        tags: &[("imds:HttpPutResponseHopLimit", "1")],
        changed: &[REQUIRED, ("HttpPutResponseHopLimit", "1")],
        ..PLAIN
    },
    Member { name: "tag: IMDSv1", tags: &[("imds:HttpTokens", "optional")], changed: &[REQUIRED], ..PLAIN },
    Member { name: "a vault", tags: &[("Imds", "off")], changed: &[("HttpEndpoint", "disabled")], ..PLAIN },
    Member { name: "exempt by a rule", tags: &[("App", "payroll-7")], ..PLAIN },
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
    Member { name: "managed by EKS", operator: Some("eks.amazonaws.com"), ..PLAIN },
];

impl Member {
    /// Returns the launch parameters.
    pub fn launch(&self) -> Launch {
        let owned = |pairs: Pairs| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        Launch {
            count: self.count,
            options: owned(self.options),
            tags: owned(self.tags),
            state: self.state.map(str::to_owned),
            operator: self.operator.map(str::to_owned),
            ..Launch::default()
        }
    }
}
