//! Any JSON becomes a trigger, or is ignored with a short reason.
#![no_main]

use imds_core::policy::Policy;
use imds_core::trigger::Trigger;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(event) = serde_json::from_slice(input) else { return };
    match Trigger::from_event(&event, &Policy::default()) {
        Ok(trigger) => drop(trigger.instances.to_string()),
        Err(ignored) => assert!(ignored.to_string().chars().count() < 2000, "{ignored}"),
    }
});
