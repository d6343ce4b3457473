//! A policy file of `imdsctl policy check`, and what is wrong with it.

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use imds_core::policy::{Policy, PolicyError};
use serde::Serialize;

use crate::input;
use crate::output::{json, printable};

/// What is wrong in a policy, or may not be meant.
#[derive(Serialize)]
pub struct Finding {
    /// The location in the document; empty if the file cannot be read.
    pub place: String,
    /// What it is, and how to fix it.
    pub problem: String,
}

/// Reads the policy in `file`, or returns everything that is wrong with it.
pub fn read(file: &Path) -> Result<Policy, Vec<Finding>> {
    let document = input::read(file)
        .map_err(|error| vec![Finding { place: String::new(), problem: format!("cannot be read: {error}") }]);
    let finding = |error: PolicyError| Finding { place: error.place, problem: error.problem };
    Policy::from_bytes(&document?).map_err(|errors| errors.0.into_iter().map(finding).collect())
}

/// Prints errors to standard error, one in each line.
pub fn print_errors(file: &str, errors: &[Finding]) {
    let file = printable(file);
    for Finding { place, problem } in errors {
        let place = if place.is_empty() { String::new() } else { format!("{}: ", printable(place)) };
        // The exit code reports the error even if it cannot be printed.
        let _ = writeln!(anstream::stderr(), "{file}: {place}{}", printable(problem));
    }
}

/// Prints a list with one entry in each line.
pub fn print_json(entries: &[impl Serialize], out: &mut impl Write) -> Result<()> {
    let entries = entries.iter().map(json).collect::<Result<Vec<_>, _>>()?;
    writeln!(out, "[\n{}\n]", entries.join(",\n"))?;
    Ok(())
}
