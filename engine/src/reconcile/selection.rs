//! A launch whose instance IDs CloudTrail cut off.

use imds_core::call_error::{CallError, unknown_instance};
use imds_core::outcome::Outcome;
use imds_core::selector::InstanceSelector;
use time::OffsetDateTime;

use super::target::{Delivery, Unresolved};
use crate::aws::client::Listed;

/// The age of a launch from which a description by launch time returns all of its instances.
const SHOWN_AFTER: time::Duration = time::Duration::minutes(1);

/// A launch whose instance IDs are not known, and the deliveries that name it.
pub(super) struct Selection<'a> {
    pub(super) selector: &'a InstanceSelector,
    pub(super) deliveries: Vec<(usize, &'a Delivery)>,
    /// How many instances the last description found.
    found: Result<usize, CallError>,
    /// IDs of a form that is not known, which nobody can act on.
    pub(super) unknown_ids: Vec<String>,
    /// Whether two consecutive descriptions found the same number of instances, and enough of them.
    pub(super) is_settled: bool,
}

impl<'a> Selection<'a> {
    pub(super) fn new(selector: &'a InstanceSelector, index: usize, delivery: &'a Delivery) -> Self {
        Self {
            selector,
            deliveries: vec![(index, delivery)],
            found: Ok(0),
            unknown_ids: Vec::new(),
            is_settled: false,
        }
    }

    /// Takes the result of a description.
    pub(super) fn take(&mut self, found: &Result<Listed, CallError>) {
        let count = found.as_ref().map(|listed| listed.instances.len()).map_err(CallError::clone);
        let is_enough = count.as_ref().is_ok_and(|count| *count >= self.least());
        self.is_settled = is_enough && count == self.found;
        self.found = count;
        if let Ok(listed) = found {
            self.unknown_ids.clone_from(&listed.unknown_ids);
        }
    }

    /// Returns whether another description would not help.
    pub(super) fn is_done(&self) -> bool {
        self.is_settled || self.found.is_err()
    }

    /// Returns the minimum number of instances of the launch.
    fn least(&self) -> usize {
        match self.selector {
            InstanceSelector::ClientToken { at_least, .. } => *at_least,
            _ => 1,
        }
    }

    /// Returns the deliveries for which EC2 may have more instances than it returned.
    pub(super) fn unresolved(&self, now: OffsetDateTime) -> Vec<Unresolved> {
        let unresolved = |(index, delivery): &(usize, &Delivery)| {
            let (why, retry) = self.lack(now - delivery.trigger.time, delivery.redelivered)?;
            Some(Unresolved { delivery: *index, why: format!("{}: {why}", self.selector), retry })
        };
        self.deliveries.iter().filter_map(unresolved).collect()
    }

    /// Returns why the launch is not resolved, and whether a retry may resolve it. `age` is that of the launch.
    fn lack(&self, age: time::Duration, redelivered: bool) -> Option<(String, bool)> {
        if let Some(id) = self.unknown_ids.first() {
            return Some((format!("EC2 returned an instance whose ID has an unknown form: {id}"), true));
        }
        // A description by launch time also finds other instances, which do not show that the launch is complete.
        let is_too_early = matches!(self.selector, InstanceSelector::LaunchedAround(_)) && age < SHOWN_AFTER;
        if self.is_settled && !is_too_early {
            return None;
        }
        Some(match &self.found {
            // The event is kept, whatever the error.
            Err(error) => (format!("the instances could not be described: {error}"), true),
            Ok(count) => {
                let is_over = unknown_instance(age, redelivered) == Outcome::Gone;
                let shown = match count {
                    0 => "EC2 shows no such instance".to_owned(),
                    _ => format!("EC2 shows {count} of its instances, and may not show all yet"),
                };
                (shown, !is_over)
            }
        })
    }
}
