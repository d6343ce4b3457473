//! (account, Region) → client, with our own credentials or those of the member role.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::identity::IdentityCache;
use aws_config::sts::AssumeRoleProvider;
use aws_credential_types::provider::SharedCredentialsProvider;
use imds_core::call_error::Call;
use imds_core::ids::{AccountId, AccountRegion, Region};
use tokio::sync::{Mutex, Semaphore};

use super::call_counts::Count;
use super::client::{RegionClient, SdkClients};

/// How many clients are cached: more than a batch is likely to name, and few enough to keep memory
/// small.
const CACHED: usize = 256;

/// How many calls to EC2 the process makes at once. Lambda allows 1,024 open files.
const CALLS_AT_ONCE: usize = 200;

/// The shortest that STS gives, 15 minutes: as long as the longest invocation. It is renewed while there is work.
const SESSION_LENGTH: Duration = Duration::from_secs(900);

/// The role that the function assumes in other accounts.
#[derive(Debug, Clone)]
pub struct MemberRole {
    /// `NAME`, or `PATH/NAME`: the same in every account.
    pub name: String,
    /// What CloudTrail shows in those accounts as the session's name: who acts, and what for.
    pub session: String,
}

impl MemberRole {
    /// The settings of `shared`, with the role's credentials in `account`. They are fetched at first use, kept for all
    /// clients that are made with these settings, and renewed before they expire.
    pub async fn settings(&self, shared: &SdkConfig, partition: &str, account: &AccountId) -> SdkConfig {
        let arn = format!("arn:{partition}:iam::{account}:role/{}", self.name);
        let provider = AssumeRoleProvider::builder(arn)
            .session_name(self.session.as_str())
            .session_length(SESSION_LENGTH)
            .configure(shared)
            .build()
            .await;
        shared
            .to_builder()
            .credentials_provider(SharedCredentialsProvider::new(provider))
            .identity_cache(IdentityCache::lazy().build())
            .build()
    }
}

/// Clients, made at first use and kept within bounds: connections, credentials and rate limits outlive an invocation.
#[derive(Debug)]
pub struct RegionClients {
    shared: SdkConfig,
    /// Our own credentials in our own Region. Made before the first event, as most functions need no other.
    home: Option<(Region, SdkClients)>,
    modify_rate: f64,
    member_role: Option<MemberRole>,
    own: OnceLock<Own>,
    slots: Arc<Semaphore>,
    cache: Mutex<ClientCache>,
}

/// Whose function this is.
#[derive(Debug)]
struct Own {
    partition: String,
    account: AccountId,
}

/// The clients that are kept for later.
#[derive(Debug, Default)]
struct ClientCache {
    /// With the number of the use that was its last.
    clients: HashMap<AccountRegion, (RegionClient, u64)>,
    /// The settings of each account, which hold its credentials.
    settings: HashMap<AccountId, SdkConfig>,
    uses: u64,
    /// The counts of those that were evicted.
    counts: Vec<(AccountRegion, BTreeMap<Call, Count>)>,
}

impl RegionClients {
    /// Reaches EC2 with the credentials and settings of `shared`, and in other accounts than our own with those of
    /// `member_role`, if there is one; `modify_rate` is changes a second, per account and Region.
    pub fn new(shared: SdkConfig, modify_rate: f64, member_role: Option<MemberRole>) -> Self {
        let slots = Arc::new(Semaphore::new(CALLS_AT_ONCE));
        let region = shared.region().and_then(|region| Region::new(region.as_ref()).ok());
        let home = region.map(|region| (region.clone(), SdkClients::new(&shared, &region)));
        Self { shared, home, modify_rate, member_role, own: OnceLock::new(), slots, cache: Mutex::default() }
    }

    /// Takes the ARN of the function, which Lambda tells at each invocation: it says which account is our own.
    pub fn invoked_as(&self, function_arn: &str) {
        let mut parts = function_arn.split(':').skip(1);
        let partition = parts.next().unwrap_or_default().to_owned();
        if let Some(Ok(account)) = parts.nth(2).map(AccountId::new) {
            // The same at each invocation.
            let _ = self.own.set(Own { partition, account });
        }
    }

    /// The client of `account_region`.
    pub async fn get(&self, account_region: &AccountRegion) -> RegionClient {
        let mut cache = self.cache.lock().await;
        cache.uses += 1;
        let uses = cache.uses;
        if let Some((client, last_use)) = cache.clients.get_mut(account_region) {
            *last_use = uses;
            return client.clone();
        }
        cache.evict();
        let role = self.member_role.as_ref().filter(|_| !self.is_own(&account_region.account));
        let sdk = match role {
            None => self.own_sdk_clients(&account_region.region),
            Some(role) => SdkClients::new(
                self.settings(role, &account_region.account, &mut cache).await,
                &account_region.region,
            ),
        };
        let client = RegionClient::new(sdk, Arc::clone(&self.slots), role.is_some(), self.modify_rate);
        cache.clients.insert(account_region.clone(), (client.clone(), uses));
        client
    }

    fn is_own(&self, account: &AccountId) -> bool {
        self.own.get().is_some_and(|own| own.account == *account)
    }

    fn own_sdk_clients(&self, region: &Region) -> SdkClients {
        match &self.home {
            Some((home, sdk)) if home == region => sdk.clone(),
            _ => SdkClients::new(&self.shared, region),
        }
    }

    async fn settings<'k>(
        &self,
        role: &MemberRole,
        account: &AccountId,
        cache: &'k mut ClientCache,
    ) -> &'k SdkConfig {
        if !cache.settings.contains_key(account) {
            let partition = self.own.get().map_or("aws", |own| &own.partition);
            let settings = role.settings(&self.shared, partition, account).await;
            cache.settings.insert(account.clone(), settings);
        }
        &cache.settings[account]
    }

    /// The calls since this was last asked for, where there were any.
    pub async fn take_counts(&self) -> Vec<(AccountRegion, BTreeMap<Call, Count>)> {
        let mut cache = self.cache.lock().await;
        let mut counts = std::mem::take(&mut cache.counts);
        let cached = cache.clients.iter();
        counts.extend(
            cached.map(|(account_region, (client, _))| (account_region.clone(), client.take_counts())),
        );
        counts.retain(|(_, counts)| !counts.is_empty());
        counts
    }
}

impl ClientCache {
    /// Evicts the client that was used longest ago, if there is no room for another. Existing clones stay valid.
    fn evict(&mut self) {
        if self.clients.len() < CACHED {
            return;
        }
        // One whose burst is not full again has changed things lately, and its rate limit is not to be forgotten.
        let oldest = self
            .clients
            .iter()
            .min_by_key(|(_, (client, last_use))| (!client.rate_limiter.is_full(), *last_use));
        let Some(oldest) = oldest.map(|(account_region, _)| account_region.clone()) else { return };
        if let Some((client, _)) = self.clients.remove(&oldest) {
            self.counts.push((oldest.clone(), client.take_counts()));
        }
        if !self.clients.keys().any(|account_region| account_region.account == oldest.account) {
            self.settings.remove(&oldest.account);
        }
    }
}
