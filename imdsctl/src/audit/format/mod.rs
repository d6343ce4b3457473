//! How an audit is written: as a table for terminals, as JSON, as CSV, or as a report in HTML.

mod changes;
mod comma_separated;
mod counts;
mod html;
mod json;
mod table;
#[cfg(test)]
mod tests;

use std::io::{self, Write};

use clap::ValueEnum;

use super::row::{Ending, Row};
use comma_separated::CommaSeparated;
pub use counts::{Class, Counts};
use html::Html;
use json::Json;
use table::Table;

/// The format of an audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// A table of the findings, for a terminal
    Table,
    /// A JSON document with every instance
    Json,
    /// A line for each instance, for spreadsheets, without sources and errors
    Csv,
    /// A report in one file, for a browser
    Html,
}

/// Writes an audit.
pub struct Format<W: Write> {
    counts: Counts,
    writer: Writer<W>,
}

enum Writer<W: Write> {
    Table(Table<W>),
    Json(Json<W>),
    Csv(Box<CommaSeparated<W>>),
    Html(Box<Html<W>>),
}

impl<W: Write> Format<W> {
    /// Returns the writer. `width` is that of the terminal in characters, and only matters for a table.
    ///
    /// Nothing is written yet.
    pub fn new(kind: Kind, width: usize, out: W) -> Self {
        let writer = match kind {
            Kind::Table => Writer::Table(Table::new(width, out)),
            Kind::Json => Writer::Json(Json::new(out)),
            Kind::Csv => Writer::Csv(Box::new(CommaSeparated::new(out))),
            Kind::Html => Writer::Html(Box::new(Html::new(out))),
        };
        Self { counts: Counts::default(), writer }
    }

    /// Adds instances of one account and Region. In a table, calls in sequence for the same one are a section.
    ///
    /// A table, JSON and CSV are written at once. A report in HTML is kept until the end, as its numbers come first.
    ///
    /// # Errors
    /// If the output cannot be written.
    pub fn rows(&mut self, rows: &[Row]) -> io::Result<()> {
        for row in rows {
            self.counts.add(Class::of(row.decision));
        }
        match &mut self.writer {
            Writer::Table(table) => table.rows(rows),
            Writer::Json(json) => rows.iter().try_for_each(|row| json.row(row)),
            Writer::Csv(csv) => rows.iter().try_for_each(|row| csv.row(row)),
            Writer::Html(html) => rows.iter().try_for_each(|row| html.row(row)),
        }
    }

    /// Writes the end, flushes the output, and returns how many instances there are of each class.
    ///
    /// # Errors
    /// If the output cannot be written.
    pub fn finish(self, ending: &Ending) -> io::Result<Counts> {
        match self.writer {
            Writer::Table(table) => table.finish(ending, &self.counts),
            Writer::Json(json) => json.finish(ending),
            Writer::Csv(csv) => csv.finish(),
            Writer::Html(html) => html.finish(ending),
        }?;
        Ok(self.counts)
    }
}
