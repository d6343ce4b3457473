//! The operator's command line.

mod demo;
mod exit;

use clap::{Parser, Subcommand};
use exit::Exit;

/// Bring EC2 instances to the metadata options that a policy requires, IMDSv2 above all.
///
/// Exit codes: 0 all as required, 1 something is not, 2 error.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Enforce a small fleet in an embedded EC2, and show what was done and why.
    ///
    /// Starts ec2-sim inside this process, launches instances of every kind, and gives EC2's events to the Lambda
    /// function's own handler. Needs no AWS account, no credentials and no network.
    Demo,
}

#[tokio::main]
async fn main() -> Exit {
    let result = match Arguments::parse().command {
        Command::Demo => demo::run().await,
    };
    result.unwrap_or_else(|error| {
        eprintln!("imdsctl: {error:#}");
        Exit::Error
    })
}
