//! CloudWatch's GetMetricData and PutMetricData: CloudWatch API reference, version 2010-08-01.

mod get;
pub mod input;
mod operation;
mod put;

use serde_json::json;

use crate::clock::Now;
use crate::error::ApiError;
use crate::instance::Key;
use crate::request::Request;
use crate::world::World;
pub use operation::Outcome;

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
