//! The accounts of an organization.

use aws_sdk_organizations::Client;
use aws_sdk_organizations::types::{Account, AccountState, AccountStatus};
use imds_core::call_error::{Call, CallError};
use imds_core::ids::AccountId;

use super::super::clients::RegionClients;
use super::super::error::call_error;
use super::super::settings::{retries, timeouts};

/// The organization of the own account, which must be its management account or a delegated administrator.
#[derive(Debug)]
pub struct Organization<'c> {
    client: Client,
    clients: &'c RegionClients,
}

impl<'c> Organization<'c> {
    /// Calls Organizations with the own credentials of `clients`.
    pub fn new(clients: &'c RegionClients) -> Self {
        let config = aws_sdk_organizations::config::Builder::from(clients.shared());
        let config = config.retry_config(retries()).timeout_config(timeouts()).build();
        Self { client: Client::from_conf(config), clients }
    }

    /// Returns the active accounts of the organization.
    ///
    /// # Errors
    /// The error of Organizations, or that it did not respond.
    pub async fn accounts(&self) -> Result<Vec<AccountId>, CallError> {
        let mut pages = self.client.list_accounts().into_paginator().send();
        let mut active = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.error(Call::ListAccounts, &error))?;
            active.extend(page.accounts.iter().flatten().filter_map(active_id));
        }
        Ok(active)
    }

    /// Returns the active accounts in an organizational unit, or a root, and in the units below it.
    ///
    /// # Errors
    /// The error of Organizations, or that it did not respond.
    pub async fn accounts_below(&self, unit: &str) -> Result<Vec<AccountId>, CallError> {
        let (mut active, mut units) = (Vec::new(), vec![unit.to_owned()]);
        while let Some(unit) = units.pop() {
            let mut pages = self.client.list_accounts_for_parent().parent_id(&unit).into_paginator().send();
            while let Some(page) = pages.next().await {
                let page = page.map_err(|error| self.error(Call::ListAccountsForParent, &error))?;
                active.extend(page.accounts.iter().flatten().filter_map(active_id));
            }
            units.extend(self.units_in(&unit).await?);
        }
        Ok(active)
    }

    async fn units_in(&self, unit: &str) -> Result<Vec<String>, CallError> {
        let request = self.client.list_organizational_units_for_parent().parent_id(unit);
        let mut pages = request.into_paginator().send();
        let mut units = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.error(Call::ListOrganizationalUnitsForParent, &error))?;
            units.extend(page.organizational_units.into_iter().flatten().filter_map(|unit| unit.id));
        }
        Ok(units)
    }

    fn error<E>(&self, call: Call, error: &aws_sdk_ec2::error::SdkError<E>) -> CallError
    where
        E: std::error::Error + aws_sdk_ec2::error::ProvideErrorMetadata + 'static,
    {
        self.clients.lack().note(error);
        call_error(call, error)
    }
}

/// The ID of an account that is in use. Organizations replaces `Status` by `State`; an endpoint may send either.
fn active_id(account: &Account) -> Option<AccountId> {
    let is_active = match (account.state(), account.status()) {
        (Some(state), _) => *state == AccountState::Active,
        (None, Some(status)) => *status == AccountStatus::Active,
        (None, None) => false,
    };
    AccountId::new(account.id()?).ok().filter(|_| is_active)
}
