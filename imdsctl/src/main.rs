//! `imdsctl`, the command line for operators.

mod clock;
mod demo;
mod exit;
mod explain;
mod input;
mod output;
mod paragraph;
mod policy;

use std::io::Write;

use anyhow::Result;
use clap::{Parser, Subcommand};
use exit::Exit;
use output::printable;

/// Bring EC2 instances to the metadata options that a policy requires, IMDSv2 above all.
///
/// Start with `imdsctl demo`, which needs no AWS account.
///
/// Exit codes: 0 everything complies, 1 something does not, 2 error.
#[derive(Parser)]
#[command(version, max_term_width = 80)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Explain(explain::Arguments),
    /// Check policies, or print the schema of policies.
    ///
    /// Exit codes: 0 the policies are valid, 1 they have warnings (with --strict), 2 error.
    #[command(subcommand)]
    Policy(policy::Command),
    Demo(demo::Arguments),
}

#[tokio::main]
async fn main() -> Exit {
    let mut out = output::stdout();
    let result = match Arguments::try_parse() {
        Ok(arguments) => run(&arguments.command, &mut out).await,
        Err(error) if error.use_stderr() => error.exit(),
        Err(help) => write!(out, "{}", help.render().ansi()).map(|()| Exit::Compliant).map_err(Into::into),
    };
    // What was found before an error is printed before the error.
    let flushed = out.flush();
    result.and_then(|exit| Ok(flushed.map(|()| exit)?)).unwrap_or_else(|error| {
        // The exit code reports the error even if it cannot be printed.
        let _ = writeln!(anstream::stderr(), "imdsctl: {}", printable(&format!("{error:#}")));
        Exit::Error
    })
}

async fn run(command: &Command, out: &mut impl Write) -> Result<Exit> {
    match command {
        Command::Explain(arguments) => explain::run(arguments, out),
        Command::Policy(command) => policy::run(command, out),
        Command::Demo(_) => demo::run(out).await,
    }
}
