use super::super::settings::for_simulator;
use super::*;

const LIMIT: RateLimit = RateLimit { ceiling: 1.0, burst: 80 };

const REGIONS: [&str; 2] = ["us-east-1", "eu-west-1"];

fn account_region(account: usize, region: &str) -> AccountRegion {
    let account = AccountId::new(&format!("{account:012}")).expect("an account");
    AccountRegion { account, region: Region::new(region).expect("a Region") }
}

fn has_own_clients(clients: &RegionClients) -> bool {
    clients.own_region.as_ref().is_some_and(|own| own.clients.get().is_some())
}

#[tokio::test]
async fn the_clients_of_the_own_region_are_created_by_the_preparation_or_at_first_use() {
    for is_prepared in [true, false] {
        let clients = RegionClients::new(for_simulator("http://127.0.0.1:1", "1", REGIONS[0]), LIMIT, None);
        let preparation = clients.preparation();
        assert!(!has_own_clients(&clients), "prepared: {is_prepared}");
        if is_prepared {
            std::thread::spawn(preparation).join().expect("it does not panic");
        }
        clients.get(&account_region(1, REGIONS[1])).await;
        assert_eq!(has_own_clients(&clients), is_prepared, "another Region needs clients of its own");
        clients.get(&account_region(1, REGIONS[0])).await;
        assert!(has_own_clients(&clients), "prepared: {is_prepared}");
    }
}

#[test]
fn without_a_region_there_is_nothing_to_prepare() {
    let clients = RegionClients::new(SdkConfig::builder().build(), LIMIT, None);
    clients.preparation()();
    assert!(!has_own_clients(&clients));
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
    let has_credentials = |account| cache.members.contains_key(&account_region(account, REGIONS[0]).account);
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
