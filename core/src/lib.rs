//! The decision logic of `imds-enforcer`: which instance metadata options an EC2 instance must have, and what to
//! send to EC2 to set them.
//!
//! This crate is pure: no I/O, no clock, no environment. An event becomes a [`trigger::Trigger`], EC2's response
//! becomes an [`instance::Instance`], and [`decide::decide`] turns a policy and facts into a [`decide::Decision`].
//! [`outcome`] describes the result.

pub mod call_error;
pub mod decide;
pub mod ids;
pub mod instance;
pub mod metadata;
pub mod mode;
pub mod outcome;
pub mod policy;
pub mod restore;
pub mod selector;
pub mod source;
pub mod text;
pub mod trigger;
pub mod usage;
