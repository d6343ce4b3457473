//! The instances of a plan that are left to change.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use anyhow::{Result, bail};
use imds_core::ids::{AccountId, AccountRegion};
use imds_core::text::{counted, plural};
use imds_engine::reconcile::{Chosen, Planned, Wanted};
use time::{Duration, OffsetDateTime};

use super::journal::{Progress, Read};
use super::run::AllChosen;
use crate::output::printable;
use crate::plan::document::{Plan, PlannedChange};
use crate::session::Session;

/// The instances that are left, and how many earlier runs have done.
pub struct Targets {
    pub chosen: AllChosen,
    done: usize,
}

impl Targets {
    /// The instances of the plan, without those that are done.
    pub fn new(plan: &Plan, read: &Read, now: OffsetDateTime) -> Self {
        let age = (now - plan.created_at).max(Duration::ZERO);
        let mut targets = Self { chosen: AllChosen::new(), done: 0 };
        for change in &plan.changes {
            let progress = read.instances.get(&change.instance_id);
            if progress.is_some_and(Progress::is_done) {
                targets.done += 1;
                continue;
            }
            let planned = Planned {
                change: change.change,
                accepted: progress.map(|progress| progress.accepted).unwrap_or_default(),
                may_be_made: progress.is_some_and(|progress| !progress.uncertain.is_empty()),
            };
            let chosen = Chosen { id: change.instance_id.clone(), age, wanted: Wanted::Planned(planned) };
            targets.chosen.entry(account_region(change)).or_default().push(chosen);
        }
        targets
    }

    /// The number of instances.
    pub fn count(&self) -> usize {
        self.chosen.values().map(Vec::len).sum()
    }

    /// The number of changes and of accounts, in words.
    pub fn summary(&self) -> String {
        summary(&self.chosen, "change", "changes")
    }

    /// Prints what would be done where.
    pub fn print(&self, plan: &Plan, name: &str, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "{}: {}, made by {}", printable(name), self.summary(), printable(&plan.caller))?;
        for (AccountRegion { account, region }, chosen) in &self.chosen {
            let instances = counted(chosen.len(), "instance", "instances");
            writeln!(out, "  {account} {region}: {instances} ({})", options(chosen))?;
        }
        if self.done > 0 {
            let done = counted(self.done, "change is", "changes are");
            writeln!(out, "{done} done already, by earlier runs.")?;
        }
        if !plan.complete {
            let errors = counted(plan.errors.len(), "error", "errors");
            writeln!(
                out,
                "The plan is incomplete: there {} {errors} when it was made.",
                plural(plan.errors.len(), "was", "were")
            )?;
        }
        Ok(())
    }
}

/// How many instances get each value, in words.
fn options(chosen: &[Chosen]) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for chosen in chosen {
        let Wanted::Planned(Planned { change, .. }) = &chosen.wanted else { continue };
        change.options().iter().for_each(|value| *counts.entry(value.to_string()).or_default() += 1);
    }
    let each: Vec<String> = counts.iter().map(|(value, count)| format!("{value} on {count}")).collect();
    each.join(", ")
}

fn account_region(change: &PlannedChange) -> AccountRegion {
    AccountRegion { account: change.account.clone(), region: change.region.clone() }
}

/// The number of instances, as `one` or `many`, and of accounts, in words.
pub fn summary(chosen: &AllChosen, one: &str, many: &str) -> String {
    let accounts: BTreeSet<&AccountId> =
        chosen.keys().map(|account_region| &account_region.account).collect();
    let count: usize = chosen.values().map(Vec::len).sum();
    format!("{} in {}", counted(count, one, many), counted(accounts.len(), "account", "accounts"))
}

/// Makes sure that the credentials are those of the account of the plan's caller, and that other accounts can be reached.
pub fn check_accounts(plan: &Plan, session: &Session) -> Result<()> {
    let own = &session.identity.account;
    let of_plan = plan.caller.split(':').nth(4).unwrap_or_default();
    if of_plan != own.as_str() {
        bail!(
            "the plan was made with credentials of account {of_plan}, and these are of account {own}: use those, or make a \
             new plan with these"
        );
    }
    session.check_role(plan.changes.iter().map(|change| &change.account))
}
