//! `imdsctl`, the command line for operators.

mod apply;
mod audit;
mod clock;
mod completions;
mod confirm;
mod decision;
mod defaults;
mod demo;
mod exit;
mod explain;
mod fields;
mod input;
mod new_file;
mod output;
mod paragraph;
mod plan;
mod policy;
mod progress;
mod restore;
mod scope;
mod session;
mod survey;

use std::io::Write;

use anstream::ColorChoice;
use anyhow::Result;
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
pub use exit::Exit;
use output::printable;

/// Bring EC2 instances to the metadata options that a policy requires, IMDSv2 above all.
///
/// Start with `imdsctl demo`, which needs no AWS account.
///
/// Exit codes: 0 everything complies, 1 something does not, 2 error.
#[derive(Parser)]
#[command(version = imds_enforcer::VERSION, max_term_width = 80)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Whether to color the output; auto: if it is a terminal and NO_COLOR is not set.
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = Color::Auto)]
    color: Color,
}

/// Whether the output has colors.
#[derive(Clone, Copy, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

impl From<Color> for ColorChoice {
    fn from(color: Color) -> Self {
        match color {
            Color::Auto => Self::Auto,
            Color::Always => Self::Always,
            Color::Never => Self::Never,
        }
    }
}

#[derive(Subcommand)]
enum Command {
    Audit(audit::Arguments),
    Plan(plan::Arguments),
    Apply(apply::Arguments),
    Restore(restore::Arguments),
    Defaults(Box<defaults::Arguments>),
    Explain(explain::Arguments),
    /// Check policies, or print the schema of policies.
    ///
    /// Exit codes: 0 the policies are valid, 1 they have warnings (with --strict) or something that ends (with --expiring),
    /// 2 error.
    #[command(subcommand)]
    Policy(policy::Command),
    Demo(demo::Arguments),
    Completions(completions::Arguments),
}

/// Runs the command that the arguments of the process name, and says how the process exits.
#[tokio::main]
pub async fn main() -> Exit {
    let arguments = Arguments::try_parse();
    if let Ok(Arguments { color, .. }) = &arguments {
        ColorChoice::from(*color).write_global();
    }
    let mut out = output::stdout();
    let result = match arguments {
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
        Command::Audit(arguments) => audit::run(arguments, out).await,
        Command::Plan(arguments) => plan::run(arguments, out).await,
        Command::Apply(arguments) => apply::run(arguments, out).await,
        Command::Restore(arguments) => restore::run(arguments, out).await,
        Command::Defaults(arguments) => defaults::run(arguments, out).await,
        Command::Explain(arguments) => explain::run(arguments, out),
        Command::Policy(command) => policy::run(command, out),
        Command::Demo(arguments) => demo::run(arguments, out).await,
        Command::Completions(arguments) => completions::run(arguments, Arguments::command(), out),
    }
}
