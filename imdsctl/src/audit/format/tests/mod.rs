//! Audits in every format, as programs and browsers read them.

mod browser;
mod sample;

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Class, Counts, Format, Kind};
use crate::audit::row::{Ending, Row};
use sample::{HOSTILE, ending, fleet, hostile, row};

const WIDTH: usize = 80;

fn written(kind: Kind, sections: &[Vec<Row>], ending: &Ending) -> (String, Counts) {
    let mut out = Vec::new();
    let mut format = Format::new(kind, WIDTH, &mut out);
    for section in sections {
        format.rows(section).unwrap();
    }
    let counts = format.finish(ending).unwrap();
    (String::from_utf8(out).unwrap(), counts)
}

fn text(kind: Kind, sections: &[Vec<Row>], ending: &Ending) -> String {
    written(kind, sections, ending).0
}

/// Whether a terminal shows the text as it is.
fn is_plain(text: &str) -> bool {
    crate::output::printable(text) == text
}

#[test]
fn json_is_one_document_also_without_instances() {
    for sections in [vec![], vec![vec![]], vec![hostile()], fleet(300, 9)] {
        let json = text(Kind::Json, &sections, &ending());
        assert!(is_plain(&json), "{json}");
        let document: Value = serde_json::from_str(&json).unwrap();
        let rows: Vec<&Row> = sections.iter().flatten().collect();
        assert_eq!(document["instances"], serde_json::to_value(&rows).unwrap());
        assert_eq!(document["createdAt"], "2026-11-29T14:02:31Z");
        assert_eq!(document["complete"], true);
        assert_eq!(document["usageDays"], 14);
    }
}

#[test]
fn csv_has_a_record_for_each_instance_and_no_formula() {
    const COLUMNS: [&str; 20] = [
        "account",
        "region",
        "instanceId",
        "name",
        "state",
        "decision",
        "mode",
        "HttpTokens",
        "HttpEndpoint",
        "HttpPutResponseHopLimit",
        "HttpProtocolIpv6",
        "InstanceMetadataTags",
        "calls",
        "lastDay",
        "sourceKind",
        "sourceId",
        "sourceVersion",
        "change",
        "reasons",
        "warnings",
    ];
    for sections in [vec![], vec![hostile()], fleet(300, 9)] {
        let csv = text(Kind::Csv, &sections, &ending());
        assert!(is_plain(&csv), "{csv}");
        let mut reader = csv::Reader::from_reader(csv.as_bytes());
        assert_eq!(reader.headers().unwrap(), &COLUMNS[..]);
        let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        let rows: Vec<&Row> = sections.iter().flatten().collect();
        assert_eq!(records.len(), rows.len());
        for (record, row) in records.iter().zip(rows) {
            assert_eq!((&record[2], &record[5]), (row.instance_id.as_str(), row.decision));
            let formula = record.iter().find(|cell| cell.trim_start().starts_with(['=', '+', '-', '@']));
            assert_eq!(formula, None, "{record:?}");
        }
    }
}

#[test]
fn csv_has_what_is_known() {
    let rows = [row(1, "in-use"), row(10, "change"), row(7, "not-ready")];
    let csv = text(Kind::Csv, &[rows.to_vec()], &ending());
    let expected = [
        "api-2,running,in-use,enforce,optional,enabled,2,disabled,disabled,18,2026-11-23,eks-node-group,\
         prod/general-purpose,,,\"HttpTokens=required is held back: 18 calls without a token in 14 days, the last on \
         2026-11-23\",",
        "worker-11,running,change,dry-run,optional,enabled,1,disabled,disabled,0,,auto-scaling-group,worker-blue,,\
         HttpTokens=required,the baseline requires HttpTokens=required,",
        "search-8,running,not-ready,enforce,optional,enabled,2,disabled,disabled,,,,,,,\
         EC2 did not report MetadataOptions.HttpTokens,",
    ];
    for ((line, row), expected) in csv.lines().skip(1).zip(rows).zip(expected) {
        assert_eq!(line, format!("111122223333,us-east-1,{},{expected}", row.instance_id));
    }
}

