//! Log lines: one JSON object each, as Lambda's own log filter reads them.

use std::io::{self, Write};

use imds_core::outcome::{InstanceReport, Outcome, Report};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// One line. Lambda filters by `level` and joins by `requestId`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a, T> {
    timestamp: String,
    level: &'static str,
    request_id: &'a str,
    #[serde(flatten)]
    content: T,
}

#[derive(Serialize)]
struct Message<'a> {
    message: &'a str,
}

/// A report without its outcomes, which have lines of their own.
#[derive(Serialize)]
struct Batch<'a> {
    message: &'static str,
    #[serde(flatten)]
    report: &'a Report,
}

/// Writes the lines of one invocation.
#[derive(Debug)]
pub struct Log<'a, W> {
    /// Where to.
    pub out: W,
    /// The invocation's id.
    pub request_id: &'a str,
    /// The time of the invocation.
    pub now: OffsetDateTime,
}

impl<W: Write> Log<'_, W> {
    /// A line for each outcome, then one for the batch.
    ///
    /// # Errors
    /// Those of the writer; the lines are lost then.
    pub fn report(&mut self, report: &Report) -> io::Result<()> {
        for outcome in &report.outcomes {
            self.line(level(outcome), outcome)?;
        }
        let without_outcomes = Report { outcomes: Vec::new(), ..report.clone() };
        let level = if report.unresolved.is_empty() { "INFO" } else { "WARN" };
        self.line(level, Batch { message: "batch done", report: &without_outcomes })
    }

    /// A line for what went wrong with the invocation as a whole.
    ///
    /// # Errors
    /// Those of the writer; the line is lost then.
    pub fn error(&mut self, message: &str) -> io::Result<()> {
        self.line("ERROR", Message { message })
    }

    fn line<T: Serialize>(&mut self, level: &'static str, content: T) -> io::Result<()> {
        let timestamp = self.now.format(&Rfc3339).unwrap_or_default();
        let line = Line { timestamp, level, request_id: self.request_id, content };
        let mut text = serde_json::to_vec(&line)?;
        text.push(b'\n');
        self.out.write_all(&text)
    }
}

fn level(report: &InstanceReport) -> &'static str {
    match report.outcome {
        Outcome::Denied | Outcome::Failed { .. } => "ERROR",
        outcome if outcome.is_retryable() || outcome == Outcome::Blocked || !report.warnings.is_empty() => {
            "WARN"
        }
        _ => "INFO",
    }
}
