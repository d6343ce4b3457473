//! `imdsctl defaults set`.

mod send;
mod wanted;

use std::io::Write;

use anyhow::{Result, bail};
use clap::{ArgGroup, Args, ValueEnum};
use imds_core::ids::AccountRegion;
use imds_core::metadata::{HopLimit, HttpTokens, OptionName, OptionValue, Switch};
use imds_core::text::{Answered, counted};
use imds_engine::aws::fleet::Defaults;

use super::read::{Found, read};
use crate::confirm::confirm;
use crate::exit::Exit;
use crate::output::printable;
use crate::paragraph::WARNING;
use crate::policy::{self, Document};
use crate::scope::ScopeArguments;
use crate::session::Session;
use wanted::{Difference, NO_PREFERENCE, Wanted};

/// Set the defaults for instance metadata options of accounts and Regions
///
/// Shows what would change where, and asks once. Sets what is not so already,
/// one call an account and Region, and reads it back. The defaults apply to
/// launches that name no other value; instances that exist do not change.
/// At least one of --http-... and --instance-metadata-tags is needed.
///
/// Defaults that a declarative policy of the organization manages are left as
/// they are, and named.
///
///     imdsctl defaults set --http-tokens required --organization --role admin
///
/// Permissions: ec2:GetInstanceMetadataDefaults and
/// ec2:ModifyInstanceMetadataDefaults; ec2:DescribeRegions for --all-regions.
///
/// Exit codes: 0 all are as wanted; 1 some are not, as a declarative policy
/// manages them or the answer was no; 2 some could not be read or set, or error.
#[derive(Args)]
#[command(override_usage = "imdsctl defaults set [OPTIONS]")]
#[command(verbatim_doc_comment, group = ArgGroup::new("defaults").required(true).multiple(true))]
pub struct Arguments {
    /// Whether launches require IMDSv2.
    #[arg(long, value_enum, value_name = "WORD", group = "defaults")]
    http_tokens: Option<TokensWord>,
    /// Whether EC2 refuses launches and changes with HttpTokens=optional.
    #[arg(long, value_enum, value_name = "WORD", group = "defaults")]
    http_tokens_enforced: Option<SwitchWord>,
    /// Whether IMDS answers.
    #[arg(long, value_enum, value_name = "WORD", group = "defaults")]
    http_endpoint: Option<SwitchWord>,
    /// The hop limit, 1 to 64, or no-preference.
    #[arg(long, value_name = "HOPS", value_parser = hops, group = "defaults")]
    http_put_response_hop_limit: Option<Hops>,
    /// Whether IMDS shows the tags of the instance.
    #[arg(long, value_enum, value_name = "WORD", group = "defaults")]
    instance_metadata_tags: Option<SwitchWord>,
    /// Set without a question.
    #[arg(long)]
    yes: bool,
    /// Allow that tokens are not required any more, or not enforced.
    #[arg(long)]
    allow_loosening: bool,
    #[command(flatten)]
    scope: ScopeArguments,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum TokensWord {
    Required,
    Optional,
    NoPreference,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SwitchWord {
    Enabled,
    Disabled,
    NoPreference,
}

impl SwitchWord {
    fn switch(self) -> Option<Switch> {
        match self {
            Self::Enabled => Some(Switch::Enabled),
            Self::Disabled => Some(Switch::Disabled),
            Self::NoPreference => None,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::NoPreference => NO_PREFERENCE,
        }
    }
}

/// A hop limit, or no preference.
#[derive(Debug, Clone, Copy)]
struct Hops(Option<HopLimit>);

fn hops(text: &str) -> Result<Hops, String> {
    if text == NO_PREFERENCE {
        return Ok(Hops(None));
    }
    match OptionName::HttpPutResponseHopLimit.parse(text) {
        Some(OptionValue::HttpPutResponseHopLimit(hops)) => Ok(Hops(Some(hops))),
        _ => Err(format!("must be {}, or {NO_PREFERENCE}", OptionName::HttpPutResponseHopLimit.expected())),
    }
}

impl Arguments {
    fn wanted(&self) -> Wanted {
        let tokens = |word| match word {
            TokensWord::Required => Some(HttpTokens::Required),
            TokensWord::Optional => Some(HttpTokens::Optional),
            TokensWord::NoPreference => None,
        };
        let switch = |name, word: Option<SwitchWord>, value: fn(Switch) -> OptionValue| {
            word.map(|word| (name, word.switch().map(value)))
        };
        let tokens = self.http_tokens.map(|word| tokens(word).map(OptionValue::HttpTokens));
        let hops =
            self.http_put_response_hop_limit.map(|hops| hops.0.map(OptionValue::HttpPutResponseHopLimit));
        let options = [
            tokens.map(|tokens| (OptionName::HttpTokens, tokens)),
            switch(OptionName::HttpEndpoint, self.http_endpoint, OptionValue::HttpEndpoint),
            hops.map(|hops| (OptionName::HttpPutResponseHopLimit, hops)),
            switch(
                OptionName::InstanceMetadataTags,
                self.instance_metadata_tags,
                OptionValue::InstanceMetadataTags,
            ),
        ];
        let enforced = self.http_tokens_enforced.map(SwitchWord::as_str);
        Wanted { options: options.into_iter().flatten().collect(), enforced }
    }
}

/// What is to become of the accounts and Regions.
#[derive(Default)]
struct Plan<'f> {
    already: usize,
    /// A declarative policy manages them.
    managed: Vec<(&'f AccountRegion, &'f Defaults)>,
    changes: Vec<(&'f AccountRegion, &'f Defaults, Vec<Difference>)>,
}

impl<'f> Plan<'f> {
    fn new(found: &'f Found, wanted: &Wanted) -> Self {
        let mut plan = Self::default();
        for row in &found.rows {
            let Some(defaults) = row.defaults() else { continue };
            let differences = wanted.differences(defaults);
            if differences.is_empty() {
                plan.already += 1;
            } else if defaults.managed_by.as_deref() == Some("declarative-policy") {
                plan.managed.push((&row.account_region, defaults));
            } else {
                plan.changes.push((&row.account_region, defaults, differences));
            }
        }
        plan
    }

