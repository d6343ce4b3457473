//! `imdsctl policy`: check policies before they are deployed.

mod check;
mod expiring;
mod file;

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

/// The policy that is deployed with the function.
const DEPLOYED: &[u8] = include_bytes!("../../../policy/policy.json");

/// A valid policy and its text.
pub struct Document {
    /// The policy.
    pub policy: Policy,
    /// Its JSON text.
    pub text: Vec<u8>,
}

/// Reads the policy in `file`, or returns the one that is deployed with the function. The error has one line for each
/// problem in the policy.
pub fn document(file: Option<&Path>) -> Result<Document> {
    let Some(file) = file else {
        let policy =
            Policy::from_bytes(DEPLOYED).map_err(|errors| anyhow!(errors.in_document("policy.json")))?;
        return Ok(Document { policy, text: DEPLOYED.to_vec() });
    };
    let name = input::name(file);
    let text = input::read(file).with_context(|| format!("{name} cannot be read"))?;
    let policy = Policy::from_bytes(&text)
        .map_err(|errors| anyhow!("the policy is invalid:\n{}", errors.in_document(&name)))?;
    Ok(Document { policy, text })
}

/// Reads the policy in `file`. The error has one line for each problem in the policy.
pub fn read(file: &Path) -> Result<Policy> {
    Ok(document(Some(file))?.policy)
}
