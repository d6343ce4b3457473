//! Log lines: one JSON object each, in the format of Lambda's log filter. Metrics are log lines, too.

use std::collections::BTreeMap;
use std::io::{self, Write};

use imds_core::mode::Mode;
use imds_core::outcome::{InstanceOutcome, Outcome};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Report;
use super::metrics::Metrics;

/// One line. Lambda filters lines by `level`; `requestId` relates them to an invocation.
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

/// The first line of a process.
#[derive(Serialize)]
struct Started<'a> {
    message: &'static str,
    version: &'a str,
}

/// The result of an invocation, without its outcomes, which have their own lines.
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

/// Writes the lines of one invocation, or of the start of the function.
#[derive(Debug)]
pub struct Log<'a, W> {
    /// The output.
    pub out: W,
    /// The invocation's request ID; empty before the first invocation.
    pub request_id: &'a str,
    /// The timestamp of the line.
    pub now: OffsetDateTime,
}

impl<W: Write> Log<'_, W> {
    /// Writes a line for the start of the function: which version runs.
    ///
    /// # Errors
    /// The writer's errors; the line is lost.
    pub fn started(&mut self, version: &str) -> io::Result<()> {
        self.line("INFO", Started { message: "started", version })
    }

    /// Writes a line for the outcome of an instance.
    ///
    /// # Errors
    /// The writer's errors; the line is lost.
    pub fn outcome(&mut self, instance: &InstanceOutcome) -> io::Result<()> {
        self.line(level(instance), instance)
    }

    /// Writes a line for the result of the invocation.
    ///
    /// # Errors
    /// The writer's errors; the line is lost.
    pub fn done(&mut self, report: &Report) -> io::Result<()> {
        let Report { mode, counts, ignored, unresolved, .. } = report;
        let level = if unresolved.is_empty() { "INFO" } else { "WARN" };
        self.line(level, Done { message: "batch done", mode: *mode, counts, ignored, unresolved })
    }

    /// Writes a line for each document of metrics. `level` is the lowest level that Lambda's log filter passes, so that
    /// it drops no metric.
    ///
    /// # Errors
    /// The writer's errors; this line and the lines after it are lost.
    pub fn metrics(&mut self, mode: Mode, metrics: &Metrics, level: &str) -> io::Result<()> {
        metrics.documents(mode, self.now).into_iter().try_for_each(|document| self.line(level, document))
    }

    /// Writes a line for a problem that may cause errors later.
    ///
    /// # Errors
    /// The writer's errors; the line is lost.
    pub fn warning(&mut self, message: &str) -> io::Result<()> {
        self.line("WARN", Message { message })
    }

    /// Writes a line for an error of the invocation as a whole.
    ///
    /// # Errors
    /// The writer's errors; the line is lost.
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
