//! `imdsctl defaults`: the account's defaults for instance metadata options.

mod differ;
mod read;
mod set;
mod table;

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use imds_core::ids::{AccountId, Region};
use imds_core::metadata::{OptionName, Requirement};
use imds_engine::aws::fleet::Defaults;
use serde::Serialize;

use crate::exit::Exit;
use crate::output::{json, printable};
use crate::policy::{self, Document};
use crate::scope::ScopeArguments;
use differ::differing;
use read::{Read, read};
use table::Row;

/// Show or set the account defaults for instance metadata options
///
/// A launch that names no value of an option, and whose image has no
/// ImdsSupport=v2.0, gets the account's default in the Region. One without
/// preference gets that of EC2: HttpTokens=optional, HttpEndpoint=enabled,
/// HttpPutResponseHopLimit=1, InstanceMetadataTags=disabled. There is no
/// default for HttpProtocolIpv6.
///
/// A default differs (*) if the value that such a launch gets is not allowed by
/// the policy's baseline. HttpTokensEnforced=enabled means that EC2 refuses
/// launches and changes with HttpTokens=optional.
///
///     imdsctl defaults --organization --role audit --all-regions
///
/// Permissions: ec2:GetInstanceMetadataDefaults; ec2:DescribeRegions for
/// --all-regions.
///
/// Exit codes: 0 no default differs; 1 some differ; 2 some could not be read,
/// or error.
#[derive(Args)]
#[command(verbatim_doc_comment, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    show: ShowArguments,
}

#[derive(Subcommand)]
enum Action {
    Set(set::Arguments),
}

#[derive(Args)]
struct ShowArguments {
    /// The policy file; - means standard input. By default the policy that
    /// imds-enforcer is deployed with: HttpTokens=required.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Print a JSON list of {account, region, defaults, differs, error}. What is
    /// unknown is null; options without preference are absent.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    scope: ScopeArguments,
}

/// Runs `imdsctl defaults`.
pub async fn run(arguments: &Arguments, out: &mut impl Write) -> Result<Exit> {
    match &arguments.action {
        Some(Action::Set(arguments)) => set::run(arguments, out).await,
        None => show(&arguments.show, out).await,
    }
}

/// One entry of `--json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    account: &'a AccountId,
    region: &'a Region,
    defaults: Option<&'a Defaults>,
    differs: Option<Vec<&'static str>>,
    error: Option<&'a str>,
}

async fn show(arguments: &ShowArguments, out: &mut impl Write) -> Result<Exit> {
    let Document { policy, .. } = policy::document(arguments.policy.as_deref())?;
    let baseline: Vec<Requirement> = policy.baseline().collect();
    let session = arguments.scope.open(policy).await?;
    let scope = arguments.scope.resolve(&session).await?;
    let found = read(&session, &scope).await;
    let differs = |defaults: &Defaults| differing(defaults, &baseline);
    match arguments.json {
        true => print_json(&found, differs, out)?,
        false => print_table(&found, differs, out)?,
    }
    let is_differing =
        found.rows.iter().filter_map(Read::defaults).any(|defaults| !differs(defaults).is_empty());
    out.flush()?;
    let errors = found.errors(&session);
    for error in &errors {
        // The exit code reports the error even if it cannot be printed.
        let _ = writeln!(anstream::stderr(), "imdsctl: {}", printable(error));
    }
    Ok(match (errors.is_empty(), is_differing) {
        (false, _) => Exit::Error,
        (true, true) => Exit::Findings,
        (true, false) => Exit::Compliant,
    })
}

/// Prints a list with one entry in each line.
fn print_json(
    found: &read::Found,
    differs: impl Fn(&Defaults) -> Vec<OptionName>,
    out: &mut impl Write,
) -> Result<()> {
    let entry = |row: &Read| {
        let error = row.answer.as_ref().err().map(ToString::to_string);
        let differs = row.defaults().map(&differs);
        json(&Entry {
            account: &row.account_region.account,
            region: &row.account_region.region,
            defaults: row.defaults(),
            differs: differs.map(|names| names.into_iter().map(OptionName::as_str).collect()),
            error: error.as_deref(),
        })
    };
    let entries = found.rows.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
    writeln!(out, "[\n{}\n]", entries.join(",\n"))?;
    Ok(())
}

fn print_table(
    found: &read::Found,
    differs: impl Fn(&Defaults) -> Vec<OptionName>,
    out: &mut impl Write,
) -> Result<()> {
    let row = |read: &'_ Read| {
        let defaults = read.defaults()?.clone();
        let differs = differs(&defaults);
        Some(Row { account_region: read.account_region.clone(), defaults, differs })
    };
    let rows: Vec<Row> = found.rows.iter().filter_map(row).collect();
    Ok(table::print(&rows, out)?)
}
