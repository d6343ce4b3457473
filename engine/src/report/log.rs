//! Log lines: one JSON object each, as Lambda's own log filter reads them; metrics are lines, too.

use std::collections::BTreeMap;
use std::io::{self, Write};

use imds_core::outcome::{InstanceOutcome, Mode, Outcome};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Report;
use super::metrics::Metrics;

/// One line. Lambda filters by `level` and joins by `requestId`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a, T> {
    timestamp: String,
    level: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    request_id: &'a str,
    #[serde(flatten)]
    content: T,
}

#[derive(Serialize)]
struct Message<'a> {
    message: &'a str,
}

/// What became of an instance, beside the mode.
#[derive(Serialize)]
struct Outcomed<'a> {
    mode: Mode,
    #[serde(flatten)]
    instance: &'a InstanceOutcome,
}

/// What an invocation did, without its outcomes, which have lines of their own.
#[derive(Serialize)]
struct Done<'a> {
    message: &'static str,
    mode: Mode,
    counts: &'a BTreeMap<&'static str, usize>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    ignored: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    unresolved: &'a [String],
}

/// Writes lines of one invocation, or of the start.
#[derive(Debug)]
pub struct Log<'a, W> {
    /// Where to.
    pub out: W,
    /// The invocation's id; empty before the first.
    pub request_id: &'a str,
    /// The time of the line.
    pub now: OffsetDateTime,
}

impl<W: Write> Log<'_, W> {
    /// A line for what became of an instance.
    ///
    /// # Errors
    /// Those of the writer; the line is lost then.
    pub fn outcome(&mut self, mode: Mode, instance: &InstanceOutcome) -> io::Result<()> {
        self.line(level(instance), Outcomed { mode, instance })
    }

    /// A line for what the invocation did.
    ///
    /// # Errors
    /// Those of the writer; the line is lost then.
    pub fn done(&mut self, report: &Report) -> io::Result<()> {
        let Report { mode, counts, ignored, unresolved, .. } = report;
        let level = if unresolved.is_empty() && !report.has_unusable { "INFO" } else { "WARN" };
        self.line(level, Done { message: "batch done", mode: *mode, counts, ignored, unresolved })
    }

    /// A line for each document of metrics. `level` is the least that Lambda's log filter lets through, so that no
    /// metric is lost to it.
    ///
    /// # Errors
    /// Those of the writer; the line is lost then, and those after it.
    pub fn metrics(&mut self, mode: Mode, metrics: &Metrics, level: &str) -> io::Result<()> {
        metrics.documents(mode, self.now).into_iter().try_for_each(|document| self.line(level, document))
    }

    /// A line for what may go wrong later, and why.
    ///
    /// # Errors
    /// Those of the writer; the line is lost then.
    pub fn warning(&mut self, message: &str) -> io::Result<()> {
        self.line("WARN", Message { message })
    }

    /// A line for what went wrong with the invocation as a whole.
    ///
    /// # Errors
    /// Those of the writer; the line is lost then.
    pub fn error(&mut self, message: &str) -> io::Result<()> {
        self.line("ERROR", Message { message })
    }

    fn line<T: Serialize>(&mut self, level: &str, content: T) -> io::Result<()> {
        let timestamp = self.now.format(&Rfc3339).unwrap_or_default();
        let line = Line { timestamp, level, request_id: self.request_id, content };
        let mut text = serde_json::to_vec(&line)?;
        text.push(b'\n');
        self.out.write_all(&text)
    }
}

fn level(instance: &InstanceOutcome) -> &'static str {
    match instance.outcome {
        Outcome::Denied | Outcome::Failed { .. } => "ERROR",
        outcome if outcome.is_retryable() || outcome == Outcome::Blocked || !instance.warnings.is_empty() => {
            "WARN"
        }
        _ => "INFO",
    }
}
