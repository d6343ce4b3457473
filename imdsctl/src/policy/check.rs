//! `imdsctl policy check`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, value_parser};
use imds_core::policy::PolicyWarning;
use serde::Serialize;
use time::OffsetDateTime;

use super::expiring;
use super::file::{self, Finding};
use crate::clock;
use crate::exit::Exit;
use crate::input;
use crate::output::printable;
use crate::paragraph::WARNING;

/// Describe what policies do, with warnings, or list their errors.
///
/// Every error is listed with its location. Errors make a policy invalid: the
/// function does not start with it. Warnings are for what is valid, but may not
/// be meant: rules that loosen or exempt by tags that anyone can set, exemptions
/// that have ended or end in more than two years, HttpTokens=optional (also if
/// only tags can require it), rules that never have an effect, and a policy that
/// requires nothing.
///
/// With --expiring, only what ends soon or has ended is printed, for a job that
/// runs every day and reminds the owners:
///
///     imdsctl policy check --expiring 14 policy.json
///
/// Exit codes: 0 every policy is valid, 1 one has warnings (with --strict) or
/// something ends (with --expiring), 2 one has errors.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The policy files; - means standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Exit with 1 if a policy has warnings.
    #[arg(long)]
    strict: bool,
    /// Print what has ended or ends within DAYS days from today, in UTC (0 to 3650; 0 is today): exemptions by rules, dry
    /// runs and usage gates, with the owner and the ticket of their rules. Exit with 1 if there is any.
    #[arg(long, value_name = "DAYS", conflicts_with = "strict", value_parser = value_parser!(u16).range(0..=3650))]
    expiring: Option<u16>,
    /// Print a JSON list of {file, ok, errors, warnings, summary}; errors and warnings are lists of {place, problem},
    /// where place is the location in the document, and ok is false if there are errors. With --expiring, it is {file,
    /// ok, errors, expiring}; expiring is a list of {place, kind, rule, owner, ticket, until, daysLeft}, the earliest day
    /// first.
    #[arg(long)]
    json: bool,
}

/// The result for one file.
#[derive(Serialize)]
struct Checked {
    file: String,
    ok: bool,
    errors: Vec<Finding>,
    warnings: Vec<Finding>,
    /// What the policy does, in sentences.
    summary: Vec<String>,
}

/// Runs `imdsctl policy check`.
pub fn run(arguments: &Arguments, out: &mut impl Write) -> Result<Exit> {
    let now = clock::now();
    if let Some(days) = arguments.expiring {
        return expiring::run(days, &arguments.files, arguments.json, now, out);
    }
    let checked: Vec<Checked> = arguments.files.iter().map(|file| check(file, now)).collect();
    if arguments.json {
        file::print_json(&checked, out)?;
    } else {
        for one in &checked {
            print_text(one, checked.len() > 1, out)?;
        }
    }
    let has_warnings = checked.iter().any(|checked| !checked.warnings.is_empty());
    Ok(match checked.iter().all(|checked| checked.ok) {
        false => Exit::Error,
        true if arguments.strict && has_warnings => Exit::Findings,
        true => Exit::Compliant,
    })
}

fn check(file: &Path, now: OffsetDateTime) -> Checked {
    let (errors, warnings, summary) = match file::read(file) {
        Ok(policy) => (Vec::new(), policy.warnings(now), policy.summary(now)),
        Err(errors) => (errors, Vec::new(), Vec::new()),
    };
    let finding = |warning: PolicyWarning| Finding { place: warning.place, problem: warning.problem };
    let warnings = warnings.into_iter().map(finding).collect();
    Checked { file: input::name(file), ok: errors.is_empty(), errors, warnings, summary }
}

/// Prints what a valid policy does; what is wrong with another goes to standard error.
fn print_text(checked: &Checked, is_one_of_several: bool, out: &mut impl Write) -> io::Result<()> {
    file::print_errors(&checked.file, &checked.errors);
    let indent = if is_one_of_several { "  " } else { "" };
    if checked.ok && is_one_of_several {
        writeln!(out, "{}:", printable(&checked.file))?;
    }
    for sentence in &checked.summary {
        writeln!(out, "{indent}{}", printable(sentence))?;
    }
    for Finding { place, problem } in &checked.warnings {
        let (place, problem) = (printable(place), printable(problem));
        writeln!(out, "{indent}{WARNING}warning{WARNING:#}: {place}: {problem}")?;
    }
    Ok(())
}
