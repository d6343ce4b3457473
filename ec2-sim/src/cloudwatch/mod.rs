//! CloudWatch's GetMetricData and PutMetricData: CloudWatch API reference, version 2010-08-01.

mod get;
pub mod input;
mod put;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::clock::Now;
use crate::error::ApiError;
use crate::instance::Key;
use crate::request::Request;
use crate::world::World;

/// The result of an operation, and the name of the fault that affected it.
pub type Outcome = (Result<Value, ApiError>, Option<&'static str>);

/// Runs the operation of a call.
pub fn answer(world: &mut World, request: &Request, key: &Key, now: Now) -> Outcome {
    match request.action.as_str() {
        "GetMetricData" => get::get(world, request, key),
        "PutMetricData" => (put::put(world, request, key, now).map(|()| json!({})), None),
        action => {
            let message = format!("The operation {action} is not supported by ec2-sim.");
            (Err(ApiError::new(404, "UnknownOperationException", message)), None)
        }
    }
}

/// The input of an operation.
fn read<T: DeserializeOwned>(request: &Request) -> Result<T, ApiError> {
    T::deserialize(&request.input).map_err(|error| ApiError::validation(error.to_string()))
}
