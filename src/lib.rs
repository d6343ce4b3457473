//! `imds-enforcer`: an AWS Lambda function that brings EC2 instances to the instance-metadata options that policy
//! and tags require, and keeps them there.
//!
//! [`handler`] reads events out of a payload and gives them to [`imds_engine`], which `imdsctl` shares.

pub mod arguments;
pub mod config;
pub mod handler;
