//! `imdsctl policy`: check a policy before it is deployed.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use clap::Subcommand;
use imds_core::policy::Policy;

use crate::clock;
use crate::exit::Exit;
use crate::input;

/// What to do with policies.
#[derive(Subcommand)]
pub enum Command {
    /// Describe what a policy does in plain sentences, or list every error with its place.
    ///
    /// Exit codes: 0 the policy is valid, 2 it is not.
    Check {
        /// The policy file; - means standard input.
        file: PathBuf,
    },
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
        Command::Check { file } => {
            for line in read(file)?.summary(clock::now()) {
                writeln!(out, "{line}")?;
            }
        }
        Command::Schema => writeln!(out, "{:#}", Policy::schema())?,
    }
    Ok(Exit::Compliant)
}

/// Reads the policy in `file`. The error has one line for each problem in the policy.
pub fn read(file: &Path) -> Result<Policy> {
    let name = input::name(file);
    let document = input::read(file).with_context(|| format!("{name} cannot be read"))?;
    let document = input::text(&document).map_err(|error| anyhow!("{name} {error:#}"))?;
    Policy::parse(document).map_err(|errors| anyhow!("the policy is invalid:\n{}", errors.in_document(&name)))
}
