//! (account, Region) → client, with the function's own credentials or those of the member role.

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
use super::rate_limit::RateLimit;

/// The maximum number of cached clients: more than a batch is likely to name, few enough to keep memory usage low.
const CACHED: usize = 256;

/// The maximum number of concurrent calls to EC2 from this process. Lambda allows 1,024 open files.
const CALLS_AT_ONCE: usize = 200;

/// The shortest session that STS allows, 15 minutes, which is also the longest invocation. It is renewed while in use.
const SESSION_LENGTH: Duration = Duration::from_secs(900);

/// The role that the function assumes in other accounts.
#[derive(Debug, Clone)]
pub struct MemberRole {
    /// `NAME` or `PATH/NAME`; the same in every account.
    pub name: String,
    /// The session name, which CloudTrail records in those accounts: who acts, and why.
    pub session: String,
}

impl MemberRole {
    /// Returns the settings of `shared` with the role's credentials in `account`. The credentials are fetched at first
    /// use, shared by all clients created with these settings, and renewed before they expire.
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

/// A bounded cache of clients, created at first use: connections, credentials and rate limits outlive an invocation.
#[derive(Debug)]
pub struct RegionClients {
    shared: SdkConfig,
    /// The client of the function's own credentials and Region. Created before the first event, as most functions need
    /// no other.
    home: Option<(Region, SdkClients)>,
    modify_limit: RateLimit,
    member_role: Option<MemberRole>,
    own: OnceLock<Own>,
    slots: Arc<Semaphore>,
    cache: Mutex<ClientCache>,
}

/// The partition and the account of the function.
#[derive(Debug)]
struct Own {
    partition: String,
    account: AccountId,
}

/// Cached clients and account settings.
#[derive(Debug, Default)]
struct ClientCache {
    /// Each client, with the value of `uses` at its last use.
    clients: HashMap<AccountRegion, (RegionClient, u64)>,
    /// The settings of each account, which hold its credentials.
    settings: HashMap<AccountId, SdkConfig>,
    uses: u64,
    /// The call counts of evicted clients.
    counts: Vec<(AccountRegion, BTreeMap<Call, Count>)>,
}

impl RegionClients {
    /// Creates an empty cache. Clients use the credentials and settings of `shared`; in accounts other than the
    /// function's own they use the credentials of `member_role`, if there is one. `modify_limit` is the limit of
    /// changes per account and Region.
    pub fn new(shared: SdkConfig, modify_limit: RateLimit, member_role: Option<MemberRole>) -> Self {
        let slots = Arc::new(Semaphore::new(CALLS_AT_ONCE));
        let region = shared.region().and_then(|region| Region::new(region.as_ref()).ok());
        let home = region.map(|region| (region.clone(), SdkClients::new(&shared, &region)));
        Self { shared, home, modify_limit, member_role, own: OnceLock::new(), slots, cache: Mutex::default() }
    }

    /// Takes the function's ARN, which Lambda passes with each invocation and which names the function's own account.
    pub fn invoked_as(&self, function_arn: &str) {
        let mut parts = function_arn.split(':').skip(1);
        let partition = parts.next().unwrap_or_default().to_owned();
        if let Some(Ok(account)) = parts.nth(2).map(AccountId::new) {
            // The ARN's account is the same at each invocation, so only the first one is kept.
            let _ = self.own.set(Own { partition, account });
        }
    }

    /// Returns the client of `account_region`.
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
        let client = RegionClient::new(sdk, Arc::clone(&self.slots), role.is_some(), self.modify_limit);
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

    /// Returns the calls since the last `take_counts`, without the accounts and Regions that had none.
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
    /// Evicts the least recently used client if the cache is full. Existing clones stay valid.
    fn evict(&mut self) {
        if self.clients.len() < CACHED {
            return;
        }
        // A client whose token bucket is not full made changes recently; its rate limit must be kept if possible.
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
