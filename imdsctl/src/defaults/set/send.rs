//! Sets defaults and reads them back.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use imds_core::call_error::CallError;
use imds_core::ids::AccountRegion;
use imds_engine::aws::client::RegionClient;
use imds_engine::aws::fleet::Defaults;

use super::super::read::AT_ONCE;
use super::wanted::Wanted;
use crate::session::{RENEW, Session};

/// How often defaults are read back until they are as wanted.
const READS: u32 = 5;

/// The time between them: EC2 allows 2 calls a second.
const BETWEEN: Duration = Duration::from_millis(500);

/// Sets the defaults of accounts and Regions with these defaults, many at once. Returns those that are not as wanted
/// then, one sentence each.
///
/// It is one call an account and Region, where EC2 allows 2 a second. The SDK sends it again after a throttle.
pub async fn all(
    session: &Session,
    wanted: &Wanted,
    changes: Vec<(&AccountRegion, &Defaults)>,
) -> Vec<String> {
    let set = async |(account_region, now): (&AccountRegion, &Defaults)| {
        let AccountRegion { account, region } = account_region;
        if session.clients().lack_credentials() {
            return Some(format!("{account} {region}: not set, as the credentials have expired: {RENEW}"));
        }
        let client = session.clients().get(account_region).await;
        one(&client, wanted, now).await.err().map(|why| format!("{account} {region}: {why}"))
    };
    let failed: Vec<Option<String>> = stream::iter(changes).map(set).buffered(AT_ONCE).collect().await;
    failed.into_iter().flatten().collect()
}

async fn one(client: &RegionClient, wanted: &Wanted, now: &Defaults) -> Result<(), String> {
    let sent = client.set_defaults(&wanted.change(now)).await;
    match sent {
        // The response may have been lost: what EC2 says then counts.
        Err(error) if !error.kind().may_have_effect() => return Err(format!("not set: {error}")),
        _ => {}
    }
    for read in 0..READS {
        if read > 0 {
            tokio::time::sleep(BETWEEN).await;
        }
        match client.defaults().await {
            Ok(defaults) if wanted.differences(&defaults).is_empty() => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(unknown(&sent, &format!("they could not be read back: {error}"))),
        }
    }
    Err(unknown(&sent, "EC2 still reports others"))
}

fn unknown(sent: &Result<(), CallError>, why: &str) -> String {
    match sent {
        Ok(()) => format!("EC2 accepted the defaults, but {why}"),
        Err(error) => format!("it is not known whether the defaults were set: {error}; {why}"),
    }
}
