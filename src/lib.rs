//! `imds-enforcer`: an AWS Lambda function that brings EC2 instances to the instance-metadata options that policy
//! and tags require, and keeps them there.
//!
//! Every event takes one path: nudge → observe → decide → act → verify → report. [`handler`] reads the nudges out
//! of a payload, [`enforce`] walks the path for a batch of them, [`ec2`] is the only door to AWS, and what is
//! required is decided in [`imds_core`].

pub mod accounts;
pub mod arguments;
pub mod config;
pub mod ec2;
pub mod enforce;
pub mod handler;
pub mod pace;
pub mod root_certificates;
pub mod sdk;
pub mod session;
pub mod telemetry;
pub mod times;
