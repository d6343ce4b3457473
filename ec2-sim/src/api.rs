//! The APIs, and the errors that do not depend on the action.

use crate::codec::Codec;
use crate::error::ApiError;

/// The API of a call. It determines the format of responses and the error codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Api {
    #[default]
    Ec2,
    Sts,
    /// In one of its two protocols.
    CloudWatch(Codec),
    /// In AWS JSON 1.1.
    Organizations,
}

impl Api {
    /// The protocol, of an API that has no Query API here.
    pub fn codec(self) -> Option<Codec> {
        match self {
            Self::Ec2 | Self::Sts => None,
            Self::CloudWatch(codec) => Some(codec),
            Self::Organizations => Some(Codec::Json11),
        }
    }

    /// Whether an account has it only in Regions that are on.
    pub fn is_regional(self) -> bool {
        matches!(self, Self::Ec2 | Self::CloudWatch(_))
    }

    /// The access key belongs to nobody.
    pub fn unauthenticated(self) -> ApiError {
        match self {
            Self::Ec2 | Self::Sts => ApiError::unauthenticated(),
            Self::CloudWatch(_) => {
                let message = "The security token included in the request is invalid.";
                ApiError::new(403, "InvalidClientTokenId", message)
            }
            Self::Organizations => {
                let message = "The security token included in the request is invalid.";
                ApiError::new(400, "UnrecognizedClientException", message)
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
            Self::Organizations => {
                let message = "The security token included in the request is expired";
                ApiError::new(400, "ExpiredTokenException", message)
            }
        }
    }

    pub fn throttled(self) -> ApiError {
        match self {
            Self::Ec2 => ApiError::throttled(),
            Self::Sts | Self::CloudWatch(_) => ApiError::rate_exceeded(),
            Self::Organizations => {
                let message = "You have sent too many requests in too short a period of time.";
                ApiError::new(400, "TooManyRequestsException", message)
            }
        }
    }

    /// The caller may not perform the action. `role` is the `RoleArn` of AssumeRole.
    pub fn denied(self, caller: &str, action: &str, role: Option<&str>) -> ApiError {
        match self {
            Self::Ec2 => ApiError::unauthorized(),
            Self::Sts => ApiError::denied_by_sts(caller, action, role),
            Self::CloudWatch(_) => {
                let message = format!(
                    "User: {caller} is not authorized to perform: cloudwatch:{action} because no identity-based \
                     policy allows the cloudwatch:{action} action"
                );
                ApiError::new(403, "AccessDenied", message)
            }
            Self::Organizations => ApiError::denied_by_organizations(),
        }
    }

    pub fn failed(self) -> ApiError {
        match self {
            Self::Ec2 => ApiError::internal(),
            Self::Sts => ApiError::internal_failure(),
            Self::CloudWatch(_) => {
                ApiError::new(500, "InternalServiceError", "An internal error has occurred")
            }
            Self::Organizations => {
                let message = "AWS Organizations cannot complete your request because of an internal error.";
                ApiError::new(500, "ServiceException", message)
            }
        }
    }
}
