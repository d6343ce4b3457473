//! `imdsctl explain`: decide offline.

mod needs;
mod print;
mod raw;
mod read;

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Args;
use imds_core::decide::{Facts, decide};
use imds_core::ids::{AccountId, Region};
use imds_core::policy::Policy;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::exit::Exit;
use crate::{clock, input, policy};
use needs::Needs;
use print::{Explained, Printer};
use read::{Described, Place, ReadError};

/// Explain what a policy would change on instances, and why, offline
///
/// Reads what `aws ec2 describe-instances` prints:
///
///     aws ec2 describe-instances | imdsctl explain --policy policy.json
///
/// A --query of the AWS CLI may shorten the input to a list of instances that
/// has the fields which the decisions need. If a field is missing, the error
/// names the query that keeps it.
///
/// The decisions are compliant, change, exempt, out-of-scope, blocked and
/// needs-usage: the function would ask CloudWatch whether the instance uses
/// IMDSv1, and then decide. They are printed while the input is read. The first
/// error ends them.
///
/// Exit codes: 0 all are compliant, exempt or out of scope; 1 something would
/// change, is blocked or needs its usage; 2 error.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The policy file; - means standard input.
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// The time to decide for, such as 2027-03-31T12:00:00Z; defaults to the current time.
    #[arg(long, value_name = "RFC3339", value_parser = parse_time)]
    now: Option<OffsetDateTime>,
    /// The account that owns the instances; defaults to the OwnerId of their reservation.
    #[arg(long, value_name = "ID", value_parser = AccountId::new)]
    account: Option<AccountId>,
    /// The Region of the instances; defaults to that of their Availability Zone.
    #[arg(long, value_name = "NAME", value_parser = Region::new)]
    region: Option<Region>,
    /// Print a JSON list of {account, region, instanceId, name, mode, decision, before, change, reasons, warnings}, with
    /// the names and values of the function's outcomes.
    #[arg(long)]
    json: bool,
    /// The file with the instances; - or no file means standard input.
    #[arg(value_name = "INSTANCES.json", default_value = "-", hide_default_value = true)]
    instances: PathBuf,
}

fn parse_time(text: &str) -> Result<OffsetDateTime, String> {
    OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| "must be a time such as 2027-03-31T12:00:00Z".to_owned())
}

/// Runs `imdsctl explain`.
pub fn run(arguments: &Arguments, out: &mut impl Write) -> Result<Exit> {
    if input::is_stdin(&arguments.policy) && input::is_stdin(&arguments.instances) {
        bail!(
            "standard input cannot be both the policy and the instances; name a file for one of them, as in \
             `imdsctl explain --policy policy.json`"
        );
    }
    let decider = Decider::new(arguments)?;
    let name = input::name(&arguments.instances);
    let document = input::read(&arguments.instances).with_context(|| format!("{name} cannot be read"))?;
    let mut printer = Printer::new(arguments.json, out);
    let read = read::for_each(&document, &mut |described| Ok(printer.print(&decider.explain(described)?)?));
    read.map_err(|error| match error {
        ReadError::NotJson(what) => anyhow!("{name} {what}"),
        ReadError::Shape(what) => anyhow!(
            "{name}: {what}\nThe decisions need the output of `aws ec2 describe-instances`, or this part of it:\n  {}",
            decider.needs.query()
        ),
        ReadError::Ended(error) => error.context(name),
    })?;
    Ok(printer.finish()?)
}

/// An account and a Region for policies that do not depend on them.
const NO_ACCOUNT: &str = "000000000000";
const NO_REGION: &str = "no-region-0";

/// Decides on instances.
struct Decider<'a> {
    arguments: &'a Arguments,
    policy: Policy,
    now: OffsetDateTime,
    needs: Needs,
}

impl<'a> Decider<'a> {
    fn new(arguments: &'a Arguments) -> Result<Self> {
        let policy = policy::read(&arguments.policy)?;
        let needs = Needs::of(&policy, arguments.account.is_some(), arguments.region.is_some());
        Ok(Self { arguments, policy, now: arguments.now.unwrap_or_else(clock::now), needs })
    }

    /// Decides on an instance.
    ///
    /// # Errors
    /// The place, and what the decision needs there and the input lacks.
    fn explain(&self, Described { place, owner, raw }: Described<'_>) -> Result<Explained> {
        ensure!(raw.instance_id.is_some(), self.lack(place, &["InstanceId"]));
        let instance = raw.instance(owner).with_context(|| format!("{place}.InstanceId"))?;
        let account = self.arguments.account.clone().or_else(|| instance.owner.clone());
        if account.is_none() && self.needs.account {
            bail!("{place}: the account is unknown because there is no OwnerId; set it with --account");
        }
        let region = self.arguments.region.clone().or_else(|| raw.region());
        if region.is_none() && self.needs.region {
            bail!(
                "{place}: the Region is unknown because there is no Availability Zone; set it with --region"
            );
        }
        let facts = Facts {
            account: &account.clone().unwrap_or(AccountId::new(NO_ACCOUNT)?),
            region: &region.clone().unwrap_or(Region::new(NO_REGION)?),
            instance: &instance,
            tokens_enforced: None,
            is_launch: false,
            usage: None,
            group: None,
        };
        let decision = decide(&self.policy, &facts, self.now);
        let missing = self.needs.missing(place, &raw, &decision);
        ensure!(missing.is_empty(), self.lack(place, &missing));
        Ok(Explained { account, region, instance, decision })
    }

    fn lack(&self, place: &Place, fields: &[impl AsRef<str>]) -> String {
        let fields: Vec<&str> = fields.iter().map(AsRef::as_ref).collect();
        format!(
            "{place} lacks {}, which the decision needs. This keeps it:\n  {}",
            fields.join(", "),
            self.needs.query()
        )
    }
}
