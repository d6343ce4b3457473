//! SDK errors → [`CallError`].

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use imds_core::call_error::{Call, CallError, is_expired};

use super::closing_tag::CutOff;

/// What a service answered to a call, or that it did not.
pub(super) fn call_error<E>(call: Call, error: &SdkError<E>) -> CallError
where
    E: Error + ProvideErrorMetadata + 'static,
{
    CallError {
        call,
        code: error.code().map(str::to_owned),
        message: error.message().map_or_else(|| sentence(error), str::to_owned),
        status: error.raw_response().map(|response| response.status().as_u16()),
        // The body of a response ended too early, with the connection or with an error.
        is_cut_off: matches!(error, SdkError::ResponseError(_))
            || causes(error).any(<dyn Error>::is::<CutOff>),
    }
}

/// Whether a call of this process lacked the caller's own credentials: they have expired, or cannot be loaded. Clones share
/// it.
#[derive(Debug, Clone, Default)]
pub(super) struct LackOfCredentials(Arc<AtomicBool>);

impl LackOfCredentials {
    /// Takes the error of a call with the caller's own credentials.
    pub(super) fn note<E>(&self, error: &SdkError<E>)
    where
        E: Error + ProvideErrorMetadata + 'static,
    {
        let is_lack =
            error.code().is_some_and(is_expired) || causes(error).any(<dyn Error>::is::<CredentialsError>);
        self.0.fetch_or(is_lack, Ordering::Relaxed);
    }

    /// Returns whether there was such an error.
    #[cfg(feature = "fleet")]
    pub(super) fn is_noted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The error and its causes in words. The SDK's own form of them would print whole responses.
fn sentence(error: &(dyn Error + 'static)) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Returns the error and its causes.
pub(super) fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}
