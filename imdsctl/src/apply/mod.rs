//! `imdsctl apply`: a plan → changes.

mod journal;
mod progress;
mod report;
mod run;
mod stop;
mod targets;

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process;

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Args;
use imds_core::outcome::InstanceOutcome;
use imds_core::text::counted;
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};

use crate::confirm::confirm;
use crate::exit::Exit;
use crate::fields::rfc3339;
use crate::output::printable;
use crate::plan::document::{Plan, PlannedChange};
use crate::session::{RENEW, Session};
use crate::{clock, input};
use journal::{Header, Journal, Writer};
pub use journal::{Line, Locked, Read, is_begun, path_of, read_file};
pub use report::{Report, Words};
pub use run::{AllChosen, Run};
pub use stop::Interrupt;
use targets::Targets;
pub use targets::summary;

/// How old a plan may be without `--stale`.
const FRESH_FOR: Duration = Duration::hours(24);

/// How far ahead of this machine's clock the time of a plan may be.
const AHEAD: Duration = Duration::hours(1);

/// Make the changes of a plan
///
/// Describes every instance of the plan, decides again with the plan's policy and with its use of IMDSv1 now, and sends
/// only what is still equal to the plan. What differs is reported as changed since the plan. Changes are paced in each
/// account and Region, and verified.
///
/// FILE.journal.jsonl records every change before and after it is sent. A run that ends early, for whatever reason,
/// continues with the same command. Ctrl-C lets the calls in flight end. `imdsctl restore FILE.journal.jsonl` takes the
/// changes back.
///
/// Permissions: ec2:DescribeInstances and ec2:ModifyInstanceMetadataOptions; cloudwatch:GetMetricData if the policy has a
/// usage gate.
///
/// Exit codes: 0 every change is made, 1 some are not, 2 error.
#[derive(Args)]
pub struct Arguments {
    /// The plan, as `imdsctl plan` wrote it.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    common: RunArguments,
    /// Apply a plan that is older than 24 hours.
    #[arg(long)]
    stale: bool,
    /// Apply a plan that lets calls without a token succeed: HttpTokens=optional, or HttpEndpoint=enabled where tokens are
    /// not required.
    #[arg(long)]
    allow_loosening: bool,
}

/// What `apply` and `restore` have in common.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// Do not ask. Necessary where standard input is not a terminal.
    #[arg(long)]
    pub yes: bool,
    /// The maximum number of instances to change in this run.
    #[arg(long, value_name = "N")]
    pub max_changes: Option<usize>,
}

/// Runs `imdsctl apply`.
pub async fn run(arguments: &Arguments, out: &mut impl Write) -> Result<Exit> {
    let (name, now) = (input::name(&arguments.file), clock::now());
    // The journal is beside the file itself, whatever link names it.
    let file = fs::canonicalize(&arguments.file).with_context(|| format!("{name} cannot be read"))?;
    ensure!(file.is_file(), "{name} is no file beside which a journal could be kept");
    let bytes = fs::read(&file).with_context(|| format!("{name} cannot be read"))?;
    let plan = Plan::read(&bytes, &name)?;
    check_age(&plan, &name, now, arguments.stale)?;
    let loosening = plan.changes.iter().filter(|change| change.loosens()).count();
    ensure!(
        loosening == 0 || arguments.allow_loosening,
        "{} would let calls without a token succeed, which needs --allow-loosening",
        counted(loosening, "change", "changes")
    );
    if plan.changes.is_empty() {
        writeln!(out, "{}: there is nothing to do", printable(&name))?;
        return Ok(Exit::Compliant);
    }
    let session =
        Session::open(plan.role.as_deref(), plan.policy()?, plan.changes.first().map(|one| &one.region))
            .await?;
    targets::check_accounts(&plan, &session)?;
    let journal = Journal::open(&path_of(&file), &header(&plan, &bytes))?;
    let targets = Targets::new(&plan, &journal.read, now);
    targets.print(&plan, &name, out)?;
    if targets.count() == 0 {
        writeln!(out, "Earlier runs made every change. `imdsctl audit` tells what the instances are now.")?;
        return Ok(Exit::Compliant);
    }
    out.flush()?;
    if !confirm(&format!("Apply {}?", targets.summary()), arguments.common.yes)? {
        journal.discard();
        writeln!(out, "Nothing was changed.")?;
        return Ok(Exit::Findings);
    }
    let at = rfc3339(now)?;
    let run = journal::Run { at, caller: session.identity.arn.clone(), pid: process::id() };
    apply(&session, &plan, &targets, journal.write(run)?, arguments.common.max_changes, out).await
}

