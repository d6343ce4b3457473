//! imds-enforcer
