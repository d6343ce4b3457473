//! Exit codes.

use std::process::{ExitCode, Termination};

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: all is as required.
    Compliant,
    /// 1: something is not as required.
    Findings,
    /// 2: the question could not be answered.
    Error,
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}
