//! The AWS clients. Only this folder uses the crates of the AWS SDK.

pub mod call_counts;
pub mod client;
pub mod clients;
mod closing_tag;
mod cloudwatch;
mod convert;
#[cfg(test)]
mod endpoints;
mod error;
pub mod event_bus;
#[cfg(feature = "fleet")]
pub mod fleet;
pub mod http;
mod member_role;
mod query;
pub mod rate_limit;
pub mod root_certificates;
pub mod settings;
mod usage;
pub mod visibility;
