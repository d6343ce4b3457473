//! `imdsctl`, the command line for operators.

mod clock;
mod demo;
mod exit;
mod explain;
mod policy;

use std::io::{self, Write};

use clap::{Parser, Subcommand};
use exit::Exit;

/// Bring EC2 instances to the metadata options that a policy requires, IMDSv2 above all.
///
/// Exit codes: 0 everything complies, 1 something does not, 2 error.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Explain(explain::Arguments),
    /// Check a policy, or print the schema of policies.
    #[command(subcommand)]
    Policy(policy::Command),
    /// Enforce a policy on a small fleet in an embedded EC2, and show what was done and why.
    ///
    /// Starts ec2-sim inside this process, launches instances of every kind, and passes EC2's events to the Lambda
    /// function's own handler. Needs no AWS account, credentials or network.
    Demo,
}

#[tokio::main]
async fn main() -> Exit {
    // Strips colors if the output is not a terminal or NO_COLOR is set.
    let mut out = UntilClosed(anstream::stdout());
    let result = match Arguments::parse().command {
        Command::Explain(arguments) => explain::run(&arguments, &mut out),
        Command::Policy(command) => policy::run(&command, &mut out),
        Command::Demo => demo::run(&mut out).await,
    };
    result.unwrap_or_else(|error| {
        eprintln!("imdsctl: {error:#}");
        Exit::Error
    })
}

/// Discards output after the reader has closed the pipe, as `head` does, so that the exit code is that of the result.
struct UntilClosed<W>(W);

impl<W: Write> Write for UntilClosed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).or_else(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Ok(bytes.len()),
            _ => Err(error),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
