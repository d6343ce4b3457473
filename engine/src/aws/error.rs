//! The SDK's errors → errors of calls.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ec2::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use imds_core::call_error::{Call, CallError};

/// What EC2 answered to a call, or that it did not.
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

/// That the role could not be assumed, if that is why a call was not made.
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
