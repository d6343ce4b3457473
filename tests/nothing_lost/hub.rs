//! A hub that sweeps many accounts in one invocation.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ec2_sim::{Ec2Sim, Launch, Settings};
use serde_json::json;

use crate::support::lambda::Lambda;
use crate::support::*;
use crate::{ALONE, DESCRIBE, MODIFY};

const ACCOUNTS: u64 = 10;

/// Per account: three pages.
const INSTANCES: usize = 2_100;

/// Of the instances of an account, so many allow IMDSv1.
const OPEN: usize = 3;

/// Half of the memory that the template gives to the functions.
const MOST_MB: f64 = 128.0;

#[tokio::test(flavor = "multi_thread")]
async fn ten_sweeps_at_once_of_realistic_pages_stay_within_half_of_the_memory() {
    let _alone = ALONE.lock().await;
    let settings = Settings { apply_delay: Duration::ZERO, realistic: true, ..Settings::default() };
    let sim = Ec2Sim::start(settings).await.unwrap();
    let accounts: Vec<String> = (0..ACCOUNTS).map(|n| (444_455_556_600 + n).to_string()).collect();
    for account in &accounts {
        let tags: Vec<_> =
            (0..10).map(|n| (format!("company:tag-{n}"), "an ordinary value".to_owned())).collect();
        let closed = with_options(&[("HttpTokens", "required")]);
        let account_region = sim.account_region(account, REGION);
        account_region.launch(Launch { count: INSTANCES - OPEN, tags: tags.clone(), ..closed });
        account_region.launch(Launch { count: OPEN, tags, ..Launch::default() });
    }
    let mut lambda = Lambda::start(&sim, &[("IMDS_MEMBER_ROLE", "imds-enforcer-member")]).await;
    let sweep = |account: &String| {
        json!({
            "version": "0", "source": "imds-enforcer", "detail-type": "Sweep", "account": account, "region": REGION,
            "time": "2026-03-17T00:59:42Z", "detail": {},
        })
        .to_string()
    };
    let bodies: Vec<String> = accounts.iter().map(sweep).collect();

    let started = Instant::now();
    let answer = lambda.invoke(batch(&bodies, 1), Duration::from_secs(180)).await.expect("in time").unwrap();

    let peak = lambda.peak_memory();
    println!("ten sweeps at once: {:.0?}, peak memory {peak:.1} MB", started.elapsed());
    assert_eq!(answer, json!({"batchItemFailures": []}));
    let calls = sim.calls();
    let changed: BTreeSet<_> = calls.iter().filter(|c| c.action == MODIFY).map(|c| &c.instance_ids).collect();
    assert_eq!(changed.len(), accounts.len() * OPEN, "the last page of each account is swept");
    // Three calls in sequence would be the three pages of one account.
    let first = calls.iter().filter(|call| call.action == DESCRIBE).take(3);
    let first: BTreeSet<_> = first.map(|call| &call.account).collect();
    assert!(first.len() > 1, "the sweeps run at the same time");
    assert!(peak < MOST_MB, "the peak is {peak:.1} MB, at most {MOST_MB} MB");
}
