//! The error codes of EC2, STS, CloudWatch and AWS Organizations with their HTTP statuses, from the EC2 API reference,
//! "Error codes", and the other API references, "Common Errors".

/// The error that a call returns.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    pub status: u16,
    pub code: String,
    pub message: String,
}

impl ApiError {
    pub fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), message: message.into() }
    }

    pub fn invalid_value(value: &str, parameter: &str, expected: &str) -> Self {
        let message = format!("Value ({value}) for parameter {parameter} is invalid. {expected}");
        Self::new(400, "InvalidParameterValue", message)
    }

    pub fn combination(message: &str) -> Self {
        Self::new(400, "InvalidParameterCombination", message)
    }

    pub fn missing(parameter: &str) -> Self {
        let message = format!("The request must contain the parameter {parameter}");
        Self::new(400, "MissingParameter", message)
    }

    pub fn not_found(ids: &[String]) -> Self {
        let message = match ids {
            [id] => format!("The instance ID '{id}' does not exist"),
            ids => format!("The instance IDs '{}' do not exist", ids.join(", ")),
        };
        Self::new(400, "InvalidInstanceID.NotFound", message)
    }

    pub fn malformed_id(id: &str) -> Self {
        Self::new(400, "InvalidInstanceID.Malformed", format!("Invalid id: \"{id}\""))
    }

    pub fn wrong_state(id: &str, action: &str, state: &str) -> Self {
        let message =
            format!("The instance '{id}' is not in a state from which {action} is possible: {state}");
        Self::new(400, "IncorrectInstanceState", message)
    }

    /// The caller is unknown.
    pub fn unauthenticated() -> Self {
        let message = "AWS was not able to validate the provided access credentials";
        Self::new(401, "AuthFailure", message)
    }

    /// The session of the caller has expired.
    pub fn expired() -> Self {
        Self::new(400, "RequestExpired", "Request has expired.")
    }

    pub fn unauthorized() -> Self {
        Self::new(403, "UnauthorizedOperation", "You are not authorized to perform this operation.")
    }

    pub fn throttled() -> Self {
        Self::new(503, "RequestLimitExceeded", "Request limit exceeded.")
    }

    pub fn internal() -> Self {
        Self::new(500, "InternalError", "An internal error has occurred")
    }

    /// STS denies the call. `role` is the `RoleArn` of AssumeRole.
    pub fn denied_by_sts(caller: &str, action: &str, role: Option<&str>) -> Self {
        let resource = role.map_or(String::new(), |role| format!(" on resource: {role}"));
        let message = format!("User: {caller} is not authorized to perform: sts:{action}{resource}");
        Self::new(403, "AccessDenied", message)
    }

    /// AWS Organizations denies the call.
    pub fn denied_by_organizations() -> Self {
        let message = "You don't have permissions to access this resource.";
        Self::new(400, "AccessDeniedException", message)
    }

    /// CloudWatch or AWS Organizations cannot parse the call.
    pub fn unreadable() -> Self {
        Self::new(400, "SerializationException", "The request body is not valid.")
    }

    /// CloudWatch refuses the input.
    pub fn validation(message: impl Into<String>) -> Self {
        Self::new(400, "ValidationError", message)
    }

    /// STS or CloudWatch throttles the call.
    pub fn rate_exceeded() -> Self {
        Self::new(400, "Throttling", "Rate exceeded")
    }

    /// STS fails.
    pub fn internal_failure() -> Self {
        let message = "The request processing has failed because of an unknown error, exception or failure.";
        Self::new(500, "InternalFailure", message)
    }

    pub fn dry_run() -> Self {
        let message = "Request would have succeeded, but DryRun flag is set.";
        Self::new(412, "DryRunOperation", message)
    }
}
