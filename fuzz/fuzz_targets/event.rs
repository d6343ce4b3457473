//! Any JSON becomes a trigger, or gives none for a short reason.
#![no_main]

use imds_core::policy::Policy;
use imds_core::trigger::Trigger;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(event) = serde_json::from_slice(input) else { return };
    match Trigger::from_event(&event, &Policy::default()) {
        Ok(trigger) => {
            drop(trigger.instances.to_string());
            assert!(trigger.unreadable.iter().all(|text| text.chars().count() < 2000), "{trigger:?}");
        }
        Err(why) => assert!(why.to_string().chars().count() < 2000, "{why}"),
    }
});