#[test]
fn a_table_fits_80_columns_and_names_findings_only() {
    let mut sections = fleet(300, 9);
    sections.push(hostile());
    let (table, counts) = written(Kind::Table, &sections, &ending());
    let plain = anstream::adapter::strip_str(&table).to_string();
    assert!(is_plain(&plain), "{plain}");
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let too_wide = plain.lines().find(|line| line.chars().count() > WIDTH);
    assert_eq!(too_wide, None);
    for row in sections.iter().flatten() {
        let line = format!("{}  {}", row.instance_id, row.decision);
        assert_eq!(plain.contains(&line), Class::of(row.decision).is_finding(), "{line}");
    }
    assert_eq!(plain.matches("INSTANCE").count(), 1, "the header comes once");
    assert!(words(&plain).contains("and 47 more"), "{plain}");
    assert!(words(&plain).ends_with(&format!("{}.", counts.sentence())), "{plain}");
    assert_eq!(counts.total(), 300 + HOSTILE.len() as u64);
}

#[test]
fn a_table_tells_sources_warnings_and_errors() {
    let sections = [vec![row(1, "change"), row(2, "compliant")]];
    let mut ending = ending();
    ending.complete = false;
    ending.sources = sample::sources(&sections, |row| row.decision == "change");
    ending.errors = vec!["444455556666 us-east-1 cannot be read: \u{1b}[2J access denied".to_owned()];
    ending.warnings = vec!["the account defaults of 111122223333 eu-west-1 are not known".to_owned()];
    let table = anstream::adapter::strip_str(&text(Kind::Table, &sections, &ending)).to_string();
    let (_, after) = table.split_once("1 instance with findings").unwrap();
    assert_eq!(
        after.lines().collect::<Vec<_>>(),
        [
            "",
            "  EKS node group \"prod/general-purpose\"",
            "  Version 7 of launch template lt-0a1b2c3d4e5f60718 sets HttpTokens=optional.",
            "  1. Create a version that is as version 7, with HttpTokens=required.",
            "     aws ec2 create-launch-template-version --region us-east-1 --launch-template-id lt-0a1b2c3d4e5f60718 \\",
            "         --source-version 7 --launch-template-data '{\"MetadataOptions\":{\"HttpTokens\":\"required\"}}'",
            "  2. Name the new version, and replace the instances.",
            "",
            "warning: the account defaults of 111122223333 eu-west-1 are not known",
            "error: 444455556666 us-east-1 cannot be read: \\u{1b}[2J access denied",
            "1 of 2 instances are as required; 1 to change. The audit is incomplete.",
        ]
    );
}

#[test]
fn an_empty_audit_says_so() {
    assert_eq!(text(Kind::Table, &[vec![]], &ending()), "No instances were read.\n");
    let html = text(Kind::Html, &[vec![]], &ending());
    assert!(html.contains("<h1>No instances were read</h1>"), "{html}");
    assert!(html.contains("{\"texts\":[],\"rows\":[\n\n]}"));
}

/// The JSON document in a report.
fn embedded(html: &str) -> Value {
    let (_, rest) = html.split_once("<script type=\"application/json\" id=\"data\">").unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

#[test]
fn html_has_every_instance_and_no_markup_of_tags() {
    let empty = text(Kind::Html, &[], &ending());
    let mut told = ending();
    told.sources = sample::sources(&[hostile()], |_| true);
    told.errors = HOSTILE.map(str::to_owned).to_vec();
    told.warnings = told.errors.clone();
    told.policy = told.errors.clone();
    let html = text(Kind::Html, &[hostile()], &told);
    assert!(is_plain(&html));
    for tag in ["<script", "<img", "<svg onload", "<!--", "onerror=\"", "javascript:\""] {
        assert_eq!(html.matches(tag).count(), empty.matches(tag).count(), "{tag}");
    }
    assert_eq!(embedded(&html)["rows"].as_array().unwrap().len(), HOSTILE.len());
}

#[test]
fn html_shows_the_accounts_with_most_findings_and_folds_the_others() {
    let sections = fleet(4000, 90);
    let all: BTreeSet<&str> = sections.iter().flatten().map(|row| row.account.as_str()).collect();
    let html = text(Kind::Html, &sections, &ending());
    let (before, folded) = html.split_once(&format!("<summary>{} more</summary>", all.len() - 20)).unwrap();
    let accounts = |html: &str| html.matches("data-field=\"account\" data-value=").count();
    // The header of the list has the field without a value.
    assert_eq!((accounts(before), accounts(folded)), (20, all.len() - 20));
}

#[test]
fn html_allows_its_own_script_and_style_only() {
    let html = text(Kind::Html, &[vec![row(1, "change")]], &ending());
    assert!(html.contains("content=\"default-src 'none'; script-src 'sha256-"), "{html}");
    let attributes =
        [" style=", " onclick=", " src=", "http://", "https://", "url(", "@import", "@font-face"];
    for attribute in attributes {
        assert!(!html.contains(attribute), "{attribute}");
    }
}
