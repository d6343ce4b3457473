//! The fleet of the demo, and what must become of it.

use ec2_sim::Launch;

/// The policy of the demo.
pub const POLICY: &str = r#"{
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
      "exempt": { "until": "9999-12-31" } }
  ]
}"#;

type Pairs = &'static [(&'static str, &'static str)];

/// Instances of one kind.
pub struct Member {
    /// What they are.
    pub name: &'static str,
    /// How many there are.
    count: usize,
    /// Their options where they differ from those of IMDSv1's days.
    options: Pairs,
    /// Their tags.
    tags: Pairs,
    /// Their state where it is not running.
    state: Option<&'static str>,
    /// The service that manages them.
    operator: Option<&'static str>,
    /// The options that must change, and nothing else.
    pub changed: Pairs,
}

const PLAIN: Member =
    Member { name: "", count: 1, options: &[], tags: &[], state: None, operator: None, changed: &[] };

const REQUIRED: (&str, &str) = ("HttpTokens", "required");

/// One member for each thing that matters.
pub const FLEET: &[Member] = &[
    Member { name: "IMDSv1, as of old", count: 3, changed: &[REQUIRED], ..PLAIN },
    Member { name: "IMDSv2 already", options: &[REQUIRED], ..PLAIN },
    Member { name: "IMDSv1, stopped", state: Some("stopped"), changed: &[REQUIRED], ..PLAIN },
    Member { name: "IMDS switched off", options: &[("HttpEndpoint", "disabled")], ..PLAIN },
    Member {
        name: "asks for one hop only",
        options: &[("HttpPutResponseHopLimit", "2")],
        tags: &[("imds:HttpPutResponseHopLimit", "1")],
        changed: &[REQUIRED, ("HttpPutResponseHopLimit", "1")],
        ..PLAIN
    },
    Member {
        name: "asks for IMDSv1",
        tags: &[("imds:HttpTokens", "optional")],
        changed: &[REQUIRED],
        ..PLAIN
    },
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
    /// How to launch them.
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
