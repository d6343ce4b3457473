//! (account, Region) → client, with the function's own credentials or those of the member role.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use aws_config::SdkConfig;
use aws_config::identity::IdentityCache;
use aws_credential_types::provider::SharedCredentialsProvider;
use imds_core::call_error::Call;
use imds_core::ids::{AccountId, AccountRegion, Region};
use tokio::sync::{Mutex, Semaphore};

use super::call_counts::Count;
use super::client::{RegionClient, SdkClients};
use super::error::LackOfCredentials;
use super::member_role::MemberCredentials;
pub use super::member_role::MemberRole;
use super::rate_limit::RateLimit;
use super::visibility::Queues;

/// The maximum number of cached clients: more than a batch is likely to name, few enough to keep memory usage low.
const CACHED: usize = 256;

/// The maximum number of concurrent calls to EC2 and CloudWatch from this process. Lambda allows 1,024 open files.
const CALLS_AT_ONCE: usize = 200;

/// A bounded cache of clients, created at first use: connections, credentials and rate limits outlive an invocation.
#[derive(Debug)]
pub struct RegionClients {
    shared: SdkConfig,
    /// The clients of the function's own credentials and Region. Most functions need no others.
    own_region: Option<Arc<OwnRegion>>,
    modify_limit: RateLimit,
    member_role: Option<MemberRole>,
    own: OnceLock<Own>,
    slots: Arc<Semaphore>,
    lack: LackOfCredentials,
    queues: Queues,
    cache: Mutex<ClientCache>,
}

/// The clients of the function's own credentials and Region, created at first use.
#[derive(Debug)]
struct OwnRegion {
    region: Region,
    shared: SdkConfig,
    clients: OnceLock<SdkClients>,
}

impl OwnRegion {
    fn clients(&self) -> &SdkClients {
        self.clients.get_or_init(|| SdkClients::new(&self.shared, &self.region))
    }
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
    /// The member role's credentials in each account, and the settings that use them.
    members: HashMap<AccountId, (MemberCredentials, SdkConfig)>,
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
        let own_region = region
            .map(|region| Arc::new(OwnRegion { region, shared: shared.clone(), clients: OnceLock::new() }));
        let queues = Queues::new(shared.clone());
        let (own, cache) = (OnceLock::new(), Mutex::default());
        let lack = LackOfCredentials::default();
        Self { shared, own_region, modify_limit, member_role, own, slots, lack, queues, cache }
    }

    /// Returns work that creates the clients of the function's own Region, which another thread can do before the first
    /// event. Otherwise they are created at first use.
    pub fn preparation(&self) -> impl FnOnce() + Send + 'static {
        let own_region = self.own_region.clone();
        move || {
            if let Some(own_region) = own_region {
                own_region.clients();
            }
        }
    }

    /// Returns the queues that records come from.
    pub fn queues(&self) -> &Queues {
        &self.queues
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

    /// Returns the partition of the function's ARN.
    pub fn partition(&self) -> &str {
        self.own.get().map_or("aws", |own| &own.partition)
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
        let (sdk, credentials) = match role {
            None => (self.own_sdk_clients(&account_region.region), None),
            Some(role) => {
                let (credentials, settings) = self.member(role, &account_region.account, &mut cache);
                (SdkClients::new(settings, &account_region.region), Some(credentials.clone()))
            }
        };
        let (slots, lack) = (Arc::clone(&self.slots), self.lack.clone());
        let client = RegionClient::new(sdk, slots, credentials, lack, self.modify_limit);
        cache.clients.insert(account_region.clone(), (client.clone(), uses));
        client
    }

    /// Returns whether the own credentials have expired, or cannot be loaded, so that no call can succeed.
    #[cfg(feature = "fleet")]
    pub fn lack_credentials(&self) -> bool {
        self.lack.is_noted()
    }

    /// Returns where errors of calls with the own credentials are noted.
    #[cfg(feature = "fleet")]
    pub(super) fn lack(&self) -> &LackOfCredentials {
        &self.lack
    }

    /// Returns the settings of the own credentials.
    #[cfg(feature = "fleet")]
    pub(super) fn shared(&self) -> &SdkConfig {
        &self.shared
    }

    fn is_own(&self, account: &AccountId) -> bool {
        self.own.get().is_some_and(|own| own.account == *account)
    }

    fn own_sdk_clients(&self, region: &Region) -> SdkClients {
        match &self.own_region {
            Some(own) if own.region == *region => own.clients().clone(),
            _ => SdkClients::new(&self.shared, region),
        }
    }

    fn member<'k>(
        &self,
        role: &MemberRole,
        account: &AccountId,
        cache: &'k mut ClientCache,
    ) -> &'k (MemberCredentials, SdkConfig) {
        cache.members.entry(account.clone()).or_insert_with(|| {
            let (lack, partition) = (self.lack.clone(), self.partition());
            let credentials = MemberCredentials::new(role, &self.shared, lack, partition, account);
            let settings = self
                .shared
                .to_builder()
                .credentials_provider(SharedCredentialsProvider::new(credentials.clone()))
                // They are cached already.
                .identity_cache(IdentityCache::no_cache())
                .build();
            (credentials, settings)
        })
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
            self.members.remove(&oldest.account);
        }
    }
}

#[cfg(test)]
mod tests;
