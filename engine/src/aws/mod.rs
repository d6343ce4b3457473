//! The AWS clients. Only this folder uses the crates of the AWS SDK.

pub mod call_counts;
pub mod client;
pub mod clients;
mod convert;
mod error;
pub mod http;
mod query;
pub mod rate_limit;
pub mod root_certificates;
pub mod settings;
