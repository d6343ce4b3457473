//! `imdsctl policy`: check policies before they are deployed.

mod check;

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use clap::Subcommand;
use imds_core::policy::Policy;

use crate::exit::Exit;
use crate::input;

/// What to do with policies.
#[derive(Subcommand)]
pub enum Command {
    Check(check::Arguments),
    /// Print the JSON Schema of policies, for editors and other checkers.
    ///
    /// An editor uses it if the policy begins with "$schema": "policy.schema.json".
    ///
    /// Exit codes: 0 it was printed, 2 error.
    Schema,
}

/// Runs `imdsctl policy`.
pub fn run(command: &Command, out: &mut impl Write) -> Result<Exit> {
    match command {
        Command::Check(arguments) => check::run(arguments, out),
        Command::Schema => {
            writeln!(out, "{:#}", Policy::schema())?;
            Ok(Exit::Compliant)
        }
    }
}

/// Reads the policy in `file`. The error has one line for each problem in the policy.
pub fn read(file: &Path) -> Result<Policy> {
    let name = input::name(file);
    let document = input::read(file).with_context(|| format!("{name} cannot be read"))?;
    Policy::from_bytes(&document)
        .map_err(|errors| anyhow!("the policy is invalid:\n{}", errors.in_document(&name)))
}
