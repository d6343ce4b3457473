//! (account, Region) → EC2, with our own credentials or those of the member role.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::identity::IdentityCache;
use aws_config::sts::AssumeRoleProvider;
use aws_credential_types::provider::SharedCredentialsProvider;
use imds_core::ids::{AccountId, Place, Region};
use imds_core::outcome::Call;
use tokio::sync::{Mutex, Semaphore};

use super::call_counts::Count;
use super::client::{Access, Clients, Ec2};
use super::rate_limit::Pacer;

/// How many accounts and Regions are kept for later: more than a batch is likely to name, and few enough to keep memory
/// small.
const KEPT: usize = 256;

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

/// Clients, made at first use and kept within bounds: connections, credentials and pace outlive an invocation.
#[derive(Debug)]
pub struct Accounts {
    shared: SdkConfig,
    /// Our own credentials in our own Region. Made before the first event, as most functions need no other.
    home: Option<(Region, Clients)>,
    modify_rate: f64,
    member_role: Option<MemberRole>,
    own: OnceLock<Own>,
    slots: Arc<Semaphore>,
    kept: Mutex<Kept>,
}

/// Whose function this is.
#[derive(Debug)]
struct Own {
    partition: String,
    account: AccountId,
}

/// EC2 in one account and Region, and how fast we may change things there.
#[derive(Debug, Clone)]
pub struct Reach {
    /// EC2.
    pub ec2: Ec2,
    /// The pace of changes.
    pub pacer: Arc<Pacer>,
}

/// What is kept for later.
#[derive(Debug, Default)]
struct Kept {
    /// With the number of the use that was its last.
    reached: HashMap<Place, (Reach, u64)>,
    /// The settings of each account, which hold its credentials.
    settings: HashMap<AccountId, SdkConfig>,
    uses: u64,
    /// The counts of those that are kept no more.
    counts: Vec<(Place, BTreeMap<Call, Count>)>,
}

impl Accounts {
    /// Reaches EC2 with the credentials and settings of `shared`, and in other accounts than our own with those of
    /// `member_role`, if there is one; `modify_rate` is changes a second, per account and Region.
    pub fn new(shared: SdkConfig, modify_rate: f64, member_role: Option<MemberRole>) -> Self {
        let slots = Arc::new(Semaphore::new(CALLS_AT_ONCE));
        let region = shared.region().and_then(|region| Region::new(region.as_ref()).ok());
        let home = region.map(|region| (region.clone(), Clients::new(&shared, &region)));
        Self { shared, home, modify_rate, member_role, own: OnceLock::new(), slots, kept: Mutex::default() }
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

    /// EC2 at `place`.
    pub async fn reach(&self, place: &Place) -> Reach {
        let mut kept = self.kept.lock().await;
        kept.uses += 1;
        let uses = kept.uses;
        if let Some((reach, last_use)) = kept.reached.get_mut(place) {
            *last_use = uses;
            return reach.clone();
        }
        kept.make_room();
        let pacer = Arc::new(Pacer::new(self.modify_rate));
        let role = self.member_role.as_ref().filter(|_| !self.is_own(&place.account));
        let access = Access { slots: Arc::clone(&self.slots), is_assumed: role.is_some() };
        let clients = match role {
            None => self.own_clients(&place.region),
            Some(role) => Clients::new(self.settings(role, &place.account, &mut kept).await, &place.region),
        };
        let reach = Reach { ec2: Ec2::new(clients, access), pacer };
        kept.reached.insert(place.clone(), (reach.clone(), uses));
        reach
    }

    fn is_own(&self, account: &AccountId) -> bool {
        self.own.get().is_some_and(|own| own.account == *account)
    }

    fn own_clients(&self, region: &Region) -> Clients {
        match &self.home {
            Some((home, clients)) if home == region => clients.clone(),
            _ => Clients::new(&self.shared, region),
        }
    }

    async fn settings<'k>(
        &self,
        role: &MemberRole,
        account: &AccountId,
        kept: &'k mut Kept,
    ) -> &'k SdkConfig {
        if !kept.settings.contains_key(account) {
            let partition = self.own.get().map_or("aws", |own| &own.partition);
            let settings = role.settings(&self.shared, partition, account).await;
            kept.settings.insert(account.clone(), settings);
        }
        &kept.settings[account]
    }

    /// The calls since this was last asked for, where there were any.
    pub async fn take_counts(&self) -> Vec<(Place, BTreeMap<Call, Count>)> {
        let mut kept = self.kept.lock().await;
        let mut counts = std::mem::take(&mut kept.counts);
        counts
            .extend(kept.reached.iter().map(|(place, (reach, _))| (place.clone(), reach.ec2.take_counts())));
        counts.retain(|(_, counts)| !counts.is_empty());
        counts
    }
}

impl Kept {
    /// Lets go of the one that was used longest ago, if there is no room for another. Who has it still may go on.
    fn make_room(&mut self) {
        if self.reached.len() < KEPT {
            return;
        }
        // One whose burst is not full again has changed things lately, and its pace is not to be forgotten.
        let oldest =
            self.reached.iter().min_by_key(|(_, (reach, last_use))| (!reach.pacer.is_full(), *last_use));
        let Some(oldest) = oldest.map(|(place, _)| place.clone()) else { return };
        if let Some((reach, _)) = self.reached.remove(&oldest) {
            self.counts.push((oldest.clone(), reach.ec2.take_counts()));
        }
        if !self.reached.keys().any(|place| place.account == oldest.account) {
            self.settings.remove(&oldest.account);
        }
    }
}
