//! The decisions as text and as JSON.

use std::collections::BTreeMap;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use imds_core::decide::{Decision, Verdict};
use imds_core::metadata::MetadataOptions;
use serde::Serialize;

use super::read::Described;

const WARNING: Style = AnsiColor::Yellow.on_default();

/// An instance and the decision on it.
pub struct Explained {
    pub described: Described,
    pub decision: Decision,
}

/// One entry of `--json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    instance_id: &'a str,
    decision: &'static str,
    change: MetadataOptions,
    reasons: Vec<String>,
    warnings: Vec<String>,
}

/// Returns the name of a decision, and its color.
fn name(verdict: &Verdict) -> (&'static str, Style) {
    match verdict {
        Verdict::Compliant { .. } => ("compliant", AnsiColor::Green.on_default()),
        Verdict::Change { .. } => ("change", AnsiColor::Yellow.on_default().bold()),
        Verdict::Exempt { .. } => ("exempt", AnsiColor::Cyan.on_default()),
        Verdict::OutOfScope { .. } => ("out-of-scope", Style::new().dimmed()),
        Verdict::Blocked { .. } => ("blocked", AnsiColor::Red.on_default().bold()),
        Verdict::Incomplete { .. } => ("incomplete", AnsiColor::Red.on_default().bold()),
    }
}

fn change(verdict: &Verdict) -> MetadataOptions {
    match verdict {
        Verdict::Change { change, .. } => *change.options(),
        _ => MetadataOptions::default(),
    }
}

/// Prints a JSON list with one entry for each instance.
pub fn json(explained: &[Explained], out: &mut impl Write) -> io::Result<()> {
    let entries: Vec<Entry<'_>> = explained.iter().map(entry).collect();
    serde_json::to_writer_pretty(&mut *out, &entries)?;
    writeln!(out)
}

fn entry(explained: &Explained) -> Entry<'_> {
    let decision = &explained.decision;
    Entry {
        instance_id: explained.described.instance.id.as_str(),
        decision: name(&decision.verdict).0,
        change: change(&decision.verdict),
        reasons: decision.verdict.reasons().iter().map(ToString::to_string).collect(),
        warnings: decision.warnings.iter().map(ToString::to_string).collect(),
    }
}

/// Prints a paragraph for each instance, and a line with the counts.
pub fn text(explained: &[Explained], out: &mut impl Write) -> io::Result<()> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for explained in explained {
        let (instance, decision) = (&explained.described.instance, &explained.decision);
        let (name, style) = name(&decision.verdict);
        *counts.entry(name).or_default() += 1;
        // Anyone who may tag an instance controls its name. It is escaped so that it cannot send terminal sequences.
        let label = instance.tags.get("Name").map(|name| format!(" {name:?}")).unwrap_or_default();
        writeln!(out, "{}{label}: {style}{name}{style:#}", instance.id)?;
        for value in change(&decision.verdict).iter() {
            let present =
                instance.options.get(value.name()).map_or("unknown".to_owned(), |value| value.text());
            writeln!(out, "  {}: {present} -> {}", value.name(), value.text())?;
        }
        for reason in decision.verdict.reasons() {
            writeln!(out, "  because {reason}")?;
        }
        for warning in &decision.warnings {
            writeln!(out, "  {WARNING}warning{WARNING:#}: {warning}")?;
        }
    }
    let counts: Vec<String> = counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
    let counts = if counts.is_empty() { "none".to_owned() } else { counts.join(", ") };
    writeln!(out, "{} instances: {counts}", explained.len())
}
