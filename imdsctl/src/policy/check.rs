//! `imdsctl policy check`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use imds_core::policy::{Policy, PolicyError, PolicyWarning};
use serde::Serialize;
use time::OffsetDateTime;

use crate::clock;
use crate::exit::Exit;
use crate::input;
use crate::output::{json, printable};
use crate::paragraph::WARNING;

/// Describe what policies do in plain sentences, with warnings, or list every error with its location.
///
/// Errors make a policy invalid: the function does not start with it. Warnings are for what is valid, but may not be
/// meant: rules that loosen or exempt by tags that anyone can set, exemptions that have ended or end in more than two
/// years, HttpTokens=optional (also if only tags can require it), rules that never have an effect, and a policy that
/// requires nothing.
///
/// Exit codes: 0 every policy is valid, 1 one has warnings (with --strict), 2 one has errors.
#[derive(Args)]
pub struct Arguments {
    /// The policy files; - means standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Exit with 1 if a policy has warnings.
    #[arg(long)]
    strict: bool,
    /// Print a JSON list of {file, ok, errors, warnings, summary}; errors and warnings are lists of {place, problem},
    /// where place is the location in the document, and ok is false if there are errors.
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

/// What is wrong in a policy, or may not be meant.
#[derive(Serialize)]
struct Finding {
    /// The location in the document; empty if the file cannot be read.
    place: String,
    problem: String,
}

/// Runs `imdsctl policy check`.
pub fn run(arguments: &Arguments, out: &mut impl Write) -> Result<Exit> {
    let now = clock::now();
    let checked: Vec<Checked> = arguments.files.iter().map(|file| check(file, now)).collect();
    if arguments.json {
        print_json(&checked, out)?;
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
    let read = input::read(file)
        .map_err(|error| vec![Finding { place: String::new(), problem: format!("cannot be read: {error}") }]);
    let parsed = read.and_then(|document| {
        let finding = |error: PolicyError| Finding { place: error.place, problem: error.problem };
        Policy::from_bytes(&document).map_err(|errors| errors.0.into_iter().map(finding).collect())
    });
    let (errors, warnings, summary) = match parsed {
        Ok(policy) => (Vec::new(), policy.warnings(now), policy.summary(now)),
        Err(errors) => (errors, Vec::new(), Vec::new()),
    };
    let finding = |warning: PolicyWarning| Finding { place: warning.place, problem: warning.problem };
    let warnings = warnings.into_iter().map(finding).collect();
    Checked { file: input::name(file), ok: errors.is_empty(), errors, warnings, summary }
}

/// Prints what a valid policy does; what is wrong with another goes to standard error.
fn print_text(checked: &Checked, is_one_of_several: bool, out: &mut impl Write) -> io::Result<()> {
    let file = printable(&checked.file);
    for Finding { place, problem } in &checked.errors {
        let place = if place.is_empty() { String::new() } else { format!("{}: ", printable(place)) };
        // The exit code reports the error even if it cannot be printed.
        let _ = writeln!(anstream::stderr(), "{file}: {place}{}", printable(problem));
    }
    if checked.ok && is_one_of_several {
        writeln!(out, "{file}:")?;
    }
    let indent = if is_one_of_several { "  " } else { "" };
    for sentence in &checked.summary {
        writeln!(out, "{indent}{}", printable(sentence))?;
    }
    for Finding { place, problem } in &checked.warnings {
        let (place, problem) = (printable(place), printable(problem));
        writeln!(out, "{indent}{WARNING}warning{WARNING:#}: {place}: {problem}")?;
    }
    Ok(())
}

/// Prints a list with one entry in each line.
fn print_json(checked: &[Checked], out: &mut impl Write) -> Result<()> {
    let entries = checked.iter().map(json).collect::<Result<Vec<_>, _>>()?;
    writeln!(out, "[\n{}\n]", entries.join(",\n"))?;
    Ok(())
}
