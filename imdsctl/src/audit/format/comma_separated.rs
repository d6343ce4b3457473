//! The instances of an audit as CSV.

use std::io::{self, Write};

use imds_core::metadata::{MetadataOptions, OptionName};
use imds_core::mode::Mode;

use crate::audit::row::Row;
use crate::output::printable;

const BEFORE_OPTIONS: [&str; 7] = ["account", "region", "instanceId", "name", "state", "decision", "mode"];
const AFTER_OPTIONS: [&str; 8] =
    ["calls", "lastDay", "sourceKind", "sourceId", "sourceVersion", "change", "reasons", "warnings"];

/// Writes a header, and a record for each instance.
pub struct CommaSeparated<W: Write> {
    out: csv::Writer<W>,
    has_header: bool,
}

impl<W: Write> CommaSeparated<W> {
    /// Nothing is written before the first instance or the end.
    pub fn new(out: W) -> Self {
        Self { out: csv::Writer::from_writer(out), has_header: false }
    }

    pub fn row(&mut self, row: &Row) -> io::Result<()> {
        self.header()?;
        Ok(self.out.write_record(cells(row).iter().map(|cell| harmless(cell)))?)
    }

    pub fn finish(mut self) -> io::Result<()> {
        self.header()?;
        self.out.flush()
    }

    fn header(&mut self) -> io::Result<()> {
        if self.has_header {
            return Ok(());
        }
        self.has_header = true;
        let options = OptionName::ALL.map(OptionName::as_str);
        Ok(self.out.write_record(BEFORE_OPTIONS.iter().chain(&options).chain(&AFTER_OPTIONS))?)
    }
}

/// Returns the cells of an instance. What is unknown is empty.
fn cells(row: &Row) -> Vec<String> {
    let mode = match row.mode {
        Mode::Enforce => "enforce",
        Mode::DryRun => "dry-run",
    };
    let (id, name) = (row.instance_id.as_str(), row.name.as_deref().unwrap_or_default());
    let state = row.state.unwrap_or_default();
    let before = [row.account.as_str(), row.region.as_str(), id, name, state, row.decision, mode];
    let options =
        OptionName::ALL.map(|name| row.before.get(name).map(|value| value.text()).unwrap_or_default());
    let calls = row.usage.map(|usage| usage.calls.to_string()).unwrap_or_default();
    let last_day = row.usage.and_then(|usage| usage.last_day).map(|day| day.to_string()).unwrap_or_default();
    let source = row.source.as_ref();
    let source_cells = [
        source.map(|source| source.kind.as_str().to_owned()).unwrap_or_default(),
        source.map(|source| source.id.clone()).unwrap_or_default(),
        source.and_then(|source| source.version.clone()).unwrap_or_default(),
    ];
    let change = row.change.map(|change| values(change.options())).unwrap_or_default();
    before
        .map(str::to_owned)
        .into_iter()
        .chain(options)
        .chain([calls, last_day])
        .chain(source_cells)
        .chain([change, row.reasons.join("; "), row.warnings.join("; ")])
        .collect()
}

fn values(options: &MetadataOptions) -> String {
    options.iter().map(|value| value.to_string()).collect::<Vec<_>>().join(" ")
}

/// Returns the text as a spreadsheet and a terminal may have it: a formula gets a leading `'`, and characters that a
/// terminal obeys or does not show, line breaks too, are escaped.
///
/// Where a spreadsheet expects semicolons between cells, what follows one may become a cell of its own.
fn harmless(text: &str) -> String {
    let part = |part| if may_be_formula(part) { format!("'{part}") } else { part.to_owned() };
    let text = text.split(';').map(part).collect::<Vec<_>>().join(";");
    printable(&text).replace('\n', r"\n")
}

/// Returns whether a spreadsheet may take the text for a formula, also after white space or in full-width characters.
fn may_be_formula(text: &str) -> bool {
    let begins = |c| matches!(c, '=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠');
    text.starts_with(char::is_control) || text.trim_start().starts_with(|c: char| c.is_control() || begins(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_become_text() {
        let rows = [
            ("", ""),
            ("web-1", "web-1"),
            ("a=b", "a=b"),
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("  =1", "'  =1"),
            ("\u{a0}\u{3000}=1", "'\u{a0}\u{3000}=1"),
            ("＝1", "'＝1"),
            ("　＠1", "'　＠1"),
            ("\t=1", r"'\u{9}=1"),
            ("\rx", r"'\u{d}x"),
            ("\n", r"'\n"),
            ("a\n=b", r"a\n=b"),
            ("\u{1b}[31m", r"'\u{1b}[31m"),
            ("\u{202e}gpj", r"\u{202e}gpj"),
            ("a; =cmd|' /C calc'!A0", "a;' =cmd|' /C calc'!A0"),
            ("rule a; rule b", "rule a; rule b"),
        ];
        for (text, expected) in rows {
            let expected = expected.replace('\u{a0}', r"\u{a0}").replace('\u{3000}', r"\u{3000}");
            assert_eq!(harmless(text), expected, "{text:?}");
        }
    }
}
