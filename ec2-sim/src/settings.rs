//! The settings of a simulator.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::bucket::Buckets;

/// The settings of a simulator.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The address to listen on; 127.0.0.1 and a free port by default.
    pub listen: SocketAddr,
    /// The time from a change of options to `applied` on a running instance; 500 ms by default.
    pub apply_delay: Duration,
    /// The time from `pending` to `running`; 200 ms by default.
    pub start_delay: Duration,
    /// The time from `stopping` to `stopped` and from `shutting-down` to `terminated`; 200 ms by default.
    pub state_delay: Duration,
    /// The time from a launch until calls find the instance; zero by default.
    pub visibility_delay: Duration,
    /// The token buckets. `None`, the default, disables throttling.
    pub buckets: Option<Buckets>,
    /// The URL to which every event is posted, such as the invoke URL of a Lambda runtime emulator.
    pub deliver_to: Option<String>,
    /// An EventBridge endpoint, `http://HOST:PORT`, where every event is put on the default bus of its account and
    /// Region. The endpoint must accept sources that begin with `aws.`.
    pub deliver_to_bus: Option<String>,
    /// The duration of role sessions, which overrides `DurationSeconds`. `None`, the default, does not override it.
    pub session_duration: Option<Duration>,
    /// Whether options of a `pending` instance can be changed, which AWS does not document; `true` by default.
    pub modify_while_pending: bool,
    /// The number of instances from which CloudTrail's record of a launch omits the response; 40 by default.
    pub cloudtrail_cut_off: usize,
    /// The number of data points on a page of GetMetricData, at least 1; 100,800 by default.
    pub datapoints_per_page: usize,
    /// Whether instances have every field that EC2 returns for an ordinary instance in a VPC, some 6.6 KB with ten
    /// tags. Otherwise, the default, they have only the fields that the simulator uses.
    pub realistic: bool,
    /// The seed of random ids and faults.
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
            datapoints_per_page: 100_800,
            realistic: false,
            seed: 0,
        }
    }
}