    fn print(&self, wanted: &Wanted, out: &mut impl Write) -> Result<()> {
        for (AccountRegion { account, region }, _, differences) in &self.changes {
            let each = differences.iter().map(|one| format!("{}: {} -> {}", one.name, one.now, one.wanted));
            writeln!(out, "{account} {region}: {}", each.collect::<Vec<_>>().join(", "))?;
        }
        for (AccountRegion { account, region }, defaults) in &self.managed {
            let message = defaults.managed_exception_message.as_deref();
            let message = message.map(|message| format!(": {}", Answered(message))).unwrap_or_default();
            writeln!(out, "{account} {region}: left as it is, a declarative policy manages it{message}")?;
        }
        if self.already > 0 {
            writeln!(out, "{} as wanted already", places(self.already))?;
        }
        self.print_warnings(wanted, out)
    }

    /// Prints which launches fail once tokens are enforced.
    fn print_warnings(&self, wanted: &Wanted, out: &mut impl Write) -> Result<()> {
        let enforces = |one: &Difference| one.name == "HttpTokensEnforced" && one.wanted == "enabled";
        if self.changes.iter().any(|(.., differences)| differences.iter().any(enforces)) {
            let text = "from then on, launches with HttpTokens=optional fail there";
            writeln!(out, "{WARNING}warning{WARNING:#}: {text}")?;
        }
        let plain = self.changes.iter().filter(|(_, now, _)| wanted.fails_plain_launches(now)).count();
        if plain > 0 {
            let text = "launches that name no HttpTokens fail as well, unless their image has ImdsSupport=v2.0: the \
                        default does not require tokens";
            writeln!(out, "{WARNING}warning{WARNING:#}: in {}, {text}", places(plain))?;
        }
        Ok(())
    }

    /// # Errors
    /// Tokens would not be required any more, or not enforced, and that is not allowed.
    fn check_loosening(&self) -> Result<()> {
        let is_loosening = |differences: &[Difference]| differences.iter().any(|one| one.is_loosening);
        let mut loosened = self.changes.iter().filter(|(.., differences)| is_loosening(differences));
        let Some((AccountRegion { account, region }, ..)) = loosened.next() else { return Ok(()) };
        let more = match loosened.count() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        bail!(
            "{account} {region}{more}: tokens would not be required any more, or not enforced; nothing was set. To set \
             it anyway, use --allow-loosening"
        )
    }
}

impl Plan<'_> {
    fn confirm(&self, yes: bool) -> Result<bool> {
        confirm(&format!("Set the defaults of {}?", places(self.changes.len())), yes)
    }

    /// Sets the defaults. Returns what was not set, one sentence each.
    async fn send(&self, session: &Session, wanted: &Wanted, out: &mut impl Write) -> Result<Vec<String>> {
        if self.changes.is_empty() {
            return Ok(Vec::new());
        }
        let changes = self.changes.iter().map(|(account_region, now, _)| (*account_region, *now)).collect();
        let failed = send::all(session, wanted, changes).await;
        print(&failed);
        writeln!(out, "{} set and read back", places(self.changes.len() - failed.len()))?;
        Ok(failed)
    }
}

fn places(count: usize) -> String {
    counted(count as u64, "account and Region", "accounts and Regions")
}

/// Runs `imdsctl defaults set`.
pub async fn run(arguments: &Arguments, out: &mut impl Write) -> Result<Exit> {
    let wanted = arguments.wanted();
    let Document { policy, .. } = policy::document(None)?;
    let session = arguments.scope.open(policy).await?;
    let scope = arguments.scope.resolve(&session).await?;
    let found = read(&session, &scope).await;
    let plan = Plan::new(&found, &wanted);
    plan.print(&wanted, out)?;
    out.flush()?;
    let mut errors = found.errors(&session);
    print(&errors);
    if !arguments.allow_loosening {
        plan.check_loosening()?;
    }
    let is_set = match plan.changes.is_empty() || plan.confirm(arguments.yes)? {
        true => {
            errors.extend(plan.send(&session, &wanted, out).await?);
            true
        }
        false => {
            writeln!(out, "nothing was set")?;
            false
        }
    };
    let is_done = is_set && plan.managed.is_empty();
    Ok(match (errors.is_empty(), is_done) {
        (false, _) => Exit::Error,
        (true, false) => Exit::Findings,
        (true, true) => Exit::Compliant,
    })
}

fn print(errors: &[String]) {
    for error in errors {
        // The exit code reports the error even if it cannot be printed.
        let _ = writeln!(anstream::stderr(), "imdsctl: {}", printable(error));
    }
}
