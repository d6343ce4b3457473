//! Call counts as the services see them: every attempt, including the SDK's retries.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_ec2::config::interceptors::{
    BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef,
};
use aws_sdk_ec2::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_ec2::error::ProvideErrorMetadata;
use imds_core::call_error::{Call, is_throttle};

/// The attempts of one call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Attempts that were sent.
    pub attempts: usize,
    /// Attempts that the service throttled.
    pub throttles: usize,
}

/// Counts by call, shared by the clones of a client.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts(Arc<Mutex<BTreeMap<Call, Count>>>);

impl Counts {
    pub(super) fn take(&self) -> BTreeMap<Call, Count> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// An interceptor that counts the attempts of a call whose error type is `E`.
    pub(super) fn of<E>(&self, call: Call) -> Counter<E> {
        Counter { call, counts: self.clone(), errors: PhantomData }
    }

    fn add(&self, call: Call, change: impl FnOnce(&mut Count)) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(counts.entry(call).or_default());
    }
}

/// Counts one call's attempts.
#[derive(Debug)]
pub(super) struct Counter<E> {
    call: Call,
    counts: Counts,
    errors: PhantomData<E>,
}

impl<E: ProvideErrorMetadata + Error + Debug + Send + Sync + 'static> Intercept for Counter<E> {
    fn name(&self) -> &'static str {
        "Counter"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.counts.add(self.call, |count| count.attempts += 1);
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let error = context.output_or_error().and_then(|answer| answer.err()?.as_operation_error());
        let error = error.and_then(|error| error.downcast_ref::<E>());
        if error.and_then(ProvideErrorMetadata::code).is_some_and(is_throttle) {
            self.counts.add(self.call, |count| count.throttles += 1);
        }
        Ok(())
    }
}
