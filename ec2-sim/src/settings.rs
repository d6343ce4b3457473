//! How a simulator behaves.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::bucket::Buckets;

/// How a simulator behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it listens; 127.0.0.1 and a free port by default.
    pub listen: SocketAddr,
    /// From a change of options to `applied`, on a running instance; 500 ms by default.
    pub apply_delay: Duration,
    /// From `pending` to `running`; 200 ms by default.
    pub start_delay: Duration,
    /// From `stopping` to `stopped` and from `shutting-down` to `terminated`; 200 ms by default.
    pub state_delay: Duration,
    /// From a launch until describes and changes find the instance; none by default.
    pub visibility_delay: Duration,
    /// The token buckets; `None`, the default, throttles nothing.
    pub buckets: Option<Buckets>,
    /// Where every event is posted, such as the invoke URL of a Lambda runtime emulator.
    pub deliver_to: Option<String>,
    /// An EventBridge endpoint, `http://HOST:PORT`, where every event is put on the default bus of its account and
    /// Region. The endpoint must accept sources that begin with `aws.`.
    pub deliver_to_bus: Option<String>,
    /// How long the sessions of assumed roles last, whatever `DurationSeconds` asks for; `None`, the default, lets them
    /// last as asked.
    pub session_duration: Option<Duration>,
    /// Whether options of a `pending` instance can be changed, which AWS does not document; yes by default.
    pub modify_while_pending: bool,
    /// From how many instances on CloudTrail's record of a launch is cut off; 40 by default.
    pub cloudtrail_cut_off: usize,
    /// What the randomness of ids and faults begins with.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            apply_delay: Duration::from_millis(500),
            start_delay: Duration::from_millis(200),
            state_delay: Duration::from_millis(200),
            visibility_delay: Duration::ZERO,
            buckets: None,
            deliver_to: None,
            deliver_to_bus: None,
            session_duration: None,
            modify_while_pending: true,
            cloudtrail_cut_off: 40,
            seed: 0,
        }
    }
}
