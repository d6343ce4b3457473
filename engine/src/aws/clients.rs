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
    /// The client of the function's own credentials and Region. Created before the first event, as most functions need
    /// no other.
    home: Option<(Region, SdkClients)>,
    modify_limit: RateLimit,
    member_role: Option<MemberRole>,
    own: OnceLock<Own>,
    slots: Arc<Semaphore>,
    lack: LackOfCredentials,
    queues: Queues,
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
        let home = region.map(|region| (region.clone(), SdkClients::new(&shared, &region)));
        let queues = Queues::new(shared.clone());
        let (own, cache) = (OnceLock::new(), Mutex::default());
        let lack = LackOfCredentials::default();
        Self { shared, home, modify_limit, member_role, own, slots, lack, queues, cache }
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
        match &self.home {
            Some((home, sdk)) if home == region => sdk.clone(),
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
mod tests {
    use super::super::settings::for_simulator;
    use super::*;

    const LIMIT: RateLimit = RateLimit { ceiling: 1.0, burst: 80 };

    const REGIONS: [&str; 2] = ["us-east-1", "eu-west-1"];

    fn account_region(account: usize, region: &str) -> AccountRegion {
        let account = AccountId::new(&format!("{account:012}")).expect("an account");
        AccountRegion { account, region: Region::new(region).expect("a Region") }
    }

    // The clock is paused, so that a token bucket that is not full stays so.
    #[tokio::test(start_paused = true)]
    async fn the_least_recently_used_client_that_made_no_recent_change_is_evicted() {
        let role = MemberRole { name: "member".to_owned(), session: "tests".to_owned() };
        let clients =
            RegionClients::new(for_simulator("http://127.0.0.1:1", "1", "us-east-1"), LIMIT, Some(role));
        // Two Regions an account.
        let all: Vec<_> = (0..CACHED).map(|number| account_region(number / 2, REGIONS[number % 2])).collect();
        for (number, account_region) in all.iter().enumerate() {
            let client = clients.get(account_region).await;
            if number == 1 {
                client.rate_limiter.acquire(tokio::time::Instant::now()).await.expect("a token");
            }
        }
        // From the least to the most recently used: 1, which made a change, 2, 4, 5, ..., 0, 3.
        clients.get(&all[0]).await;
        clients.get(&all[3]).await;

        let mut evicted = Vec::new();
        for number in CACHED..CACHED + 3 {
            clients.get(&account_region(number, REGIONS[0])).await;
            let cache = clients.cache.lock().await;
            assert_eq!(cache.clients.len(), CACHED);
            evicted = (0..all.len()).filter(|number| !cache.clients.contains_key(&all[*number])).collect();
        }

        assert_eq!(evicted, [2, 4, 5]);
        let cache = clients.cache.lock().await;
        let has_credentials =
            |account| cache.members.contains_key(&account_region(account, REGIONS[0]).account);
        assert_eq!(
            (has_credentials(1), has_credentials(2)),
            (true, false),
            "an account loses its credentials with its last client"
        );
        assert_eq!(cache.counts.len(), 3, "the counts of evicted clients are kept");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_made_a_recent_change_is_evicted_if_all_did() {
        let clients = RegionClients::new(for_simulator("http://127.0.0.1:1", "1", "us-east-1"), LIMIT, None);
        let all: Vec<_> = (0..=CACHED).map(|account| account_region(account, REGIONS[0])).collect();
        for account_region in &all {
            let client = clients.get(account_region).await;
            client.rate_limiter.acquire(tokio::time::Instant::now()).await.expect("a token");
        }
        let cache = clients.cache.lock().await;
        assert_eq!((cache.clients.len(), cache.clients.contains_key(&all[0])), (CACHED, false));
    }
}
