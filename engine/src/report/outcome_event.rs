//! Outcome events: which outcomes others are told of, and in what form.

use imds_core::outcome::{InstanceOutcome, Outcome};
use imds_core::policy::is_ending;
use imds_core::trigger::TriggerKind;
use serde::Serialize;
use time::OffsetDateTime;

/// The version of the form of the detail. Fields may be added without a new one.
const SCHEMA_VERSION: u32 = 1;

/// The detail of an event: the outcome as logged.
#[derive(Serialize)]
struct Detail<'a> {
    #[serde(rename = "schemaVersion")]
    schema_version: u32,
    #[serde(flatten)]
    instance: &'a InstanceOutcome,
}

/// Returns the detail of the event that tells of this outcome; `None` if none does.
pub fn detail(instance: &InstanceOutcome, now: OffsetDateTime) -> Option<String> {
    let detail = Detail { schema_version: SCHEMA_VERSION, instance };
    // It is always JSON; EventBridge would refuse an empty detail, so that it would be counted.
    is_told(instance, now).then(|| serde_json::to_string(&detail).unwrap_or_default())
}

/// Returns whether an event tells of this outcome: of every change, also one that is not verified yet or has only some of the
/// options, and of a problem when it is new or for good. A sweep finds the same problems again and again and tells of none,
/// but with the watch, once a day, of exemptions that end soon.
fn is_told(instance: &InstanceOutcome, now: OffsetDateTime) -> bool {
    let InstanceOutcome { trigger, outcome, unlogged, .. } = instance;
    let is_new = *trigger != TriggerKind::Sweep && unlogged.is_new;
    match outcome {
        _ if unlogged.is_changed => true,
        // A dry run that EC2 carried out is a change, too.
        Outcome::Enforced | Outcome::Failed { retry: false } => true,
        Outcome::Denied | Outcome::Blocked | Outcome::InUse => is_new,
        Outcome::Exempt if is_new || unlogged.is_watched => {
            unlogged.exempt_until.is_some_and(|until| is_ending(until, now))
        }
        outcome => outcome.is_retryable() && unlogged.is_last_receive,
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::instance;
    use super::*;
    use imds_core::outcome::Unlogged;
    use serde_json::{Value, json};
    use time::macros::{date, datetime};

    const NOW: OffsetDateTime = datetime!(2026-03-17 12:00 UTC);

    fn told(outcome: Outcome, trigger: TriggerKind, unlogged: Unlogged) -> bool {
        detail(&InstanceOutcome { trigger, ..instance(outcome, unlogged) }, NOW).is_some()
    }

    fn new() -> Unlogged {
        Unlogged { is_new: true, ..Unlogged::default() }
    }

    #[test]
    fn an_event_tells_of_changes_and_new_problems_and_a_sweep_of_changes() {
        use Outcome::*;
        for (outcome, named, swept) in [
            (Enforced, true, true),
            (Failed { retry: false }, true, true),
            (Denied, true, false),
            (Blocked, true, false),
            (InUse, true, false),
            (Compliant, false, false),
            (WouldEnforce, false, false),
            (Exempt, false, false),
            (OutOfScope, false, false),
            (Deferred, false, false),
            (Gone, false, false),
        ] {
            for kind in [TriggerKind::Launch, TriggerKind::StateChange, TriggerKind::TagChange] {
                assert_eq!(told(outcome, kind, new()), named, "{outcome} {kind:?}");
            }
            assert_eq!(told(outcome, TriggerKind::Sweep, new()), swept, "{outcome}");
            // An earlier delivery told of it.
            assert_eq!(told(outcome, TriggerKind::Launch, Unlogged::default()), swept, "{outcome}");
        }
    }

    #[test]
    fn a_change_is_told_whatever_the_outcome() {
        use Outcome::*;
        let changed = Unlogged { is_changed: true, ..Unlogged::default() };
        let schema: Value =
            serde_json::from_str(include_str!("../../../outcome-events/outcome.schema.json")).unwrap();
        let in_schema = schema["$defs"]["detail"]["properties"]["outcome"]["enum"].as_array().unwrap();
        let ends = [Enforced, Pending, InUse, Denied, Blocked, NotReady, Throttled, Unreachable, Gone];
        for outcome in [&ends[..], &[Failed { retry: true }]].concat() {
            assert!(in_schema.contains(&json!(outcome)), "{outcome}");
            for kind in [TriggerKind::Launch, TriggerKind::Sweep] {
                assert!(told(outcome, kind, changed), "{outcome} {kind:?}");
            }
        }
    }

    #[test]
    fn what_is_retried_is_told_at_the_last_receive() {
        use Outcome::*;
        for outcome in [Pending, NotReady, Throttled, Unreachable, Failed { retry: true }] {
            for is_last_receive in [false, true] {
                let unlogged = Unlogged { is_last_receive, ..Unlogged::default() };
                assert_eq!(told(outcome, TriggerKind::Launch, unlogged), is_last_receive, "{outcome}");
            }
        }
        let last = Unlogged { is_last_receive: true, ..Unlogged::default() };
        assert!(!told(Compliant, TriggerKind::Launch, last));
    }

    #[test]
    fn an_exemption_that_ends_is_told_by_events_and_by_the_sweep_with_the_watch() {
        let unlogged = |until, is_watched| Unlogged { exempt_until: Some(until), is_watched, ..new() };
        for (until, is_soon) in [
            (date!(2026 - 03 - 16), false),
            (date!(2026 - 03 - 17), true),
            (date!(2026 - 03 - 31), true),
            (date!(2026 - 04 - 01), false),
        ] {
            for (kind, is_watched, is_told) in [
                (TriggerKind::Launch, false, true),
                (TriggerKind::Sweep, true, true),
                (TriggerKind::Sweep, false, false),
            ] {
                let found = told(Outcome::Exempt, kind, unlogged(until, is_watched));
                assert_eq!(found, is_soon && is_told, "{until} {kind:?} {is_watched}");
            }
        }
    }

    #[test]
    fn the_detail_is_the_outcome_as_logged_with_the_version() {
        let instance = instance(Outcome::Enforced, Unlogged::default());
        let detail: Value = serde_json::from_str(&detail(&instance, NOW).unwrap()).unwrap();
        let mut expected = json!(instance);
        expected["schemaVersion"] = json!(1);
        assert_eq!(detail, expected);
        assert_eq!(detail["instanceId"], "i-01234567");
    }
}
