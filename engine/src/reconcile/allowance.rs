//! What a sweep may still send to EC2. The deliveries of other events are not limited.

use std::cell::Cell;

use imds_core::mode::Mode;
use imds_core::policy::Limits;
use tokio::sync::{Semaphore, SemaphorePermit};

/// The maximum number of dry runs that a sweep sends to EC2: enough to test the permissions without using up the
/// account's rate limit.
const DRY_RUNS: usize = 50;

/// What may still be sent to EC2.
#[derive(Debug, Default)]
pub(super) struct Allowance {
    dry_runs: Option<Cell<usize>>,
    is_limited: bool,
    failures: Option<Failures>,
}

/// A change is sent with a permit. Permits of changes that failed do not return, so that there are never more failures
/// than permits.
#[derive(Debug)]
struct Failures {
    most: usize,
    so_far: Cell<usize>,
    permits: Semaphore,
}

/// That as many changes failed as the policy allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooManyFailures(pub(super) usize);

impl Allowance {
    /// The allowance of one delivery of a sweep.
    pub(super) fn of_sweep(limits: Limits) -> Self {
        let failures = |most: usize| Failures { most, so_far: Cell::new(0), permits: Semaphore::new(most) };
        Self {
            dry_runs: Some(Cell::new(DRY_RUNS)),
            is_limited: limits.most_changes().is_some(),
            failures: limits.failures_per_sweep.map(failures),
        }
    }

    /// Returns whether it is that of a sweep with limits, which choose the instances that are changed.
    pub(super) fn is_limited(&self) -> bool {
        self.is_limited
    }

    /// Returns whether a further dry run may be sent, and counts it.
    pub(super) fn takes_dry_run(&self) -> bool {
        let Some(left) = &self.dry_runs else { return true };
        left.replace(left.get().saturating_sub(1)) > 0
    }

    /// Waits until a further failure would be allowed. A dry run is always allowed: it changes nothing.
    ///
    /// # Errors
    /// That there were too many failures.
    pub(super) async fn admit(&self, mode: Mode) -> Result<Option<SemaphorePermit<'_>>, TooManyFailures> {
        match &self.failures {
            Some(Failures { most, permits, .. }) if mode == Mode::Enforce => {
                permits.acquire().await.map(Some).map_err(|_| TooManyFailures(*most))
            }
            _ => Ok(None),
        }
    }

    /// Takes whether a change failed.
    pub(super) fn settle(&self, permit: Option<SemaphorePermit<'_>>, is_failed: bool) {
        let (Some(Failures { most, so_far, permits }), Some(permit)) = (&self.failures, permit) else {
            return;
        };
        if is_failed {
            permit.forget();
            so_far.set(so_far.get() + 1);
            if so_far.get() >= *most {
                permits.close();
            }
        }
    }

    /// Returns the number of failures after which no more changes are sent, if there were as many.
    pub(super) fn stopped(&self) -> Option<TooManyFailures> {
        let Failures { most, permits, .. } = self.failures.as_ref()?;
        permits.is_closed().then_some(TooManyFailures(*most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn there_are_never_more_failures_than_the_limit() {
        let limits = Limits { failures_per_sweep: Some(2), ..Limits::default() };
        let allowance = Allowance::of_sweep(limits);
        let first = allowance.admit(Mode::Enforce).await.expect("a permit");
        let second = allowance.admit(Mode::Enforce).await.expect("a permit");
        // Two are in flight, and either may fail.
        let third = tokio::time::timeout(std::time::Duration::ZERO, allowance.admit(Mode::Enforce)).await;
        assert!(third.is_err(), "it waits");
        allowance.settle(first, false);
        let third = allowance.admit(Mode::Enforce).await.expect("the permit of a change that did not fail");
        allowance.settle(second, true);
        assert_eq!(allowance.stopped(), None);
        allowance.settle(third, true);
        assert_eq!(allowance.stopped(), Some(TooManyFailures(2)));
        assert_eq!(allowance.admit(Mode::Enforce).await.err(), Some(TooManyFailures(2)));
        assert!(allowance.admit(Mode::DryRun).await.is_ok(), "a dry run changes nothing");
    }

    #[tokio::test]
    async fn events_are_not_limited_and_a_sweep_sends_few_dry_runs() {
        let (events, sweep) = (Allowance::default(), Allowance::of_sweep(Limits::default()));
        for number in 0..100 {
            assert!(events.takes_dry_run());
            assert_eq!(sweep.takes_dry_run(), number < 50, "{number}");
            let permit = events.admit(Mode::Enforce).await.expect("no limit");
            events.settle(permit, true);
        }
        assert_eq!(events.stopped(), None);
    }
}
