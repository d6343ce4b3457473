//! `imds-enforcer`: an AWS Lambda function that brings EC2 instances to the instance metadata options that policy
//! and tags require, and keeps them there.
//!
//! [`handler`] reads the events of a payload and passes them to [`imds_engine`], which `imdsctl` shares.

pub mod answer;
pub mod arguments;
mod batch;
pub mod config;
pub mod environment;
pub mod handler;
pub mod outcome_events;
mod redelivery;

/// The version, with the commit that it was built from if that is known.
pub const VERSION: &str = env!("IMDS_ENFORCER_VERSION");
