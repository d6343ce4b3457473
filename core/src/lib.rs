//! The decision at the heart of `imds-enforcer`: which instance-metadata options an EC2 instance must have,
//! and what has to be sent to bring it there.
//!
//! Everything here is pure: no I/O, no clock, no environment. An event becomes a [`trigger::Trigger`], EC2's
//! answer an [`instance::Instance`], and [`decide::decide`] turns policy and facts into a
//! [`decide::Decision`]. What then happened is told in the words of [`outcome`].

pub mod call_error;
pub mod decide;
pub mod ids;
pub mod instance;
pub mod metadata;
pub mod outcome;
pub mod policy;
pub mod selector;
pub mod trigger;
