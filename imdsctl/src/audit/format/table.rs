//! The findings of an audit as a table for a terminal.

use std::io::{self, Write};

use anstyle::Style;
use comfy_table::{ColumnConstraint, ContentArrangement, Table as Grid, Width, presets};
use imds_core::ids::{AccountId, Region};
use imds_core::text::{Escaped, counted};

use super::changes::changes;
use super::counts::{Class, Counts};
use crate::audit::row::{Ending, Row, SourceRow};
use crate::output::{LEAST_WIDTH, printable};
use crate::paragraph::{WARNING, style, wrap};

/// Wider lines are hard to read.
const MOST_WIDTH: usize = 160;
/// The space after each column.
const GAP: u16 = 2;
/// The width of an instance's id, with the gap.
const ID: u16 = 19 + GAP;
/// The width of the longest decision among findings, `needs-usage`, with the gap.
const DECISION: u16 = 11 + GAP;
/// More warnings of one instance are only counted: whoever may tag it can cause 50.
const MOST_WARNINGS: usize = 3;

/// Writes the instances with findings, section by section, then what else there is to know.
///
/// The columns have fixed widths, so that sections align that are written one after the other.
pub struct Table<W> {
    out: W,
    width: usize,
    /// The account and Region whose section is open. Without one, there is no header yet.
    section: Option<(AccountId, Region)>,
}

impl<W: Write> Table<W> {
    /// Nothing is written before the first finding or the end.
    pub fn new(width: usize, out: W) -> Self {
        Self { out, width: width.clamp(LEAST_WIDTH, MOST_WIDTH), section: None }
    }

    /// Writes the findings among instances of an account and Region.
    pub fn rows(&mut self, rows: &[Row]) -> io::Result<()> {
        let findings: Vec<&Row> = rows.iter().filter(|row| Class::of(row.decision).is_finding()).collect();
        let Some(first) = findings.first() else { return Ok(()) };
        if self.section.is_none() {
            let header = ["INSTANCE", "DECISION", "NAME, SOURCE", "FINDING"].map(str::to_owned);
            self.lines(&self.grid([header]))?;
        }
        let section = (first.account.clone(), first.region.clone());
        if self.section.as_ref() != Some(&section) {
            writeln!(self.out, "\n{} {}", first.account, first.region)?;
            self.section = Some(section);
        }
        self.lines(&self.grid(findings.into_iter().map(cells)))
    }

    /// Writes the sources with their fixes, what is not known, and the numbers.
    pub fn finish(mut self, ending: &Ending, counts: &Counts) -> io::Result<()> {
        if self.section.is_some() {
            writeln!(self.out)?;
        }
        for source in &ending.sources {
            self.source(source)?;
        }
        for text in &ending.warnings {
            self.labeled("warning", WARNING, text)?;
        }
        for text in &ending.errors {
            self.labeled("error", style("failed"), text)?;
        }
        let incomplete = if ending.complete { "" } else { ". The audit is incomplete" };
        writeln!(self.out, "{}", self.wrapped(&format!("{}{incomplete}.", counts.sentence())))?;
        self.out.flush()
    }

    fn source(&mut self, source: &SourceRow) -> io::Result<()> {
        let instances = counted(source.instances, "instance", "instances");
        writeln!(self.out, "{} {}: {} with findings", source.account, source.region, instances)?;
        writeln!(self.out, "  {}", self.wrapped(&source.source.to_string()))?;
        writeln!(self.out, "  {}", self.wrapped(&source.finding))?;
        for (fix, number) in source.fixes.iter().zip(1..) {
            writeln!(self.out, "  {}", self.wrapped(&format!("{number}. {}", fix.text)))?;
            // A command is not wrapped, so that it can be copied.
            for line in fix.command.iter().flat_map(|command| command.lines()) {
                writeln!(self.out, "     {}", printable(line))?;
            }
        }
        writeln!(self.out)
    }

    fn labeled(&mut self, label: &str, color: Style, text: &str) -> io::Result<()> {
        let text = self.wrapped(&format!("{label}: {text}"));
        let text = text.strip_prefix(label).unwrap_or(&text);
        writeln!(self.out, "{color}{label}{color:#}{text}")
    }

    fn wrapped(&self, text: &str) -> String {
        wrap(&printable(text), self.width)
    }

    fn grid(&self, rows: impl IntoIterator<Item = [String; 4]>) -> Grid {
        let rest = u16::try_from(self.width).unwrap_or(u16::MAX) - ID - DECISION;
        let name = rest * 2 / 5;
        let mut grid = Grid::new();
        grid.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        grid.set_width(ID + DECISION + rest).add_rows(rows);
        for (column, width) in grid.column_iter_mut().zip([ID, DECISION, name, rest - name]) {
            column.set_padding((0, GAP)).set_constraint(ColumnConstraint::Absolute(Width::Fixed(width)));
        }
        grid
    }

    /// Writes the lines of a table, with the color of the decisions: cells with colors would be measured wrongly.
    fn lines(&mut self, grid: &Grid) -> io::Result<()> {
        let (start, end) = (usize::from(ID), usize::from(ID + DECISION - GAP));
        for line in grid.lines() {
            // Up to there, the characters are ASCII.
            match (line.get(..start), line.get(start..end), line.get(end..)) {
                (Some(id), Some(word), Some(rest)) if is_decision(word) => {
                    let color = style(word.trim_end());
                    writeln!(self.out, "{id}{color}{word}{color:#}{}", rest.trim_end())?;
                }
                _ => writeln!(self.out, "{}", line.trim_end())?,
            }
        }
        Ok(())
    }
}

/// Neither the header nor a further line of the same row.
fn is_decision(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_lowercase())
}

/// Returns the cells of an instance.
fn cells(row: &Row) -> [String; 4] {
    let name = row.name.iter().map(|name| Escaped(name).to_string());
    let source = row.source.iter().map(ToString::to_string);
    let names: Vec<String> = name.chain(source).collect();
    [row.instance_id.to_string(), row.decision.to_owned(), names.join("\n"), finding(row)]
}

/// Returns what is found: the changes, or the reasons if there are none; then use, and warnings.
fn finding(row: &Row) -> String {
    let mut lines = changes(row);
    let held_back = |reason: &&String| lines.is_empty() || reason.contains("is held back");
    let reasons: Vec<String> = row.reasons.iter().filter(held_back).cloned().collect();
    lines.extend(reasons);
    lines.extend(row.warnings.iter().take(MOST_WARNINGS).map(|warning| format!("warning: {warning}")));
    let more = row.warnings.len().saturating_sub(MOST_WARNINGS);
    if more > 0 {
        lines.push(format!("and {}", counted(more as u64, "more warning", "more warnings")));
    }
    printable(&lines.join("\n")).into_owned()
}
