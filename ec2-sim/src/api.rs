//! The APIs, and the errors that do not depend on the action.

use crate::codec::Codec;
use crate::error::ApiError;

/// The API of a call. It determines the format of responses and the error codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Api {
    #[default]
    Ec2,
    Sts,
    CloudWatch(Codec),
}

impl Api {
    /// The access key belongs to nobody.
    pub fn unauthenticated(self) -> ApiError {
        match self {
            Self::Ec2 | Self::Sts => ApiError::unauthenticated(),
            Self::CloudWatch(_) => {
                let message = "The security token included in the request is invalid.";
                ApiError::new(403, "InvalidClientTokenId", message)
            }
        }
    }

    /// The caller's session has expired.
    pub fn expired(self) -> ApiError {
        match self {
            Self::Ec2 | Self::Sts => ApiError::expired(),
            Self::CloudWatch(_) => {
                ApiError::new(403, "ExpiredToken", "The security token included in the request is expired")
            }
        }
    }

    pub fn throttled(self) -> ApiError {
        match self {
            Self::Ec2 => ApiError::throttled(),
            Self::Sts | Self::CloudWatch(_) => ApiError::rate_exceeded(),
        }
    }

    /// The caller may not perform the action. `role` is the `RoleArn` of AssumeRole.
    pub fn denied(self, caller: &str, action: &str, role: &str) -> ApiError {
        match self {
            Self::Ec2 => ApiError::unauthorized(),
            Self::Sts => ApiError::may_not_assume(caller, role),
            Self::CloudWatch(_) => {
                let message = format!(
                    "User: {caller} is not authorized to perform: cloudwatch:{action} because no identity-based \
                     policy allows the cloudwatch:{action} action"
                );
                ApiError::new(403, "AccessDenied", message)
            }
        }
    }

    pub fn failed(self) -> ApiError {
        match self {
            Self::Ec2 => ApiError::internal(),
            Self::Sts => ApiError::internal_failure(),
            Self::CloudWatch(_) => {
                ApiError::new(500, "InternalServiceError", "An internal error has occurred")
            }
        }
    }
}
