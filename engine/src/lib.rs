//! `imds-engine`: what the function and `imdsctl` share.
//!
//! [`reconcile`] takes the one path for a batch of events: resolve → decide → apply → verify; what is required is
//! decided in [`imds_core`]. [`aws`] is the only door to AWS, and [`report`] tells what was done.

pub mod aws;
pub mod deadline;
pub mod reconcile;
pub mod report;
