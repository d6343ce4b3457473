//! `imds-engine`: what the function and `imdsctl` share.
//!
//! [`reconcile`] processes a batch of events: resolve → decide → apply → verify. [`imds_core`] decides what is
//! required. [`aws`] makes all calls to AWS, and [`report`] writes the report, log lines and metrics.

pub mod aws;
pub mod deadline;
pub mod reconcile;
pub mod report;
