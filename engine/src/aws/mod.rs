//! AWS, in our words: the only folder that names a crate of its SDK.

pub mod call_counts;
pub mod client;
pub mod clients;
mod convert;
mod error;
mod query;
mod rate_limit;
pub mod root_certificates;
pub mod settings;
