//! Reads the defaults of a scope.

use futures_util::{StreamExt, stream};
use imds_core::call_error::{Call, CallError};
use imds_core::ids::AccountRegion;
use imds_engine::aws::fleet::Defaults;

use crate::scope::Scope;
use crate::session::{RENEW, Session};

/// How many accounts and Regions are asked at once.
pub const AT_ONCE: usize = 32;

/// What an account and Region answered.
#[derive(Debug)]
pub struct Read {
    /// The account and Region.
    pub account_region: AccountRegion,
    /// Its defaults, or why they could not be read.
    pub answer: Result<Defaults, CallError>,
}

impl Read {
    /// The defaults, if they could be read.
    pub fn defaults(&self) -> Option<&Defaults> {
        self.answer.as_ref().ok()
    }
}

/// What the accounts and Regions of a scope answered.
#[derive(Debug)]
pub struct Found {
    /// In order.
    pub rows: Vec<Read>,
    /// The accounts whose Regions could not be listed, one sentence each.
    unlisted: Vec<String>,
}

impl Found {
    /// Returns what could not be read, one sentence each.
    pub fn errors(&self, session: &Session) -> Vec<String> {
        let unread = self.rows.iter().filter_map(|row| {
            let AccountRegion { account, region } = &row.account_region;
            let error = row.answer.as_ref().err()?;
            Some(format!("{account} {region}: the defaults cannot be read: {error}"))
        });
        let expired = session.clients().lack_credentials();
        let expired = expired.then(|| format!("the credentials have expired: {RENEW}"));
        self.unlisted.iter().cloned().chain(unread).chain(expired).collect()
    }
}

/// Reads the defaults of every account and Region of the scope, many at once. After the caller's credentials have
/// expired, no more are asked for.
pub async fn read(session: &Session, scope: &Scope) -> Found {
    let (account_regions, unlisted) = scope.account_regions(session).await;
    let read = async |account_region: AccountRegion| {
        let answer = defaults(session, &account_region).await;
        Read { account_region, answer }
    };
    let rows = stream::iter(account_regions).map(read).buffered(AT_ONCE).collect().await;
    Found { rows, unlisted }
}

async fn defaults(session: &Session, account_region: &AccountRegion) -> Result<Defaults, CallError> {
    if session.clients().lack_credentials() {
        return Err(CallError::without_response(
            Call::GetInstanceMetadataDefaults,
            "the credentials have expired",
        ));
    }
    session.clients().get(account_region).await.defaults().await
}
