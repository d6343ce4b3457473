//! SDK errors → [`CallError`].

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ec2::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use imds_core::call_error::{Call, CallError};

/// Converts EC2's error, or the error of a call that got no response.
pub(super) fn call_error<E>(call: Call, error: &SdkError<E>) -> CallError
where
    E: Error + ProvideErrorMetadata + 'static,
{
    CallError {
        call,
        code: error.code().map(str::to_owned),
        message: error.message().map_or_else(|| DisplayErrorContext(error).to_string(), str::to_owned),
        status: error.raw_response().map(|response| response.status().as_u16()),
    }
}

/// Returns the `AssumeRole` error if a call was not made because the role could not be assumed.
pub(super) fn role_error(error: &(dyn Error + 'static)) -> Option<CallError> {
    let chain = || std::iter::successors(Some(error), |&error| error.source());
    let credentials = chain().find(|error| error.is::<CredentialsError>())?;
    let answer = chain().find_map(|error| error.downcast_ref::<AssumeRoleError>());
    let message = answer.and_then(ProvideErrorMetadata::message).map(str::to_owned);
    Some(CallError {
        call: Call::AssumeRole,
        code: answer.and_then(ProvideErrorMetadata::code).map(str::to_owned),
        message: message.unwrap_or_else(|| DisplayErrorContext(credentials).to_string()),
        status: None,
    })
}
