//! `imdsctl audit`.

mod format;
mod output;
pub mod row;
pub mod sources;

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, value_parser};
use imds_core::ids::AccountRegion;
use imds_engine::reconcile::AskUsage;
use time::OffsetDateTime;

use crate::clock;
use crate::exit::Exit;
use crate::fields::rfc3339;
use crate::policy::{self, Document};
use crate::progress::Progress;
use crate::scope::ScopeArguments;
use crate::survey::{Asked, Ended, Surveyed, survey};
use format::{Counts, Format, Kind};
use output::Output;
use row::{Ending, Row};

/// Find the instances that are not as a policy requires, why, and what to change so that new ones are
///
/// Reads only: instances, their use of IMDSv1 (CloudWatch's MetadataNoToken),
/// the launch templates and images that they came from, and the account's
/// defaults. Decides as the function does, and prints for each source of
/// findings how many instances it accounts for and the commands that fix it.
///
///     imdsctl audit --policy policy.json --all-regions
///     imdsctl audit --organization --role audit --format html --output r.html
///
/// Permissions: ec2:DescribeInstances; better also cloudwatch:GetMetricData,
/// ec2:DescribeLaunchTemplateVersions, ec2:DescribeImages and
/// ec2:GetInstanceMetadataDefaults (without one of them, what it tells is
/// unknown), ec2:DescribeRegions for --all-regions.
///
/// The decisions are compliant, change, exempt, out-of-scope, in-use (the
/// policy's usage gate holds tokens back, as the instance still uses IMDSv1 or
/// too little is known of it), blocked (EC2 would refuse the change),
/// needs-usage and not-ready (something is unknown).
///
/// Exit codes: 0 all instances are as required, exempt or out of scope; 1 some
/// are not; 2 an account, a Region or an instance could not be read, or error.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The policy file; - means standard input. By default the policy that
    /// imds-enforcer is deployed with: HttpTokens=required, with a usage gate.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// The format of the result.
    #[arg(long, value_enum, default_value_t = Kind::Table)]
    format: Kind,
    /// The file to write to; by default standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Over how many days to ask for the use of IMDSv1, up to 90; 0 asks nothing,
    /// and what the usage gate decides on is needs-usage.
    #[arg(long, value_name = "DAYS", default_value_t = 14, value_parser = value_parser!(u16).range(0..=90))]
    usage_days: u16,
    #[command(flatten)]
    scope: ScopeArguments,
}

/// Runs `imdsctl audit`.
pub async fn run(arguments: &Arguments, out: &mut impl Write) -> Result<Exit> {
    let now = clock::now();
    let Document { policy, .. } = policy::document(arguments.policy.as_deref())?;
    let sentences = policy.summary(now);
    let mut output = Output::open(arguments.output.as_deref(), arguments.format, out)?;
    let session = arguments.scope.open(policy).await?;
    let progress = Progress::new();
    let scope = arguments.scope.resolve(&session).await?;
    let mut format = Format::new(arguments.format, output.width(), &mut output);
    let mut on_page = |account_region: &AccountRegion, page: Vec<Surveyed>| -> Result<()> {
        let rows: Vec<Row> =
            page.into_iter().map(|(assessed, source)| Row::new(account_region, assessed, source)).collect();
        Ok(progress.suspend(|| format.rows(&rows))?)
    };
    let usage = match arguments.usage_days {
        0 => AskUsage::Nothing,
        days => AskUsage::Days(days),
    };
    let ended =
        survey(&session, &scope, Asked { usage, sources: true, now }, &progress, &mut on_page).await?;
    progress.finish();
    let ending = ending(ended, sentences, (arguments.usage_days, now))?;
    let counts = format.finish(&ending)?;
    output.finish()?;
    if arguments.output.is_some() || arguments.format != Kind::Table {
        tell(&counts, &ending);
    }
    Ok(exit(&counts, &ending))
}

fn ending(ended: Ended, policy: Vec<String>, (usage_days, now): (u16, OffsetDateTime)) -> Result<Ending> {
    let Ended { errors, warnings, sources } = ended;
    Ok(Ending {
        created_at: rfc3339(now).context("the clock shows a year that RFC 3339 does not have")?,
        complete: errors.is_empty(),
        policy,
        usage_days,
        sources,
        errors,
        warnings,
    })
}

/// Says on standard error what a person wants to know at once, if the result is elsewhere.
fn tell(counts: &Counts, ending: &Ending) {
    let mut stderr = anstream::stderr();
    // The exit code reports the result even if it cannot be printed.
    let _ = writeln!(stderr, "{}", counts.sentence());
    for error in &ending.errors {
        let _ = writeln!(stderr, "imdsctl: {}", crate::output::printable(error));
    }
}

fn exit(counts: &Counts, ending: &Ending) -> Exit {
    match (ending.complete, counts.findings()) {
        (false, _) => Exit::Error,
        (true, 0) => Exit::Compliant,
        (true, _) => Exit::Findings,
    }
}
