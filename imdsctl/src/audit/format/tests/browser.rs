//! Writes the reports that tests/python/test_report.py opens in a browser.

use std::fs;
use std::path::Path;

use super::sample::{HOSTILE, ending, fleet, hostile, sources};
use super::text;
use crate::audit::format::{Class, Kind};
use crate::audit::row::{Ending, Row};

/// Writes an audit to NAME.html, and to NAME.json what the test compares it with.
fn write(folder: &Path, name: &str, sections: &[Vec<Row>], ending: &Ending) -> usize {
    let html = text(Kind::Html, sections, ending);
    fs::write(folder.join(format!("{name}.html")), &html).unwrap();
    fs::write(folder.join(format!("{name}.json")), text(Kind::Json, sections, ending)).unwrap();
    html.len()
}

fn is_finding(row: &Row) -> bool {
    Class::of(row.decision).is_finding()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the browser's test and this one agree on a folder")]
fn reports_for_the_browser() {
    let folder = std::env::var_os("REPORTS").map_or_else(
        || std::env::temp_dir().join(format!("imdsctl-reports-{}", std::process::id())),
        Into::into,
    );
    fs::create_dir_all(&folder).unwrap();
    let small = fleet(840, 5);
    let mut known = ending();
    known.sources = sources(&small, is_finding);
    known.sources.truncate(6);
    known.warnings =
        vec!["The image of 4 instances no longer exists, so their source is not known.".to_owned()];
    write(&folder, "fleet", &small, &known);

    let large = fleet(20_000, 90);
    let mut incomplete = ending();
    incomplete.complete = false;
    incomplete.sources = sources(&large, is_finding);
    incomplete.errors = vec!["999988887777 us-east-1: the role imds-audit cannot be assumed.".to_owned()];
    let size = write(&folder, "large", &large, &incomplete);
    assert!(size < 20_000 * 400, "an instance has less than 400 bytes, {size} in all");

    let mut told = ending();
    told.sources = sources(&[hostile()], is_finding);
    told.warnings = HOSTILE.map(str::to_owned).to_vec();
    write(&folder, "hostile", &[hostile()], &told);
    if std::env::var_os("REPORTS").is_none() {
        fs::remove_dir_all(folder).unwrap();
    }
}