fn check_age(plan: &Plan, name: &str, now: OffsetDateTime, is_stale_allowed: bool) -> Result<()> {
    let age = now - plan.created_at;
    if age < -AHEAD {
        bail!("{name} was made in the future, at {}: check this machine's clock", rfc3339(plan.created_at)?);
    }
    if age > FRESH_FOR && !is_stale_allowed {
        bail!(
            "{name} is {} hours old, more than {}. Make a new plan in another file with `imdsctl plan`, or use \
             --stale: what has changed since is not touched in any case",
            age.whole_hours(),
            FRESH_FOR.whole_hours()
        );
    }
    Ok(())
}

/// The first line of the journal of the plan in the file with these `bytes`.
fn header(plan: &Plan, bytes: &[u8]) -> Header {
    let plan_sha256 = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let (policy, role) = (plan.policy.clone(), plan.role.clone());
    Header { version: journal::VERSION, plan_sha256, policy, role }
}

/// The words of `apply` are those of the function.
const WORDS: Words = Words { word: |outcome| outcome.outcome.as_str(), good: "enforced" };

async fn apply<W: Write>(
    session: &Session,
    plan: &Plan,
    targets: &Targets,
    journal: Writer,
    max_changes: Option<usize>,
    out: &mut W,
) -> Result<Exit> {
    let names: HashMap<_, _> = plan.changes.iter().filter_map(PlannedChange::named).collect();
    let ended = {
        let run = Run::new(session, Interrupt::listen(), max_changes, Some(&journal));
        work(&run, &targets.chosen, Report::new(WORDS, names, targets.count(), &mut *out)).await
    };
    // Also if the output cannot be written: what is known is in the journal before the process ends.
    let closed = journal.close();
    let ended = ended?;
    ended.tell(targets.count(), session, out)?;
    closed?;
    Ok(ended.exit(targets.count()))
}

/// How a run ended.
pub struct Worked {
    /// The instances of which nothing is left to do.
    done: usize,
    defects: Vec<String>,
    stopped: Option<String>,
}

/// Does the work of a run and reports it.
///
/// # Errors
/// The output cannot be written.
pub async fn work<W: Write>(run: &Run<'_>, chosen: &AllChosen, report: Report<'_, W>) -> Result<Worked> {
    let on_outcome = |outcome: &InstanceOutcome| report.take(outcome, run.accepted.get());
    let defects = run.run(chosen, &on_outcome).await;
    Ok(Worked { done: report.finish()?, defects, stopped: run.stopped() })
}

impl Worked {
    /// Tells what is left.
    ///
    /// # Errors
    /// The work cannot go on as it is: the credentials have expired, or there was a defect.
    pub fn tell(&self, all: usize, session: &Session, out: &mut impl Write) -> Result<()> {
        let left = all.saturating_sub(self.done);
        if left > 0 {
            let why = self.stopped.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            let left = counted(left, "instance is", "instances are");
            writeln!(
                out,
                "{left} left{}. The same command goes on with what can still be done.",
                printable(&why)
            )?;
        }
        out.flush()?;
        if session.clients().lack_credentials() {
            bail!(RENEW);
        }
        self.defects.first().map_or(Ok(()), |defect| Err(anyhow!("{defect}")))
    }

    /// The exit code, if `all` instances were to be worked on.
    pub fn exit(&self, all: usize) -> Exit {
        if self.done >= all { Exit::Compliant } else { Exit::Findings }
    }
}
