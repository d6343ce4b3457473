//! `imdsctl restore`: what was changed → as it was.

mod log;
mod made;

use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use imds_core::outcome::{InstanceOutcome, Outcome};
use imds_engine::reconcile::{Chosen, Wanted};
use time::Duration;

use crate::apply::{AllChosen, Interrupt, Report, Run, RunArguments, Words, summary, work};
use crate::confirm::confirm;
use crate::exit::Exit;
use crate::session::Session;
use crate::{input, policy};
use log::Changed;
use made::Made;

/// The age of a change that is restored, whose instance is gone if EC2 does not show it.
const AGE: Duration = Duration::days(1);

/// Set options back to what they were before a change
///
/// FILE is the journal of `imdsctl apply`, or log lines of the function: one JSON object a line, with or without the
/// time before it, or what `aws logs filter-log-events` prints. Every option is restored for itself, where its value is
/// still the one that was set. What differs is named and left.
///
/// What the policy would change back at the next event is left as well, unless --anyway: exempt the instances in the
/// policy first, and name its file with --policy. Where the policy asks for the use of IMDSv1, that counts as changing
/// back. What EC2 made of a change that the log calls denied, failed or throttled is not restored.
///
/// Permissions: ec2:DescribeInstances and ec2:ModifyInstanceMetadataOptions.
///
/// Exit codes: 0 every option is as before, 1 some are left, 2 error.
#[derive(Args)]
pub struct Arguments {
    /// The journal, or the log lines; - means standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    common: RunArguments,
    /// Let IMDSv1 be answered again: set HttpTokens=optional, and HttpEndpoint=enabled where tokens are optional.
    #[arg(long)]
    allow_loosening: bool,
    /// Restore also what the policy would change back at the next event.
    #[arg(long)]
    anyway: bool,
    /// The policy file. The default is the policy of the plan for a journal, and for log lines the policy that
    /// imds-enforcer is deployed with.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// The role to assume in other accounts, as NAME or PATH/NAME. The default for a journal is that of the plan.
    #[arg(long, value_name = "NAME")]
    role: Option<String>,
}

/// Runs `imdsctl restore`.
pub async fn run(arguments: &Arguments, out: &mut impl Write) -> Result<Exit> {
    let name = input::name(&arguments.file);
    // Keeps the journal locked to the end, so that `apply` cannot change the same instances at the same time.
    let Made { changes, policy: of_plan, role, held: _held } = made::read(&arguments.file)?;
    ensure!(!changes.is_empty(), "{name} has no change that could be restored");
    let policy = match (&arguments.policy, of_plan) {
        (None, Some(of_plan)) => of_plan,
        (file, _) => policy::document(file.as_deref())?.policy,
    };
    let near = changes.values().next().map(|changed| &changed.account_region.region);
    let session = Session::open(arguments.role.as_deref().or(role.as_deref()), policy, near).await?;
    session.check_role(changes.values().map(|changed| &changed.account_region.account))?;
    let chosen = arguments.chosen(changes);
    out.flush()?;
    let question = format!("Restore {}?", summary(&chosen, "instance", "instances"));
    if !confirm(&question, arguments.common.yes)? {
        writeln!(out, "Nothing was changed.")?;
        return Ok(Exit::Findings);
    }
    let all = chosen.values().map(Vec::len).sum();
    let run = Run::new(&session, Interrupt::listen(), arguments.common.max_changes, None);
    let ended = work(&run, &chosen, Report::new(WORDS, HashMap::new(), all, &mut *out)).await?;
    ended.tell(all, &session, out)?;
    Ok(ended.exit(all))
}

impl Arguments {
    fn chosen(&self, changes: made::Changes) -> AllChosen {
        let mut all = AllChosen::new();
        for (id, Changed { account_region, set, before }) in changes {
            let restoration = imds_core::restore::Restoration {
                set,
                before,
                allow_loosening: self.allow_loosening,
                anyway: self.anyway,
            };
            let wanted = Wanted::Restored(restoration);
            all.entry(account_region).or_default().push(Chosen { id, age: AGE, wanted });
        }
        all
    }
}

/// The words of `restore`, whose changes enforce nothing.
const WORDS: Words = Words { word, good: "restored" };

fn word(outcome: &InstanceOutcome) -> &'static str {
    match outcome.outcome {
        Outcome::Enforced if outcome.warnings.is_empty() => "restored",
        Outcome::Enforced => "restored-in-part",
        Outcome::Compliant => "as-before",
        Outcome::ChangedSincePlan => "left",
        outcome => outcome.as_str(),
    }
}
