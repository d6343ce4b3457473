//! What CloudWatch's operations take and return.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::ApiError;
use crate::request::Request;

/// The result of an operation, and the name of the fault that affected it.
pub type Outcome = (Result<Value, ApiError>, Option<&'static str>);

/// The input of an operation.
pub fn read<T: DeserializeOwned>(request: &Request) -> Result<T, ApiError> {
    T::deserialize(&request.input).map_err(|error| ApiError::validation(error.to_string()))
}
