//! The accounts and Regions of a command, and the flags that select them. All commands that call AWS share these flags.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use clap::Args;
use futures_util::{StreamExt, stream};
use imds_core::call_error::{Call, CallError};
use imds_core::ids::{AccountId, AccountRegion, Region};
use imds_core::policy::Policy;
use imds_engine::aws::fleet::Organization;

use crate::session::{ANY_REGION, Session};

/// Which accounts and Regions.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Scope")]
pub struct ScopeArguments {
    /// A Region; can be repeated. By default the Region of the profile or of AWS_REGION.
    #[arg(long = "region", value_name = "REGION", value_parser = Region::new)]
    regions: Vec<Region>,
    /// All Regions that each account has on (ec2:DescribeRegions).
    #[arg(long, conflicts_with = "regions")]
    all_regions: bool,
    /// An account; can be repeated. By default the account of the credentials.
    #[arg(long = "account", value_name = "ID", value_parser = AccountId::new)]
    accounts: Vec<AccountId>,
    /// The active accounts of an organizational unit, or of a root, and of the units below it; can be repeated.
    #[arg(long = "ou", value_name = "ID")]
    units: Vec<String>,
    /// All active accounts of the organization. Needs the credentials of its management account or of a delegated
    /// administrator.
    #[arg(long, conflicts_with_all = ["accounts", "units"])]
    organization: bool,
    /// An account to leave out; can be repeated.
    #[arg(long = "exclude-account", value_name = "ID", value_parser = AccountId::new)]
    excluded: Vec<AccountId>,
    /// The role to assume in other accounts than that of the credentials, as NAME or PATH/NAME.
    #[arg(long, value_name = "NAME")]
    role: Option<String>,
}

/// The Regions of each account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Regions {
    /// These, in every account.
    These(Vec<Region>),
    /// Those that the account has on; this Region is asked.
    On(Region),
}

/// The accounts and their Regions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// In order.
    pub accounts: Vec<AccountId>,
    /// In each of them.
    pub regions: Regions,
}

impl ScopeArguments {
    /// Opens a session that decides by `policy`.
    ///
    /// # Errors
    /// Those of [`Session::open`].
    pub async fn open(&self, policy: Policy) -> Result<Session> {
        Session::open(self.role.as_deref(), policy, self.regions.first()).await
    }

    /// Finds the accounts and Regions.
    ///
    /// # Errors
    /// The flags do not go together, or the accounts of the organization cannot be listed.
    pub async fn resolve(&self, session: &Session) -> Result<Scope> {
        let regions = self.regions(session)?;
        let mut accounts = self.listed(session).await?;
        accounts.retain(|account| !self.excluded.contains(account));
        if accounts.is_empty() {
            bail!(
                "no account is left: the organization or unit has no active account, or --exclude-account names all of them"
            );
        }
        session.check_role(&accounts)?;
        Ok(Scope { accounts: accounts.into_iter().collect(), regions })
    }

    fn regions(&self, session: &Session) -> Result<Regions> {
        if self.all_regions {
            let any = || Region::new(ANY_REGION).context("a Region");
            return Ok(Regions::On(session.default_region.clone().map_or_else(any, Ok)?));
        }
        if !self.regions.is_empty() {
            let regions: BTreeSet<Region> = self.regions.iter().cloned().collect();
            return Ok(Regions::These(regions.into_iter().collect()));
        }
        match &session.default_region {
            Some(region) => Ok(Regions::These(vec![region.clone()])),
            None => bail!("no Region is set: use --region REGION or --all-regions, or set AWS_REGION"),
        }
    }

    async fn listed(&self, session: &Session) -> Result<BTreeSet<AccountId>> {
        let organization = Organization::new(session.clients());
        let cannot = "the accounts of the organization cannot be listed: use the credentials of its management account \
                      or of a delegated administrator, or name accounts with --account";
        if self.organization {
            return Ok(organization.accounts().await.context(cannot)?.into_iter().collect());
        }
        let mut accounts: BTreeSet<AccountId> = self.accounts.iter().cloned().collect();
        for unit in &self.units {
            accounts.extend(organization.accounts_below(unit).await.context(cannot)?);
        }
        if self.accounts.is_empty() && self.units.is_empty() {
            accounts.insert(session.identity.account.clone());
        }
        Ok(accounts)
    }
}

/// How many accounts are asked for their Regions at once.
const AT_ONCE: usize = 32;

impl Scope {
    /// Returns the accounts with their Regions, and the accounts whose Regions cannot be listed, one sentence each.
    pub async fn account_regions(&self, session: &Session) -> (Vec<AccountRegion>, Vec<String>) {
        let listed = async |account| (account, self.regions_of(session, account).await);
        let listed: Vec<_> = stream::iter(&self.accounts).map(listed).buffered(AT_ONCE).collect().await;
        let (mut found, mut unlisted) = (Vec::new(), Vec::new());
        for (account, regions) in listed {
            match regions {
                Ok(regions) => found.extend(
                    regions.into_iter().map(|region| AccountRegion { account: account.clone(), region }),
                ),
                Err(error) => unlisted.push(format!("{account}: its Regions cannot be listed: {error}")),
            }
        }
        (found, unlisted)
    }

    async fn regions_of(&self, session: &Session, account: &AccountId) -> Result<Vec<Region>, CallError> {
        let asked = match &self.regions {
            Regions::These(regions) => return Ok(regions.clone()),
            Regions::On(asked) => asked.clone(),
        };
        if session.clients().lack_credentials() {
            let expired = "it was not called, as the credentials have expired";
            return Err(CallError::without_response(Call::DescribeRegions, expired));
        }
        let account_region = AccountRegion { account: account.clone(), region: asked };
        session.clients().get(&account_region).await.regions().await
    }
}
