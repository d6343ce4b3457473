//! `imdsctl policy`: check a policy before it is deployed.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use clap::Subcommand;
use imds_core::policy::Policy;

use crate::clock;
use crate::exit::Exit;

/// What to do with policies.
#[derive(Subcommand)]
pub enum Command {
    /// Describe what a policy does in plain sentences, or list every error with its location.
    ///
    /// Exit codes: 0 the policy is valid, 2 it is not.
    Check {
        /// The policy file.
        file: PathBuf,
    },
    /// Print the JSON Schema of policies, for editors and other checkers.
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
    let document = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    Policy::from_bytes(&document).map_err(|errors| {
        anyhow!("the policy is invalid:\n{}", errors.in_document(&file.display().to_string()))
    })
}
