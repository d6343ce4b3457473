//! Exit codes.

use std::process::{ExitCode, Termination};

/// The exit code of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: everything complies with the policy.
    Compliant,
    /// 1: something does not comply.
    Findings,
    /// 2: the command failed.
    Error,
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}
