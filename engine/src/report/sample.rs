//! Tests: an outcome.

use imds_core::ids::{AccountId, InstanceId, Region};
use imds_core::mode::Mode;
use imds_core::outcome::{InstanceOutcome, Outcome, Unlogged};
use imds_core::trigger::TriggerKind;

/// An instance that an event of its launch named, with two warnings.
pub(super) fn instance(outcome: Outcome, unlogged: Unlogged) -> InstanceOutcome {
    InstanceOutcome {
        account: AccountId::new("111122223333").unwrap(),
        region: Region::new("us-east-1").unwrap(),
        instance_id: InstanceId::new("i-01234567").unwrap(),
        trigger: TriggerKind::Launch,
        mode: Mode::Enforce,
        source: None,
        usage: None,
        outcome,
        before: None,
        change: None,
        state: None,
        reasons: Vec::new(),
        warnings: vec!["w".to_owned(); 2],
        unlogged,
    }
}
