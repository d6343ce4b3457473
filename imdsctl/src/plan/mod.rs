//! `imdsctl plan`: what `imdsctl apply` would do.

pub mod document;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use imds_core::ids::AccountRegion;
use imds_core::mode::Mode;
use imds_core::text::counted;
use imds_engine::reconcile::AskUsage;
use time::OffsetDateTime;

use crate::apply::{is_begun, path_of};
use crate::audit::row::Row;
use crate::exit::Exit;
use crate::new_file::NewFile;
use crate::output::printable;
use crate::paragraph::summary;
use crate::policy;
use crate::progress::Progress;
use crate::scope::ScopeArguments;
use crate::session::Session;
use crate::survey::{Asked, Ended, Surveyed, survey};
use crate::{clock, input};
use document::{Plan, PlannedChange, VERSION};

/// Write down what apply would change, instance by instance
///
/// Reads what the decisions need, as the function does, and writes the changes
/// to a file that people can review and `imdsctl apply` carries out. Nothing is
/// changed. An instance whose policy only sends dry runs is not in the plan.
///
///     imdsctl plan --policy policy.json --all-regions --output plan.json
///     imdsctl apply plan.json
///
/// The plan has the policy in it, and for each instance its options before, the
/// change, the reasons and what it came from.
///
/// Permissions: ec2:DescribeInstances; cloudwatch:GetMetricData if the policy
/// has a usage gate; ec2:DescribeRegions for --all-regions; for the sources,
/// better also ec2:DescribeImages and ec2:GetInstanceMetadataDefaults.
///
/// Exit codes: 0 nothing to change, 1 there are changes, 2 an account, a Region,
/// an instance or its use of IMDSv1 could not be read, or error.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The policy file; - means standard input. By default the policy that
    /// imds-enforcer is deployed with: HttpTokens=required, with a usage gate.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// The file to write the plan to.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    scope: ScopeArguments,
}

/// What was found so far.
#[derive(Default)]
struct Found {
    counts: BTreeMap<&'static str, usize>,
    changes: Vec<PlannedChange>,
    dry_runs: usize,
}

impl Found {
    fn add(&mut self, row: Row) {
        *self.counts.entry(row.decision).or_default() += 1;
        let Some(change) = row.change else { return };
        if row.mode == Mode::DryRun {
            self.dry_runs += 1;
            return;
        }
        self.changes.push(PlannedChange {
            account: row.account,
            region: row.region,
            instance_id: row.instance_id,
            name: row.name,
            before: row.before,
            change,
            reasons: row.reasons,
            warnings: row.warnings,
            source: row.source.as_ref().map(Into::into),
        });
    }
}

/// Decides on all instances of the scope. Returns what was found, and when it began.
async fn find(scope: &ScopeArguments, session: &Session) -> Result<(Found, Ended, OffsetDateTime)> {
    let now = clock::now();
    let progress = Progress::new();
    let scope = scope.resolve(session).await?;
    let mut found = Found::default();
    let mut on_page = |account_region: &AccountRegion, page: Vec<Surveyed>| -> Result<()> {
        page.into_iter().for_each(|(assessed, source)| found.add(Row::new(account_region, assessed, source)));
        Ok(())
    };
    let asked = Asked { usage: AskUsage::IfNeeded, sources: false, now };
    let ended = survey(session, &scope, asked, &progress, &mut on_page).await?;
    progress.finish();
    Ok((found, ended, now))
}

/// Runs `imdsctl plan`.
pub async fn run(arguments: &Arguments, out: &mut impl Write) -> Result<Exit> {
    let journal = path_of(&fs::canonicalize(&arguments.output).unwrap_or_else(|_| arguments.output.clone()));
    ensure!(
        !is_begun(&journal),
        "{} is the journal of an earlier plan in {}: name another file, so that `imdsctl apply` and `imdsctl restore` of \
         that plan can go on",
        journal.display(),
        arguments.output.display()
    );
    let document = policy::document(arguments.policy.as_deref())?;
    let policy_json = serde_json::from_str(input::text(&document.text)?).context("the policy is not JSON")?;
    let mut file = NewFile::create(&arguments.output)?;
    let session = arguments.scope.open(document.policy).await?;
    let (found, ended, created_at) = find(&arguments.scope, &session).await?;
    let Found { counts, mut changes, dry_runs } = found;
    changes.sort_by(|a, b| {
        (&a.account, &a.region, &a.instance_id).cmp(&(&b.account, &b.region, &b.instance_id))
    });
    let mut errors = ended.errors;
    errors.extend(undecided(&counts));
    let plan = Plan {
        version: VERSION,
        created_at,
        caller: session.identity.arn,
        role: session.role,
        policy: policy_json,
        complete: errors.is_empty(),
        errors,
        counts: counts.iter().map(|(word, count)| ((*word).to_owned(), *count)).collect(),
        changes,
    };
    plan.write(&mut file)?;
    file.finish()?;
    print(&plan, &arguments.output, &counts, out)?;
    if dry_runs > 0 {
        let many = counted(dry_runs, "more instance is", "more instances are");
        writeln!(out, "{many} not in the plan, as their policy only sends dry runs.")?;
    }
    for warning in &ended.warnings {
        writeln!(out, "warning: {}", printable(warning))?;
    }
    Ok(exit(&plan))
}

/// Returns that instances are not decided on, if so: a plan without them must not seem complete.
fn undecided(counts: &BTreeMap<&'static str, usize>) -> Option<String> {
    let unknown: usize = ["needs-usage", "not-ready"].iter().filter_map(|word| counts.get(word)).sum();
    let are = counted(unknown, "instance is", "instances are");
    (unknown > 0).then(|| format!("{are} not decided on, as what the decision needs could not be read"))
}

/// Prints what the plan does, and how to go on.
fn print(plan: &Plan, path: &Path, counts: &BTreeMap<&str, usize>, out: &mut impl Write) -> Result<()> {
    writeln!(out, "{}", summary(counts))?;
    let places: BTreeSet<_> = plan.changes.iter().map(|change| (&change.account, &change.region)).collect();
    let mut options: BTreeMap<String, usize> = BTreeMap::new();
    for value in plan.changes.iter().flat_map(|change| change.change.options().iter()) {
        *options.entry(value.to_string()).or_default() += 1;
    }
    for (value, count) in &options {
        writeln!(out, "  {value} on {}", counted(*count, "instance", "instances"))?;
    }
    let loosening = plan.changes.iter().filter(|change| change.loosens()).count();
    if loosening > 0 {
        let changes = counted(loosening, "change lets", "changes let");
        writeln!(out, "{changes} calls without a token succeed: apply needs --allow-loosening.")?;
    }
    for error in &plan.errors {
        writeln!(out, "error: {}", printable(error))?;
    }
    let file = path.display().to_string();
    match plan.changes.len() {
        0 if plan.complete => writeln!(out, "There is nothing to change.")?,
        0 => writeln!(out, "There is nothing to change among the instances that were decided on.")?,
        count => writeln!(
            out,
            "{} in {}. Review {file}, then run `imdsctl apply {file}`.",
            counted(count, "change", "changes"),
            counted(places.len(), "account and Region", "accounts and Regions"),
            file = printable(&file),
        )?,
    }
    Ok(())
}

fn exit(plan: &Plan) -> Exit {
    match (plan.complete, plan.changes.is_empty()) {
        (false, _) => Exit::Error,
        (true, true) => Exit::Compliant,
        (true, false) => Exit::Findings,
    }
}
