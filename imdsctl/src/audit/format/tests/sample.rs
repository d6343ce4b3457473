//! Audits of fleets that do not exist.

use imds_core::ids::{AccountId, InstanceId, Region};
use imds_core::metadata::{Change, MetadataOptions, OptionName};
use imds_core::mode::Mode;
use imds_core::source::{Source, SourceKind};
use imds_core::usage::Use;
use time::macros::date;

use crate::audit::row::{Ending, Fix, Row, SourceRow};

const REGIONS: [&str; 6] =
    ["ap-northeast-1", "ap-southeast-2", "us-west-2", "eu-central-1", "eu-west-1", "us-east-1"];
const NAMES: [&str; 8] = ["web", "api", "worker", "batch", "ingest", "build", "bastion", "search"];
const BASELINE: &str = "the baseline requires HttpTokens=required";

/// Text of whoever may tag an instance, and more than the largest set of tags causes.
pub const HOSTILE: [&str; 12] = [
    "</script><script>window.hostile=1</script>",
    "<img src=x onerror=window.hostile=1>",
    "\"><svg onload=alert(1)>",
    "<!--<script>",
    "javascript:window.hostile=1",
    "=HYPERLINK(\"http://127.0.0.1:9\")",
    "\t@SUM(1)",
    "a;=cmd|' /C calc'!A0",
    "\u{1b}]0;title\u{7}\u{1b}[2J",
    "\u{202e}gnp.exe\u{2066}\u{200b}",
    "line\r\nbreak\u{2028}\u{2029}\u{0}",
    "{{constructor.constructor('window.hostile=1')()}}&lt;${window.hostile=1}",
];

pub fn options(values: &[(OptionName, &str)]) -> MetadataOptions {
    values.iter().map(|(name, value)| name.parse(value).unwrap()).collect()
}

/// An instance of this decision, whose tags are harmless.
pub fn row(number: usize, decision: &'static str) -> Row {
    use OptionName::*;
    let tokens = if decision == "compliant" { "required" } else { "optional" };
    let hops = ["1", "2"][number % 2];
    let calls = if decision == "in-use" { 17 * (number as u64 % 90) + 1 } else { 0 };
    let source = (!number.is_multiple_of(7)).then(|| source(number));
    Row {
        account: AccountId::new("111122223333").unwrap(),
        region: Region::new(REGIONS[5]).unwrap(),
        instance_id: InstanceId::new(&format!(
            "i-{:017x}",
            0x0a1b_2c3d_4e5f_6071_u64.wrapping_mul(number as u64 + 1)
        ))
        .unwrap(),
        name: (!number.is_multiple_of(11))
            .then(|| format!("{}-{}", NAMES[number % NAMES.len()], number % 40 + 1)),
        state: Some(if number.is_multiple_of(13) { "stopped" } else { "running" }),
        decision,
        mode: if number.is_multiple_of(10) { Mode::DryRun } else { Mode::Enforce },
        usage: (decision != "not-ready").then(|| Use {
            calls,
            last_day: (calls > 0).then_some(date!(2026 - 11 - 23)),
            days: 14,
            observed_days: 14,
        }),
        source,
        before: options(&[
            (HttpTokens, tokens),
            (HttpEndpoint, "enabled"),
            (HttpPutResponseHopLimit, hops),
            (HttpProtocolIpv6, "disabled"),
            (InstanceMetadataTags, "disabled"),
        ]),
        change: (decision == "change").then(|| Change::new(options(&[(HttpTokens, "required")])).unwrap()),
        reasons: vec![reason(decision, calls)],
        warnings: Vec::new(),
    }
}

fn reason(decision: &str, calls: u64) -> String {
    match decision {
        "in-use" => format!(
            "HttpTokens=required is held back: {calls} calls without a token in 14 days, the last on 2026-11-23"
        ),
        "exempt" => "rule \"vendor appliances\" exempts the instance through 2027-03-31".to_owned(),
        "out-of-scope" => "the instance is managed by eks.amazonaws.com".to_owned(),
        "not-ready" => "EC2 did not report MetadataOptions.HttpTokens".to_owned(),
        _ => BASELINE.to_owned(),
    }
}

fn source(number: usize) -> Source {
    let (kind, id, version) = match number % 5 {
        0 => (SourceKind::AutoScalingGroup, format!("{}-{}", NAMES[number % NAMES.len()], "blue"), None),
        1 => (SourceKind::EksNodeGroup, "prod/general-purpose".to_owned(), None),
        2 => (SourceKind::LaunchTemplate, "lt-0a1b2c3d4e5f60718".to_owned(), Some("7".to_owned())),
        3 => (SourceKind::KarpenterNodePool, "default".to_owned(), None),
        _ => (SourceKind::CloudformationStack, "billing-prod".to_owned(), None),
    };
    Source { kind, id, version }
}

