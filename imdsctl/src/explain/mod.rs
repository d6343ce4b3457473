//! `imdsctl explain`: decide offline.

mod print;
mod read;

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use imds_core::decide::{Facts, Verdict, decide};
use imds_core::ids::{AccountId, Region};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::clock;
use crate::exit::Exit;
use crate::policy;
use print::Explained;

/// Explain what a policy would change on instances, and why, without calling AWS.
///
/// Reads the output of `aws ec2 describe-instances`, or a list of instances:
///
///     aws ec2 describe-instances | imdsctl explain --policy policy.json
///
/// Exit codes: 0 all are compliant, exempt or out of scope; 1 something would change or is blocked; 2 error.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The policy file.
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
    /// Print a JSON list of {instanceId, decision, change, reasons, warnings}.
    #[arg(long)]
    json: bool,
    /// The file with the instances; - or no file means standard input.
    #[arg(value_name = "INSTANCES.json")]
    instances: Option<PathBuf>,
}

fn parse_time(text: &str) -> Result<OffsetDateTime, String> {
    OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| "must be a time such as 2027-03-31T12:00:00Z".to_owned())
}

/// Runs `imdsctl explain`.
pub fn run(arguments: &Arguments, out: &mut impl Write) -> Result<Exit> {
    let policy = policy::read(&arguments.policy)?;
    let now = arguments.now.unwrap_or_else(clock::now);
    let mut explained = Vec::new();
    for described in read::read(arguments.instances.as_deref())? {
        let place = &described.place;
        let Some(account) = arguments.account.as_ref().or(described.instance.owner.as_ref()) else {
            bail!("{place}: the account is unknown because there is no OwnerId; set it with --account");
        };
        let Some(region) = arguments.region.as_ref().or(described.region.as_ref()) else {
            bail!(
                "{place}: the Region is unknown because there is no Availability Zone; set it with --region"
            );
        };
        let facts = Facts { account, region, instance: &described.instance, tokens_enforced: None };
        let decision = decide(&policy, &facts, now);
        if let Verdict::Incomplete { missing } = &decision.verdict {
            let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
            bail!("{place}: the decision needs {}, which the input lacks", names.join(", "));
        }
        explained.push(Explained { described, decision });
    }
    if arguments.json {
        print::json(&explained, out)?
    } else {
        print::text(&explained, out)?
    }
    let is_finding =
        |e: &Explained| matches!(e.decision.verdict, Verdict::Change { .. } | Verdict::Blocked { .. });
    Ok(if explained.iter().any(is_finding) { Exit::Findings } else { Exit::Compliant })
}