/// `number` instances in so many accounts and 6 Regions, by account and Region. Most are as required.
pub fn fleet(number: usize, accounts: usize) -> Vec<Vec<Row>> {
    let mut sections = vec![Vec::new(); accounts * REGIONS.len()];
    for instance in 0..number {
        // Spread by a hash, so that accounts and Regions differ.
        let hash = (instance as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let account = (hash % (accounts * accounts) as u64).isqrt() as usize;
        let region = ((hash >> 8) % 36).isqrt() as usize;
        let decision = match (hash >> 14) % 100 + 2 * (account % 6) as u64 {
            0..73 => "compliant",
            73..90 => "change",
            90..99 => "in-use",
            99..103 => "exempt",
            103..105 => "out-of-scope",
            105..107 => "blocked",
            _ => "not-ready",
        };
        let mut row = row(instance, decision);
        let digits = (account as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) % 1_000_000_000_000;
        row.account = AccountId::new(&format!("{digits:012}")).unwrap();
        row.region = Region::new(REGIONS[region]).unwrap();
        sections[account * REGIONS.len() + region].push(row);
    }
    sections
}

/// Instances whose name, source, reasons and warnings are hostile.
pub fn hostile() -> Vec<Row> {
    let decisions = ["change", "in-use", "blocked", "needs-usage"];
    let hostile = |(number, text): (usize, &&str)| {
        let mut row = row(number, decisions[number % decisions.len()]);
        row.name = Some((*text).to_owned());
        row.source = Some(Source {
            kind: SourceKind::AutoScalingGroup,
            id: (*text).to_owned(),
            version: Some((*text).to_owned()),
        });
        row.reasons.push((*text).to_owned());
        row.warnings = vec![text.chars().cycle().take(256).collect(); 50];
        row
    };
    HOSTILE.iter().enumerate().map(hostile).collect()
}

/// The end of an audit without sources that read everything.
pub fn ending() -> Ending {
    Ending {
        created_at: "2026-11-29T14:02:31Z".to_owned(),
        complete: true,
        policy: vec![
            "HttpTokens=required on every instance.".to_owned(),
            "IMDSv1 in use during 14 days holds HttpTokens=required back, until 2027-06-30.".to_owned(),
        ],
        usage_days: 14,
        sources: Vec::new(),
        errors: Vec::new(),
        warnings: Vec::new(),
    }
}

/// The sources of instances with findings, those with most first.
pub fn sources(sections: &[Vec<Row>], is_finding: fn(&Row) -> bool) -> Vec<SourceRow> {
    let mut sources: Vec<SourceRow> = Vec::new();
    for row in sections.iter().flatten().filter(|row| is_finding(row)) {
        let Some(source) = &row.source else { continue };
        let of = |found: &&mut SourceRow| {
            found.account == row.account && found.region == row.region && found.source == *source
        };
        match sources.iter_mut().find(of) {
            Some(found) => found.instances += 1,
            None => sources.push(source_row(row, source)),
        }
    }
    sources.sort_by_key(|source| std::cmp::Reverse(source.instances));
    sources
}

fn source_row(row: &Row, source: &Source) -> SourceRow {
    let region = &row.region;
    let create = Fix {
        text: "Create a version that is as version 7, with HttpTokens=required.".to_owned(),
        command: Some(format!(
            "aws ec2 create-launch-template-version --region {region} --launch-template-id lt-0a1b2c3d4e5f60718 \\\n    \
             --source-version 7 --launch-template-data '{{\"MetadataOptions\":{{\"HttpTokens\":\"required\"}}}}'"
        )),
    };
    let (finding, fixes) = match source.kind {
        SourceKind::CloudformationStack => (
            "Its template does not set HttpTokens.",
            vec![Fix {
                text: "Set MetadataOptions in the template, and update the stack.".to_owned(),
                command: None,
            }],
        ),
        _ => (
            "Version 7 of launch template lt-0a1b2c3d4e5f60718 sets HttpTokens=optional.",
            vec![
                create,
                Fix { text: "Name the new version, and replace the instances.".to_owned(), command: None },
            ],
        ),
    };
    SourceRow {
        account: row.account.clone(),
        region: row.region.clone(),
        source: source.clone(),
        instances: 1,
        finding: finding.to_owned(),
        fixes,
    }
}
